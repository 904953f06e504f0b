// text: the notations AWS speaks in: times, percent-encoding, and single values out of answers.
//
// Answers are parsed no further than that one value, and every value taken is bounded.
//
// Pure; any thread.

#pragma once

#include <string>
#include <string_view>

#include "base/time.h"

namespace inlet::aws {

// All but the unreserved characters of RFC 3986 section 2.3 as %XY.
[[nodiscard]] std::string percent_encode(std::string_view text, bool keep_slashes = false);

// "20261123T100000Z": ISO 8601's basic format, as signatures use it.
[[nodiscard]] std::string basic_time(Microseconds wall_us);

// The text in the first element of that name, its entities resolved; "" if there is none.
[[nodiscard]] std::string xml_element(std::string_view xml, std::string_view name);

// The string at the top level of a JSON object; "" if there is none.
[[nodiscard]] std::string json_string(std::string_view json, std::string_view name);

// Without space around it.
[[nodiscard]] std::string_view trim(std::string_view text);

// Whether it can stand in a header or a message: printable ASCII, not empty, of a sane length.
[[nodiscard]] bool is_token(std::string_view text);

inline constexpr std::size_t token_bytes_max = 16U << 10;
inline constexpr std::size_t value_bytes_max = token_bytes_max;  // Of xml_element, json_string.

}  // namespace inlet::aws
