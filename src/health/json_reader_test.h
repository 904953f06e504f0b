// json_reader_test: reads JSON strictly (RFC 8259), to judge what we write. For tests only.
//
// Text that is not JSON fails the test at hand and reads as null.

#pragma once

#include <gtest/gtest.h>

#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace inlet::health {

struct JsonValue {
  enum class Kind { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  bool boolean = false;
  double number = 0;
  std::string text;
  std::vector<JsonValue> items;
  std::map<std::string, JsonValue> members;

  [[nodiscard]] bool is(Kind other) const { return kind == other; }
  [[nodiscard]] bool has(const std::string& name) const { return members.contains(name); }
  [[nodiscard]] const JsonValue& at(const std::string& name) const {
    static const JsonValue nothing;
    const auto found = members.find(name);
    if (found != members.end()) return found->second;
    ADD_FAILURE() << "no member " << name;
    return nothing;
  }
};

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : rest_(text) {}

  JsonValue read() {
    JsonValue value = read_value();
    skip_spaces();
    if (!rest_.empty()) fail("something follows");
    return failed_ ? JsonValue() : value;
  }

 private:
  void fail(const char* why) {
    if (!failed_) ADD_FAILURE() << "not JSON: " << why << " at: " << rest_.substr(0, 40);
    failed_ = true;
    rest_ = {};
  }
  void skip_spaces() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_[0]) != std::string_view::npos) {
      rest_.remove_prefix(1);
    }
  }
  bool take(std::string_view token) {
    skip_spaces();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) fail("a sign is missing");
  }

  JsonValue read_value() {
    skip_spaces();
    if (rest_.empty()) fail("a value is missing");
    if (failed_) return {};
    if (rest_[0] == '"') return {.kind = JsonValue::Kind::string, .text = read_string()};
    if (take("{")) return read_object();
    if (take("[")) return read_array();
    if (take("null")) return {};
    if (take("true")) return {.kind = JsonValue::Kind::boolean, .boolean = true};
    if (take("false")) return {.kind = JsonValue::Kind::boolean};
    return read_number();
  }

  JsonValue read_number() {
    JsonValue out{.kind = JsonValue::Kind::number};
    const char first = rest_[0];
    if (first != '-' && (first < '0' || first > '9')) {
      fail("no value");  // NaN and inf are none.
      return {};
    }
    const auto [end, error] =
        std::from_chars(rest_.data(), rest_.data() + rest_.size(), out.number);
    if (error != std::errc()) fail("no number");
    if (!failed_) rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return out;
  }

  std::string read_string() {
    std::string out;
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_[0] != '"') {
      char c = rest_[0];
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character");
      if (c == '\\') {
        c = unescape();
      } else if (!failed_) {
        rest_.remove_prefix(1);
      }
      out += c;
    }
    expect("\"");
    return out;
  }
  // Of the escapes beyond ASCII we write none.
  char unescape() {
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view values = "\"\\/\b\f\n\r\t";
    const char name = rest_.size() > 1 ? rest_[1] : '?';
    unsigned code = 0;
    if (name == 'u' && rest_.size() >= 6) {
      std::from_chars(rest_.data() + 2, rest_.data() + 6, code, 16);
      rest_.remove_prefix(6);
      return static_cast<char>(code);
    }
    const std::size_t at = names.find(name);
    if (at == std::string_view::npos) {
      fail("an unknown escape");
      return '?';
    }
    rest_.remove_prefix(2);
    return values[at];
  }

  JsonValue read_array() {
    JsonValue out{.kind = JsonValue::Kind::array};
    if (take("]")) return out;
    do out.items.push_back(read_value());
    while (!failed_ && take(","));
    expect("]");
    return out;
  }
  JsonValue read_object() {
    JsonValue out{.kind = JsonValue::Kind::object};
    if (take("}")) return out;
    do {
      skip_spaces();
      if (rest_.empty() || rest_[0] != '"') fail("a name is missing");
      if (failed_) return out;
      std::string name = read_string();
      expect(":");
      if (!out.members.emplace(name, read_value()).second) fail("a name comes twice");
    } while (!failed_ && take(","));
    expect("}");
    return out;
  }

  std::string_view rest_;
  bool failed_ = false;
};

inline JsonValue parse_json(std::string_view text) { return JsonReader(text).read(); }

}  // namespace inlet::health
