#include "base/names.h"

#include <algorithm>
#include <charconv>

namespace inlet {
namespace {

constexpr std::size_t name_chars_max = 64;
constexpr std::size_t hex_digits = 12;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

char* write_hex(char* out, std::uint64_t value) {
  static constexpr char digits[] = "0123456789abcdef";
  for (std::size_t i = hex_digits; i-- > 0;) *out++ = digits[value >> (4 * i) & 15];
  return out;
}

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > name_chars_max || !is_letter_or_digit(text[0])) return false;
  for (const char c : text) {
    if (!is_letter_or_digit(c) && c != '_' && c != '.' && c != '-') return false;
  }
  return true;
}

bool is_name_pattern(std::string_view text) {
  if (text.empty() || text.size() > name_chars_max) return false;
  return std::ranges::all_of(text, [](char c) {
    return is_letter_or_digit(c) || c == '_' || c == '.' || c == '-' || c == '*';
  });
}

bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;  // The last one met; what it stands for may grow.
  std::size_t star_n = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_n = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      p++;
      n++;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++star_n;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') p++;
  return p == pattern.size();
}

bool matches_any(std::span<const std::string> patterns, std::string_view name) {
  return std::ranges::any_of(patterns,
                             [&](const std::string& pattern) { return matches(pattern, name); });
}

std::string record_id(std::uint64_t journal_id, std::uint64_t sequence) {
  std::string id(record_id_chars, '\0');
  write_record_id(id.data(), journal_id, sequence);
  return id;
}

char* write_record_id(char* out, std::uint64_t journal_id, std::uint64_t sequence) {
  out = write_hex(out, journal_id);
  *out++ = '-';
  return write_hex(out, sequence);
}

std::optional<RecordId> parse_record_id(std::string_view text) {
  if (text.size() != record_id_chars || text[hex_digits] != '-') return std::nullopt;
  const auto journal = parse_hex(text.substr(0, hex_digits));
  const auto sequence = parse_hex(text.substr(hex_digits + 1));
  if (!journal || !sequence) return std::nullopt;
  return RecordId{*journal, *sequence};
}

}  // namespace inlet
