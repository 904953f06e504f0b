// events: records in, lines of NDJSON out, for every sink that writes text.
//
// A body is decoded (Content-Encoding), split into events where it holds several (NDJSON lines,
// elements of a JSON array), and each event becomes one line:
//
//   {"id":"ID","tenant":"T","stream":"S","received_at":"2026-11-23T10:00:00.000000Z","data":{…}}
//
//   "data"    JSON as the client sent it, numbers and all, without its line breaks
//   "text"    anything else that is UTF-8       \  both with "content_type" if there was one
//   "base64"  any other bytes                   /
//
// "trace_id" (traceparent or X-Amzn-Trace-Id) and "request_id" (X-Request-Id) stand before these
// where the client sent them. The id is the record's; events of a split body are ID.0, ID.1, … A
// body that cannot be decoded is kept whole as "base64" with its "encoding". Without envelope the
// lines are bare: JSON and text as they are, other bytes as they came.
//
// Invariants:
//   - every record gives at least one line, and every byte but blank lines and the whitespace
//     around JSON is in one of them.
//   - with envelope, every line is valid JSON.
//   - memory: one decoded body (decoded_bytes_max) and little more, however much comes out.
//
// One thread.

#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "codec/decode.h"
#include "codec/json_text.h"
#include "sinks/sink.h"

namespace inlet::sinks {

// Takes lines in pieces; a piece may end anywhere.
class LineConsumer {
 public:
  LineConsumer() = default;
  LineConsumer(const LineConsumer&) = delete;
  LineConsumer& operator=(const LineConsumer&) = delete;
  virtual ~LineConsumer() = default;

  [[nodiscard]] virtual Status consume(std::string_view lines) = 0;
};

// Gathers lines into pieces worth passing on. After an error everything else is thrown away.
class LineBuffer {
 public:
  explicit LineBuffer(LineConsumer& to) : to_(to) {}
  LineBuffer(const LineBuffer&) = delete;
  LineBuffer& operator=(const LineBuffer&) = delete;

  // To append to; then call pass_on().
  [[nodiscard]] std::string& text() { return text_; }
  // Passes the text on if there is enough of it.
  void pass_on() {
    if (text_.size() >= piece_bytes) static_cast<void>(flush());
  }
  // Passes on what is left; the first error since the start.
  Status flush();
  [[nodiscard]] const Status& status() const { return status_; }

  static constexpr std::size_t piece_bytes = 64U << 10;

 private:
  LineConsumer& to_;
  std::string text_;
  Status status_;
};

class EventWriter {
 public:
  explicit EventWriter(bool envelope) : envelope_(envelope) {}
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  // Appends all lines of `record`.
  void append(const Record& record, std::uint64_t journal_id, BodyFormat format, LineBuffer& out);

 private:
  enum class Shape : unsigned char { json, lines, other };

  [[nodiscard]] static Shape shape_of(BodyFormat format, std::string_view content_type);
  void prepare_envelope(const Record& record, std::uint64_t journal_id);
  void append_member(std::string_view name, std::string_view value);
  void append_body(std::string_view body, BodyFormat format, LineBuffer& out);
  void append_json_body(std::string_view body, LineBuffer& out);
  void append_lines(std::string_view body, LineBuffer& out);
  void start_event(LineBuffer& out);
  void append_data(std::string_view json, LineBuffer& out);
  void append_other(std::string_view body, LineBuffer& out);
  void append_undecoded(const Record& record, LineBuffer& out);

  const bool envelope_;
  codec::Decoder decoder_;
  codec::JsonChecker json_;
  std::string decoded_;

  // Of the record in hand.
  std::string head_;  // {"id":"ID
  std::string tail_;  // ","tenant":"T","stream":"S","received_at":"…",
  std::string_view content_type_;
  bool split_ = false;
  std::uint64_t index_ = 0;  // Of the next event of a split body.
};

}  // namespace inlet::sinks
