#include "serve/trace.h"

#include <algorithm>

#include "http/characters.h"

namespace inlet::serve {
namespace {

constexpr http::CharacterSet request_id_characters = http::character_set("-._~:/+=@");
constexpr std::string_view parent_pattern =
    "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
constexpr std::size_t parent_bytes_max = 128;  // Of a later version.
constexpr std::string_view root_pattern = "1-xxxxxxxx-xxxxxxxxxxxxxxxxxxxxxxxx";
constexpr std::string_view root_key = "Root=";

// 'x' stands for a hexadecimal digit in lower case.
bool fits(std::string_view text, std::string_view pattern) {
  return std::ranges::equal(text, pattern, [](char c, char p) {
    return p == 'x' ? http::is_digit(c) || (c >= 'a' && c <= 'f') : c == p;
  });
}

bool all_zeros(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= request_id_bytes_max &&
         std::ranges::all_of(text, [](char c) { return http::is_in(request_id_characters, c); });
}

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7E; });
}

// version "-" trace-id "-" parent-id "-" trace-flags, and in later versions perhaps "-" more.
void read_parent(std::string_view value, Trace& trace) {
  const std::string_view known = value.substr(0, parent_pattern.size());
  if (!fits(known, parent_pattern) || known.starts_with("ff")) return;
  const std::string_view rest = value.substr(known.size());
  const bool later = !known.starts_with("00");
  const bool fine = rest.empty() || (later && rest.starts_with('-') && is_visible(rest) &&
                                     value.size() <= parent_bytes_max);
  const std::string_view trace_id = known.substr(3, 32);
  if (!fine || all_zeros(trace_id) || all_zeros(known.substr(36, 16))) return;
  trace.parent = value;
  trace.trace_id = trace_id;
}

// Fields NAME=VALUE, separated by ';'.
void read_amzn(std::string_view value, Trace& trace) {
  if (value.empty() || value.size() > trace_field_bytes_max || !is_visible(value)) return;
  trace.amzn = value;
  while (!value.empty()) {
    const std::size_t end = std::min(value.find(';'), value.size());
    const std::string_view field = http::trimmed(value.substr(0, end));
    value.remove_prefix(std::min(value.size(), end + 1));
    if (!field.starts_with(root_key)) continue;
    const std::string_view root = field.substr(root_key.size());
    trace.amzn_root = fits(root, root_pattern) ? root : std::string_view();
    return;
  }
}

// The value of a field that is there once; "" if it is not, or there are several.
class Single {
 public:
  explicit Single(std::string_view name) : name_(name) {}

  void look_at(const http::Field& field) {
    if (!http::equals_ignoring_case(field.name, name_)) return;
    value_ = seen_ ? std::string_view() : field.value;
    seen_ = true;
  }
  [[nodiscard]] std::string_view value() const { return value_; }

 private:
  const std::string_view name_;
  std::string_view value_;
  bool seen_ = false;
};

void write_hex(char* to, std::uint64_t value) {
  static constexpr char digits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) *to++ = digits[value >> shift & 15];
}

// SplitMix64's finisher (Steele, Lea, Flood, "Fast splittable pseudorandom number generators"): one
// to one, so what it makes of different numbers differs.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9;
  value = (value ^ value >> 27) * 0x94D049BB133111EB;
  return value ^ value >> 31;
}

}  // namespace

Trace read_trace(const http::RequestHead& head) {
  Single request_id("x-request-id");
  Single parent("traceparent");
  Single amzn("x-amzn-trace-id");
  for (const http::Field& field : head.fields()) {
    switch (field.name.size()) {
      case 11: parent.look_at(field); break;
      case 12: request_id.look_at(field); break;
      case 15: amzn.look_at(field); break;
      default: break;
    }
  }
  Trace trace;
  if (is_request_id(request_id.value())) trace.request_id = request_id.value();
  read_parent(parent.value(), trace);
  read_amzn(amzn.value(), trace);
  return trace;
}

std::string_view RequestIds::next() {
  write_hex(text_.data(), mix(prefix_));
  write_hex(text_.data() + own_request_id_chars / 2, mix(prefix_ + count_++));
  return {text_.data(), text_.size()};
}

}  // namespace inlet::serve
