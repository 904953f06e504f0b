// http_body: the lines of some records as the body of one request.
//
//   ndjson   the lines as they are (events.h)
//   json     [LINE,LINE,…], so that the body is one JSON array
//
// In an array without envelope a line that is no JSON becomes a JSON string, and one that is not
// even UTF-8 cannot be sent.
//
// Invariants:
//   - a record is in a body with all of its lines or not at all.
//   - a body is larger than bytes_max only if it holds a single record.
//   - the same records under the same options give the same bytes.
//   - memory: one body and what one record becomes, at most record_lines_bytes_max.
//
// One thread.

#pragma once

#include <string>

#include "codec/json_text.h"
#include "sinks/compress.h"
#include "sinks/events.h"
#include "sinks/sink.h"

namespace inlet::sinks {

enum class HttpBody : unsigned char { ndjson, json };

struct HttpBodyOptions {
  HttpBody shape = HttpBody::ndjson;
  bool envelope = true;
  Compression compression = Compression::none;
  int level = 1;
  std::size_t bytes_max = 1U << 20;  // Before compression.
};

class HttpBodyWriter {
 public:
  // Room for the largest body that is not split into lines, as base64 (codec::decoded_bytes_max).
  static constexpr std::size_t record_lines_bytes_max = 96U << 20;

  explicit HttpBodyWriter(HttpBodyOptions options);
  HttpBodyWriter(const HttpBodyWriter&) = delete;
  HttpBodyWriter& operator=(const HttpBodyWriter&) = delete;

  enum class Added : unsigned char {
    yes,
    no_room,  // Not with those before it.
    never,    // It cannot be sent at all: why().
  };
  [[nodiscard]] Added add(const Record& record, std::uint64_t journal_id, BodyFormat format);
  [[nodiscard]] const std::string& why() const { return why_; }

  // The body with all that was added, compressed; the next add() begins another.
  [[nodiscard]] std::string finish();

 private:
  [[nodiscard]] bool make_elements(std::size_t start);
  [[nodiscard]] bool append_element(std::string_view line, std::size_t readable_after,
                                    std::string& out);

  const HttpBodyOptions options_;
  EventWriter events_;
  Compressor compressor_;
  codec::JsonChecker json_;
  std::string text_;
  std::size_t records_ = 0;
  std::string why_;
};

}  // namespace inlet::sinks
