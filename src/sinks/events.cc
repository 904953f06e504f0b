#include "sinks/events.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/json.h"
#include "base/names.h"
#include "sinks/text.h"

namespace inlet::sinks {

using codec::Encoding;
using codec::trim_json;

namespace {

constexpr std::size_t scratch_kept_bytes = 1U << 20;  // A larger decoded body is given back.
constexpr std::size_t text_piece_bytes = 48U << 10;   // A multiple of 3, for base64.
static_assert(text_piece_bytes % 3 == 0);

constexpr std::array<std::string_view, 4> line_types{
    "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"};

// "Application/JSON; charset=utf-8" to "application/json".
std::string_view media_type(std::string_view field, std::span<char> room) {
  field = trim_json(field.substr(0, field.find(';')));
  if (field.size() > room.size()) return {};
  std::transform(field.begin(), field.end(), room.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return {room.data(), field.size()};
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Appends valid JSON without its line breaks and the space behind them. A line break never stands
// inside a JSON string, so no string is touched.
void append_on_one_line(std::string_view json, LineBuffer& out) {
  while (!json.empty()) {
    // Two searches: each is many times faster than one for either byte.
    const std::string_view piece = json.substr(0, text_piece_bytes);
    const std::size_t end = std::min({piece.find('\n'), piece.find('\r'), piece.size()});
    out.text().append(json, 0, end);
    json.remove_prefix(end);
    if (end < piece.size()) {
      while (!json.empty() && trim_json(json.substr(0, 1)).empty()) json.remove_prefix(1);
    }
    out.pass_on();
  }
}

// Appends valid UTF-8 as one JSON string, piece by piece, for it may grow six times as long.
void append_text(std::string_view text, LineBuffer& out) {
  out.text() += "\"\"";
  while (!text.empty()) {
    std::size_t end = std::min(text.size(), text_piece_bytes);
    while (end < text.size() && is_continuation(text[end])) end--;
    // The closing quote so far and the opening one of this piece make way for each other.
    const std::size_t joint = out.text().size() - 1;
    out.text().pop_back();
    append_json_string(out.text(), text.substr(0, end));
    out.text().erase(joint, 1);
    text.remove_prefix(end);
    if (out.text().size() < LineBuffer::piece_bytes) continue;
    out.text().pop_back();
    out.pass_on();
    out.text() += '"';
  }
}

void append_base64_string(Bytes bytes, LineBuffer& out) {
  out.text() += '"';
  while (!bytes.empty()) {
    const Bytes piece = bytes.first(std::min(bytes.size(), text_piece_bytes));
    append_base64(out.text(), piece);
    bytes = bytes.subspan(piece.size());
    out.pass_on();
  }
  out.text() += '"';
}

void append_raw(std::string_view bytes, LineBuffer& out) {
  const bool ends_line = bytes.ends_with('\n');
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, text_piece_bytes);
    out.text() += piece;
    bytes.remove_prefix(piece.size());
    out.pass_on();
  }
  if (!ends_line) out.text() += '\n';
}

}  // namespace

Status LineBuffer::flush() {
  if (status_ && !text_.empty()) status_ = to_.consume(text_);
  text_.clear();
  return status_;
}

EventWriter::Shape EventWriter::shape_of(BodyFormat format, std::string_view content_type) {
  if (format == BodyFormat::json) return Shape::json;
  if (format == BodyFormat::ndjson) return Shape::lines;
  std::array<char, 256> room;
  const std::string_view type = media_type(content_type, room);
  if (type == "application/json" || type.ends_with("+json")) return Shape::json;
  if (std::find(line_types.begin(), line_types.end(), type) != line_types.end()) {
    return Shape::lines;
  }
  return Shape::other;
}

void EventWriter::append(const Record& record, std::uint64_t journal_id, BodyFormat format,
                         LineBuffer& out) {
  prepare_envelope(record, journal_id);
  const Encoding encoding =
      record.body.empty() ? Encoding::identity : codec::parse_encoding(record.content_encoding);
  if (encoding == Encoding::identity) {
    append_body(as_text(record.body), format, out);
  } else if (decoder_.decode(encoding, record.body, codec::decoded_bytes_max, decoded_)) {
    append_body(decoded_, format, out);
  } else {
    append_undecoded(record, out);
  }
  if (decoded_.capacity() > scratch_kept_bytes) std::string().swap(decoded_);
}

void EventWriter::prepare_envelope(const Record& record, std::uint64_t journal_id) {
  content_type_ = record.content_type;
  split_ = false;
  index_ = 0;
  if (!envelope_) return;
  head_ = "{\"id\":\"";
  head_ += record_id(journal_id, record.sequence);
  tail_ = "\",\"tenant\":";
  append_json_string(tail_, record.tenant);
  tail_ += ",\"stream\":";
  append_json_string(tail_, record.stream);
  tail_ += ",\"received_at\":\"";
  append_rfc3339(tail_, record.received_us);
  tail_ += "\",";
  append_member("trace_id", record.trace_id);
  append_member("request_id", record.request_id);
}

void EventWriter::append_member(std::string_view name, std::string_view value) {
  if (value.empty()) return;
  tail_ += '"';
  tail_ += name;
  tail_ += "\":";
  append_json_string(tail_, value);
  tail_ += ',';
}

void EventWriter::append_body(std::string_view body, BodyFormat format, LineBuffer& out) {
  switch (body.empty() ? Shape::other : shape_of(format, content_type_)) {
    case Shape::json: return append_json_body(body, out);
    case Shape::lines: return append_lines(body, out);
    case Shape::other: return append_other(body, out);
  }
}

void EventWriter::append_json_body(std::string_view body, LineBuffer& out) {
  const std::string_view json = trim_json(body);
  const auto behind = static_cast<std::size_t>(body.end() - json.end());
  if (!json_.is_json(json, behind)) return append_other(body, out);
  std::string_view element;
  codec::ArrayElements elements(json.starts_with('[') ? json : "[]");
  if (!elements.next(element)) return append_data(json, out);  // No array, or an empty one.
  split_ = true;
  do append_data(element, out);
  while (elements.next(element));
}

void EventWriter::append_lines(std::string_view body, LineBuffer& out) {
  split_ = true;
  std::string_view rest = body;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string_view json = trim_json(line);
    if (json.empty()) continue;
    if (json_.is_json(json, static_cast<std::size_t>(body.end() - json.end()))) {
      append_data(json, out);
    } else {
      append_other(line, out);
    }
  }
  if (index_ > 0) return;
  split_ = false;  // Blank lines only: one event, so that the record leaves a trace.
  append_other(body, out);
}

void EventWriter::start_event(LineBuffer& out) {
  const std::uint64_t index = index_++;
  if (!envelope_) return;
  out.text() += head_;
  if (split_) {
    std::array<char, 24> number;
    const auto end = std::to_chars(number.data(), number.data() + number.size(), index).ptr;
    out.text() += '.';
    out.text().append(number.data(), end);
  }
  out.text() += tail_;
}

void EventWriter::append_data(std::string_view json, LineBuffer& out) {
  start_event(out);
  if (envelope_) out.text() += "\"data\":";
  append_on_one_line(json, out);
  out.text() += envelope_ ? "}\n" : "\n";
  out.pass_on();
}

void EventWriter::append_other(std::string_view body, LineBuffer& out) {
  start_event(out);
  if (!envelope_) return append_raw(body, out);
  if (codec::is_utf8_text(body)) {
    out.text() += "\"text\":";
    append_text(body, out);
  } else {
    out.text() += "\"base64\":";
    append_base64_string(as_bytes(body), out);
  }
  if (!content_type_.empty()) {
    out.text() += ",\"content_type\":";
    append_json_string(out.text(), content_type_);
  }
  out.text() += "}\n";
  out.pass_on();
}

void EventWriter::append_undecoded(const Record& record, LineBuffer& out) {
  if (!envelope_) return append_raw(as_text(record.body), out);
  start_event(out);
  out.text() += "\"base64\":";
  append_base64_string(record.body, out);
  out.text() += ",\"encoding\":";
  append_json_string(out.text(), record.content_encoding);
  if (!content_type_.empty()) {
    out.text() += ",\"content_type\":";
    append_json_string(out.text(), content_type_);
  }
  out.text() += "}\n";
  out.pass_on();
}

}  // namespace inlet::sinks
