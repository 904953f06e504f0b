// metrics: what /metrics says of a node: every figure there is, in one text.
//
// Series per tenant are bounded: the busiest by name, the others summed (tenants.h).
//
// Any thread.

#pragma once

#include <string>

#include "journal/journal.h"
#include "serve/admin.h"

namespace inlet::serve {

[[nodiscard]] std::string metrics_text(const AdminContext& context);

// Until the journal is full, at the present paces; infinite while it does not fill.
[[nodiscard]] double seconds_until_full(const journal::Fullness& fullness);

}  // namespace inlet::serve
