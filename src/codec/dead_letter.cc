#include "codec/dead_letter.h"

#include <simdjson.h>

#include <array>

#include "base/calendar.h"
#include "base/names.h"

namespace inlet::codec {
namespace {

constexpr unsigned char not_a_digit = 255;

constexpr std::array<unsigned char, 256> digit_values() {
  std::array<unsigned char, 256> values{};
  values.fill(not_a_digit);
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < digits.size(); i++) {
    values[static_cast<unsigned char>(digits[i])] = static_cast<unsigned char>(i);
  }
  return values;
}

std::unexpected<Error> wrong(std::string_view what) {
  return fail(ErrorKind::corrupt, "not a dead letter: " + std::string(what));
}

// Whether the member is a string; `out` gets it.
bool take(const simdjson::dom::object& object, std::string_view key, std::string& out) {
  std::string_view text;
  if (object[key].get(text) != simdjson::SUCCESS) return false;
  out = text;
  return true;
}

}  // namespace

Result<std::string> from_base64(std::string_view text) {
  static constexpr auto values = digit_values();
  std::string bytes;
  if (text.size() % 4 != 0) return wrong("its body is not base64");
  bytes.reserve(text.size() / 4 * 3);
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(padding);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const unsigned char value = values[static_cast<unsigned char>(c)];
    if (value == not_a_digit) return wrong("its body is not base64");
    bits = bits << 6 | value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 255);
  }
  return bytes;
}

Result<DeadLetter> parse_dead_letter(std::string_view line) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(line.data(), line.size()).get(object) != simdjson::SUCCESS) {
    return wrong("it is not a JSON object");
  }
  DeadLetter letter;
  std::string id;
  std::string received_at;
  std::string body;
  for (const auto& [key, out] : {std::pair{"id", &id},
                                 {"tenant", &letter.tenant},
                                 {"stream", &letter.stream},
                                 {"received_at", &received_at},
                                 {"content_type", &letter.content_type},
                                 {"content_encoding", &letter.content_encoding},
                                 {"peer", &letter.peer},
                                 {"trace_id", &letter.trace_id},
                                 {"idempotency_key", &letter.idempotency_key},
                                 {"sink", &letter.sink},
                                 {"reason", &letter.reason},
                                 {"body", &body}}) {
    if (!take(object, key, *out)) return wrong("it has no \"" + std::string(key) + "\"");
  }
  static_cast<void>(take(object, "request_id", letter.request_id));  // Few have one.
  const auto record = parse_record_id(id);
  if (!record) return wrong("its id is " + id);
  letter.journal_id = record->journal_id;
  letter.sequence = record->sequence;
  const auto received_us = parse_rfc3339(received_at);
  if (!received_us) return wrong("it was received at " + received_at);
  letter.received_us = *received_us;
  auto bytes = from_base64(body);
  if (!bytes) return fail(bytes);
  letter.body = std::move(*bytes);
  return letter;
}

}  // namespace inlet::codec
