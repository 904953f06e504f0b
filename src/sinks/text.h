// text: the two plain notations that sinks write: base64 and UTC time.

#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/calendar.h"
#include "base/time.h"

namespace inlet::sinks {

// RFC 4648 section 4, with padding. Pieces whose length is a multiple of 3 may be appended one
// after the other.
void append_base64(std::string& out, Bytes bytes);

using inlet::append_rfc3339;

inline constexpr Microseconds hour_us = 3'600'000'000;

// Hours since 1970-01-01 UTC of a time (bounded as above), and what paths say of such an hour.
[[nodiscard]] Microseconds utc_hour(Microseconds wall_us);
[[nodiscard]] std::string hour_path(Microseconds hour);  // "date=2026-11-23/hour=10"

}  // namespace inlet::sinks
