// json_text: whether a text is JSON, and where an array's elements are, without changing a byte.
//
// simdjson decides the ordinary case at full speed. What it cannot decide goes to a plain scanner
// that needs no memory: documents so large that simdjson's tables would be many times the body, and
// numbers beyond 64 bits, which are JSON all the same.
//
// JSON here is RFC 8259 in UTF-8, at most json_depth_max deep, without unpaired surrogates (which
// most readers refuse) and without a byte order mark.
//
// One thread per JsonChecker; the functions have no state.

#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace simdjson::dom {
class parser;
}

namespace inlet::codec {

inline constexpr std::size_t json_depth_max = 512;
inline constexpr std::size_t simdjson_bytes_max = 1U << 20;  // Tables take some 15 times as much.

class JsonChecker {
 public:
  JsonChecker();
  JsonChecker(const JsonChecker&) = delete;
  JsonChecker& operator=(const JsonChecker&) = delete;
  ~JsonChecker();

  // Whether `text` is one JSON document. `readable_after` bytes may be read behind it.
  [[nodiscard]] bool is_json(std::string_view text, std::size_t readable_after);

 private:
  std::unique_ptr<simdjson::dom::parser> parser_;
  std::string padded_;
};

// The same, one byte at a time.
[[nodiscard]] bool scan_json(std::string_view text);

// Whether all of `text` is UTF-8, at simdjson's speed.
[[nodiscard]] bool is_utf8_text(std::string_view text);

// Without the four bytes JSON calls whitespace at either end.
[[nodiscard]] std::string_view trim_json(std::string_view text);

// The elements of a JSON array, as they stand. The text must be valid JSON and an array.
class ArrayElements {
 public:
  explicit ArrayElements(std::string_view array);

  // False when there are no more.
  [[nodiscard]] bool next(std::string_view& element);

 private:
  std::string_view rest_;  // Behind the last '[' or ','.
};

}  // namespace inlet::codec
