// detail: all that is known about one node, for reading.
//
// Pure; any thread.

#pragma once

#include <cstddef>

#include "top/fleet.h"
#include "top/page.h"

namespace inlet::top {

// As many lines as it takes, none wider than `width`.
[[nodiscard]] Page detail_page(const Node& node, const Row& row, std::size_t width);

}  // namespace inlet::top
