// http_date: times as HTTP writes them (RFC 9110, 5.6.7), in the three notations that may be met.
//
//   Sun, 06 Nov 1994 08:49:37 GMT      what everybody sends
//   Sunday, 06-Nov-94 08:49:37 GMT     obsolete; the year is the one nearest to now
//   Sun Nov  6 08:49:37 1994           obsolete
//
// Anything else, also a day of the week that was not that day's, is no date. Threads: any.

#pragma once

#include <optional>
#include <string_view>

#include "base/time.h"

namespace inlet::fetch {

// Microseconds since 1970-01-01 UTC. `wall_us` is now, for years of two digits.
[[nodiscard]] std::optional<Microseconds> parse_http_date(std::string_view text,
                                                          Microseconds wall_us);

}  // namespace inlet::fetch
