// chunked: the strict decoder of the chunked transfer coding (RFC 9112 section 7.1).
//
// Bytes in, body bytes out; no I/O and no allocation. It takes every byte given until the body ends
// or the room for output is used up, and remembers where it stood, so input may be split anywhere.
// Output may lie over the input, not after it: body bytes are fewer than their coding.
//
// Refused, because two readers could disagree about them: a size without digits, more than 15 of
// them, blanks before CR LF, a lone CR or LF, an extension that is not one, folded trailer lines.
//
// Invariants:
//   - done() is only true after the empty line that ends the trailers.
//   - one size line with its extensions has at most limits::chunk_line_bytes_max bytes, all
//     trailers together limits::trailer_bytes_max. Trailers are checked and dropped.
//
// One thread.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace inlet::http {

class ChunkedDecoder {
 public:
  struct Progress {
    std::size_t consumed;  // Of the input.
    std::size_t produced;  // Into `room`.
  };

  // Empty error() and not done(): wants more input, or more room if input is left.
  Progress decode(Bytes in, MutableBytes room);

  [[nodiscard]] bool done() const { return state_ == State::done; }
  // Null, or one sentence for the client; then the decoder is of no more use.
  [[nodiscard]] const char* error() const { return error_; }
  // What the chunk at hand still has to bring: so many bytes may be received straight into the body
  // and reported by take_data().
  [[nodiscard]] std::uint64_t data_remaining() const {
    return state_ == State::data ? remaining_ : 0;
  }
  void take_data(std::uint64_t bytes);

 private:
  enum class State : unsigned char {
    size_first,
    size,
    extension_mark,  // After blanks that only an extension may follow.
    extension_name_first,
    extension_name,
    extension_name_end,  // After blanks: "=" or ";".
    extension_value_first,
    extension_value,
    extension_quoted,
    extension_escaped,
    extension_end,  // After the value: ";" or the line's end.
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_first,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf,
    done,
    failed,
  };

  void step(char c);
  void step_size(char c);
  void step_extension(char c);
  void step_trailer(char c);
  void end_or(char c, const char* detail);
  void expect(char c, char expected, State next);
  void fail(const char* detail);
  void count(std::size_t bytes_max, const char* detail);

  State state_ = State::size_first;
  unsigned char digits_ = 0;      // Of the size, leading zeros not counted.
  std::uint32_t line_bytes_ = 0;  // Of the size line, then of all trailers.
  std::uint64_t remaining_ = 0;   // Of the chunk's data; its size while that is being read.
  const char* error_ = nullptr;
};

}  // namespace inlet::http
