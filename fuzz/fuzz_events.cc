// Goal: no body, content type or encoding makes the split into events crash, lose bytes, or write a
// line that is not JSON.
// Method: the first bytes choose encoding, content type and format; the lines are
// parsed and put together again, and must give what went in. The two ways to check JSON must agree.

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/names.h"
#include "codec/decode.h"
#include "codec/json_text.h"
#include "sinks/events.h"
#include "sinks/text.h"

namespace {

using namespace inlet;
using sinks::BodyFormat;
using sinks::EventWriter;
using sinks::LineBuffer;

constexpr std::uint64_t journal_id = 0x3f9a2c1d55aa;
constexpr std::uint64_t sequence = 42;
// An event may be six times its text, and a piece is passed on after at most one piece of input.
constexpr std::size_t piece_bytes_max = 8 * LineBuffer::piece_bytes;

constexpr std::array<std::string_view, 5> encodings{"", "gzip", "zstd", "deflate", "br"};
constexpr std::array<std::string_view, 6> types{"application/json",
                                                "application/x-ndjson",
                                                "text/plain",
                                                "",
                                                "application/jsonl; charset=x",
                                                "application/cloudevents-batch+json"};
constexpr std::array<BodyFormat, 3> formats{BodyFormat::raw, BodyFormat::json, BodyFormat::ndjson};

class Collected final : public sinks::LineConsumer {
 public:
  Status consume(std::string_view lines) override {
    CHECK(lines.size() <= piece_bytes_max);
    text += lines;
    return {};
  }
  std::string text;
};

std::string without_space(std::string_view text) {
  std::string out;
  std::ranges::copy_if(text, std::back_inserter(out),
                       [](char c) { return c != ' ' && c != '\t' && c != '\n' && c != '\r'; });
  return out;
}

struct Event {
  std::string_view id;
  std::string kind;     // "data", "text" or "base64"
  std::string content;  // As it stands, unescaped, or in base64.
};

// What a line says; CHECKs that it is one JSON object with the members of an event.
Event parse(simdjson::dom::parser& parser, std::string_view line) {
  const auto object = parser.parse(line.data(), line.size());
  // Valid numbers beyond 64 bits are too much for simdjson; the scanner takes them.
  CHECK(object.error() == simdjson::SUCCESS || codec::scan_json(line));
  Event event;
  const std::size_t id = line.find("\"id\":\"") + 6;
  event.id = line.substr(id, line.find('"', id) - id);
  for (const char* kind : {"data", "text", "base64"}) {
    const std::string key = std::string("Z\",\"") + kind + "\":";
    const std::size_t at = line.find(key);
    if (at == std::string_view::npos) continue;
    event.kind = kind;
    if (event.kind == "data") {
      event.content = line.substr(at + key.size(), line.size() - at - key.size() - 1);
      CHECK(codec::scan_json(event.content));
    } else {
      std::string_view value;
      CHECK(object[kind].get(value) == simdjson::SUCCESS);
      event.content = value;
    }
    return event;
  }
  CHECK(false);
  return event;
}

std::vector<Event> parse_all(simdjson::dom::parser& parser, std::string_view text) {
  std::vector<Event> events;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    CHECK(end != std::string_view::npos);
    events.push_back(parse(parser, text.substr(0, end)));
    text.remove_prefix(end + 1);
  }
  return events;
}

// What an event must hold if it came from these bytes as a whole.
void check_whole(const Event& event, std::string_view body) {
  if (event.kind == "data") {
    CHECK(without_space(event.content) == without_space(body));
  } else if (event.kind == "text") {
    CHECK(event.content == body);
  } else {
    std::string base64;
    sinks::append_base64(base64, as_bytes(body));
    CHECK(event.content == base64);
  }
}

void check_ids(const std::vector<Event>& events, bool split) {
  const std::string id = record_id(journal_id, sequence);
  for (std::size_t i = 0; i < events.size(); i++) {
    CHECK(events[i].id == (split ? id + "." + std::to_string(i) : id));
  }
}

// The lines of an NDJSON body that are not blank.
std::vector<std::string_view> lines_of(std::string_view body) {
  std::vector<std::string_view> lines;
  while (!body.empty()) {
    std::string_view line = body.substr(0, body.find('\n'));
    body.remove_prefix(std::min(body.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!codec::trim_json(line).empty()) lines.push_back(line);
  }
  return lines;
}

void check_events(const std::vector<Event>& events, std::string_view body, bool is_lines) {
  CHECK(!events.empty());
  const bool split = events[0].id.find('.') != std::string_view::npos;
  check_ids(events, split);
  if (!split) {
    CHECK(events.size() == 1);
    return check_whole(events[0], body);
  }
  if (is_lines) {
    const auto lines = lines_of(body);
    CHECK(lines.size() == events.size());
    for (std::size_t i = 0; i < lines.size(); i++) check_whole(events[i], lines[i]);
    return;
  }
  std::string joined;
  for (const Event& event : events) {
    CHECK(event.kind == "data");
    joined += (joined.empty() ? "[" : ",") + event.content;
  }
  CHECK(without_space(joined + "]") == without_space(body));
}

std::string lines_for(EventWriter& writer, const sinks::Record& record, BodyFormat format) {
  Collected collected;
  LineBuffer buffer(collected);
  writer.append(record, journal_id, format, buffer);
  CHECK(buffer.flush());
  return collected.text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 3, size - 3);
  const BodyFormat format = formats[data[2] % formats.size()];
  const sinks::Record record{.sequence = sequence,
                             .received_us = 1'700'000'000'000'000,
                             .tenant = "acme",
                             .stream = "s",
                             .content_type = types[data[1] % types.size()],
                             .content_encoding = encodings[data[0] % encodings.size()],
                             .peer = "",
                             .trace_id = "",
                             .idempotency_key = "",
                             .body = as_bytes(body)};
  // Made once: their tables take longer to make than most inputs to try, and they must not carry
  // anything from one record to the next.
  static EventWriter enveloped(true);
  static EventWriter bare_lines(false);
  static simdjson::dom::parser parser;
  static codec::Decoder decoder;
  static codec::JsonChecker checker;

  const std::string lines = lines_for(enveloped, record, format);
  const std::vector<Event> events = parse_all(parser, lines);

  std::string decoded(body);
  const auto encoding = codec::parse_encoding(record.content_encoding);
  if (!body.empty() && encoding != codec::Encoding::identity &&
      !decoder.decode(encoding, record.body, codec::decoded_bytes_max, decoded)) {
    decoded = body;  // Kept whole.
    CHECK(events.size() == 1 && events[0].kind == "base64");
  }
  const bool by_type_lines = (data[1] % types.size()) == 1 || (data[1] % types.size()) == 4;
  const bool is_lines =
      format == BodyFormat::ndjson || (format == BodyFormat::raw && by_type_lines);
  check_events(events, decoded, is_lines);

  const std::string bare = lines_for(bare_lines, record, format);
  CHECK(bare.ends_with('\n'));
  CHECK(without_space(decoded).size() <= without_space(bare).size() + 2 + events.size());

  CHECK(checker.is_json(body, 0) == codec::scan_json(body));
  return 0;
}
