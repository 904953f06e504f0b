#include "codec/json_text.h"

#include <simdjson.h>

#include <bitset>
#include <cstring>

#include "base/check.h"

namespace inlet::codec {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A walk over one document. Every function leaves `at_` behind what it took, or says false.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {}

  bool document() {
    while (true) {
      if (!open()) return false;
      // Behind a value: close what ends here, until another value must follow.
      while (true) {
        skip_space();
        if (depth_ == 0) return at_ == end_;
        if (take(',')) {
          if (in_object_[depth_ - 1] && !key()) return false;
          break;
        }
        if (!take(in_object_[depth_ - 1] ? '}' : ']')) return false;
        depth_--;
      }
    }
  }

 private:
  // Takes the start of a value: brackets down to the first scalar or empty bracket.
  bool open() {
    while (true) {
      skip_space();
      const bool object = peek() == '{';
      if (!object && peek() != '[') return scalar();
      at_++;
      if (depth_ == json_depth_max) return false;
      in_object_[depth_++] = object;
      skip_space();
      if (take(object ? '}' : ']')) {
        depth_--;
        return true;
      }
      if (object && !key()) return false;
    }
  }

  bool key() {
    skip_space();
    if (!string()) return false;
    skip_space();
    return take(':');
  }

  bool scalar() {
    switch (peek()) {
      case '"': return string();
      case 't': return literal("true");
      case 'f': return literal("false");
      case 'n': return literal("null");
      default: return number();
    }
  }

  bool string() {
    if (!take('"')) return false;
    while (at_ < end_) {
      const char c = *at_++;
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !escape()) return false;
    }
    return false;
  }

  bool escape() {
    if (take('u')) {
      unsigned unit = 0;
      if (!hex_unit(unit)) return false;
      if (unit < 0xD800 || unit > 0xDFFF) return true;
      if (unit > 0xDBFF || !take('\\') || !take('u')) return false;
      return hex_unit(unit) && unit >= 0xDC00 && unit <= 0xDFFF;
    }
    const char c = peek();
    at_++;
    return c != 0 && std::strchr("\"\\/bfnrt", c) != nullptr;
  }

  bool hex_unit(unsigned& unit) {
    if (end_ - at_ < 4) return false;
    unit = 0;
    for (int i = 0; i < 4; i++) {
      const char c = *at_++;
      unsigned digit = 0;
      if (is_digit(c)) {
        digit = static_cast<unsigned>(c - '0');
      } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        digit = static_cast<unsigned>((c | 0x20) - 'a' + 10);
      } else {
        return false;
      }
      unit = unit << 4 | digit;
    }
    return true;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (peek() == 'e' || peek() == 'E') {
      at_++;
      if (!take('+')) take('-');
      if (!digits()) return false;
    }
    return true;
  }

  bool digits() {
    const char* const start = at_;
    while (at_ < end_ && is_digit(*at_)) at_++;
    return at_ > start;
  }

  bool literal(std::string_view word) {
    if (!std::string_view(at_, end_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  void skip_space() {
    while (at_ < end_ && is_space(*at_)) at_++;
  }
  [[nodiscard]] char peek() const { return at_ < end_ ? *at_ : '\0'; }
  bool take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    at_++;
    return true;
  }

  const char* at_;
  const char* end_;
  std::size_t depth_ = 0;
  std::bitset<json_depth_max> in_object_;
};

// Behind the closing quote of the string that starts at `at`; `text` is valid JSON.
std::size_t string_end(std::string_view text, std::size_t at) {
  while (true) {
    at = text.find('"', at + 1);
    CHECK(at != std::string_view::npos);
    std::size_t slashes = 0;
    while (text[at - 1 - slashes] == '\\') slashes++;
    if (slashes % 2 == 0) return at + 1;
  }
}

}  // namespace

bool scan_json(std::string_view text) { return is_utf8_text(text) && Scanner(text).document(); }

bool is_utf8_text(std::string_view text) { return simdjson::validate_utf8(text); }

std::string_view trim_json(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

JsonChecker::JsonChecker() : parser_(std::make_unique<simdjson::dom::parser>()) {
  // Reserves addresses; pages are only used as far as documents need them.
  CHECK(parser_->allocate(simdjson_bytes_max, json_depth_max) == simdjson::SUCCESS);
}

JsonChecker::~JsonChecker() = default;

bool JsonChecker::is_json(std::string_view text, std::size_t readable_after) {
  if (text.empty() || text.front() == '\xEF') return false;  // Some versions skip the mark.
  if (text.size() > simdjson_bytes_max) return scan_json(text);
  const char* from = text.data();
  if (readable_after < simdjson::SIMDJSON_PADDING) {
    padded_.assign(text);
    padded_.append(simdjson::SIMDJSON_PADDING, '\0');
    from = padded_.data();
  }
  const auto error = parser_->parse(from, text.size(), false).error();
  if (error == simdjson::SUCCESS) return true;
  return error == simdjson::NUMBER_ERROR && scan_json(text);
}

ArrayElements::ArrayElements(std::string_view array) : rest_(trim_json(array)) {
  CHECK(rest_.starts_with('[') && rest_.ends_with(']'));
  rest_.remove_prefix(1);
  if (trim_json(rest_) == "]") rest_ = {};
}

bool ArrayElements::next(std::string_view& element) {
  if (rest_.empty()) return false;
  std::size_t depth = 0;
  for (std::size_t at = 0; at < rest_.size();) {
    const char c = rest_[at];
    if (c == '"') {
      at = string_end(rest_, at);
      continue;
    }
    if (depth == 0 && (c == ',' || c == ']')) {
      element = trim_json(rest_.substr(0, at));
      rest_.remove_prefix(at + 1);
      return true;
    }
    if (c == '[' || c == '{') depth++;
    if (c == ']' || c == '}') depth--;
    at++;
  }
  CHECK(false);  // The array was not valid JSON.
  return false;
}

}  // namespace inlet::codec
