// characters: the character classes of HTTP (RFC 9110 section 5.6), and comparing names.
//
// Both parsers (head.h, chunked.h) judge bytes by these tables and nothing else. Pure.

#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace inlet::http {

using CharacterSet = std::array<bool, 256>;

consteval CharacterSet character_set(std::string_view also) {
  CharacterSet set{};
  for (char c = '0'; c <= '9'; c++) set[static_cast<unsigned char>(c)] = true;
  for (char c = 'a'; c <= 'z'; c++) set[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; c++) set[static_cast<unsigned char>(c)] = true;
  for (const char c : also) set[static_cast<unsigned char>(c)] = true;
  return set;
}

consteval CharacterSet visible_set() {
  CharacterSet set{};
  for (std::size_t c = 0x21; c <= 0x7E; c++) set[c] = true;
  return set;
}

inline constexpr CharacterSet token_characters = character_set("!#$%&'*+-.^_`|~");
// Of a request target. Strictly a few of them (such as "{" and "|") must be encoded, but clients
// send them, nobody reads them differently, and no path of ours has them.
inline constexpr CharacterSet target_characters = visible_set();
// reg-name (RFC 3986 section 3.2.2) but for "%", which needs two digits after it, and ",", which
// would make a list of hosts look like one.
inline constexpr CharacterSet host_characters = character_set("-._~!$&'()*+;=");

constexpr bool is_in(const CharacterSet& set, char c) { return set[static_cast<unsigned char>(c)]; }
constexpr bool is_token(char c) { return is_in(token_characters, c); }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
// Of a field's value or a quoted string: no control character but the tab; bytes above ASCII pass.
constexpr bool is_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}

constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); i++) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

constexpr std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Calls `each` with every element of a comma-separated list, trimmed; elements may be empty.
template <typename Each>
constexpr void for_each_in_list(std::string_view list, Each each) {
  while (true) {
    const std::size_t comma = list.find(',');
    each(trimmed(list.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace inlet::http
