// body: where the bytes of a request's body go, sized or chunked; no I/O.
//
// Bytes arrive behind the head in the read buffer. A body that fits the large read buffer stays
// there and is never copied (a chunked one is decoded in place). A larger one moves to memory of
// the handler, but only once the small buffer is full: a declared length is a claim, memory follows
// bytes. From then on bytes are received straight into that memory, which doubles as it
// fills, unless the handler gives more at once.
//
// Invariants, between calls of next():
//   - in the buffer: [head][body so far, decoded], and nothing else until the body is complete.
//   - in memory: the buffer holds [head][coded bytes not yet decoded].
//
// One thread.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "http/chunked.h"
#include "http/handler.h"
#include "http/input.h"

namespace inlet::http {

class Body {
 public:
  enum class Need : unsigned char {
    input,      // Read more behind what is in the buffer.
    direct,     // Read into room(), then received().
    memory,     // The handler had none: call next() again later.
    nothing,    // Complete: see bytes() and request_bytes().
    less,       // It is larger than bytes_max.
    soundness,  // Its coding is broken: see error().
  };

  void start(const RequestHead& head, std::size_t head_bytes);
  void limit(std::uint64_t bytes_max) { bytes_max_ = bytes_max; }

  // Looks at what is in `input` and says what has to happen next.
  [[nodiscard]] Need next(Input& input, Handler& handler);
  [[nodiscard]] MutableBytes room() const { return room_; }
  void received(std::size_t count);

  [[nodiscard]] Bytes bytes(const Input& input) const;
  // What of `input` belongs to this request, once it is complete.
  [[nodiscard]] std::size_t request_bytes() const { return request_bytes_; }
  [[nodiscard]] const char* error() const { return decoder_.error(); }

  // Instead of next(): drops what is in `input`, whose head is gone already. Never `direct`,
  // `memory` or `less`.
  [[nodiscard]] Need discard(Input& input);
  [[nodiscard]] std::uint64_t discarded() const { return done_bytes_; }

  [[nodiscard]] bool is_empty() const { return !chunked_ && length_ == 0; }
  [[nodiscard]] bool is_chunked() const { return chunked_; }
  // Of a sized body; 0 for a chunked one.
  [[nodiscard]] std::uint64_t length() const { return length_; }
  [[nodiscard]] std::uint64_t length_left(const Input& input) const;

 private:
  Need next_sized(Input& input, Handler& handler);
  Need next_chunked(Input& input, Handler& handler);
  Need decode_in_buffer(Input& input, Handler& handler);
  Need decode_to_memory(Input& input, Handler& handler);
  Need ask_for_memory(Handler& handler, std::uint64_t bytes_needed);

  bool chunked_ = false;
  std::size_t head_bytes_ = 0;
  std::size_t request_bytes_ = 0;
  std::uint64_t length_ = 0;
  std::uint64_t bytes_max_ = 0;
  std::uint64_t done_bytes_ = 0;  // Of the body, decoded; or of its coding, discarded.
  MutableBytes memory_;           // The handler's; empty while the body is in the buffer.
  MutableBytes room_;
  ChunkedDecoder decoder_;
};

}  // namespace inlet::http
