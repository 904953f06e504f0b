// dead_letter: the text form of a record that a sink would not take, one JSON object a line.
//
//   {"id","tenant","stream","received_at","content_type","content_encoding","peer","trace_id",
//    "idempotency_key","sink","reason","body"}    body: the bytes as they came, in base64
//
// Pure; any thread.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace inlet::codec {

struct DeadLetter {
  std::uint64_t journal_id = 0;
  std::uint64_t sequence = 0;
  std::string tenant;
  std::string stream;
  Microseconds received_us = 0;
  std::string content_type;
  std::string content_encoding;
  std::string peer;
  std::string trace_id;
  std::string request_id = {};
  std::string idempotency_key;
  std::string sink;
  std::string reason;
  std::string body;  // The bytes themselves.
};

// ErrorKind::corrupt if `line` is not such an object, with what is wrong with it.
[[nodiscard]] Result<DeadLetter> parse_dead_letter(std::string_view line);

// Empty if `text` is not base64 (RFC 4648 section 4, with padding).
[[nodiscard]] Result<std::string> from_base64(std::string_view text);

}  // namespace inlet::codec
