// calendar: UTC times as RFC 3339 writes them, read and written. Pure; any thread.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace inlet {

// "2026-11-23T10:00:00Z", with a fraction of up to nine digits (cut to microseconds), an offset
// instead of Z ("+02:00"), a space instead of T, or the date alone (midnight). Years 1970 to 9999.
// A leap second counts as the second after it. Empty: it is none of these.
[[nodiscard]] std::optional<Microseconds> parse_rfc3339(std::string_view text);

// "2026-11-23T10:00:00.000000Z". Times outside the years 0 to 9999 are shown as the nearest that
// has four digits.
void append_rfc3339(std::string& out, Microseconds wall_us);

}  // namespace inlet
