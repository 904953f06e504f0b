// json: the one JSON writer. Reading is simdjson's work.

#pragma once

#include <string>
#include <string_view>

namespace inlet {

// Appends `text` as a JSON string with its quotes (RFC 8259 section 7). Control characters are
// escaped; bytes that are not UTF-8 become U+FFFD, so the result is always valid JSON.
void append_json_string(std::string& out, std::string_view text);

// Whether `text` is well-formed UTF-8 (RFC 3629).
[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace inlet
