#include "http/chunked.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"
#include "http/characters.h"

namespace inlet::http {
namespace {

constexpr unsigned size_digits_max = 15;  // Sizes stay below 2^60: adding them up cannot overflow.
constexpr const char* bad_extension = "A chunk extension is malformed.";

}  // namespace

ChunkedDecoder::Progress ChunkedDecoder::decode(Bytes in, MutableBytes room) {
  CHECK(error_ == nullptr);
  std::size_t at = 0;
  std::size_t made = 0;
  while (at < in.size() && state_ != State::done && error_ == nullptr) {
    if (state_ != State::data) {
      step(static_cast<char>(in[at++]));
      continue;
    }
    const std::size_t piece =
        std::min({static_cast<std::size_t>(remaining_), in.size() - at, room.size() - made});
    if (piece == 0) break;  // No room.
    std::memmove(room.data() + made, in.data() + at, piece);
    at += piece;
    made += piece;
    take_data(piece);
  }
  return {at, made};
}

void ChunkedDecoder::take_data(std::uint64_t bytes) {
  CHECK(state_ == State::data && bytes <= remaining_);
  remaining_ -= bytes;
  if (remaining_ == 0) state_ = State::data_cr;
}

void ChunkedDecoder::fail(const char* detail) {
  state_ = State::failed;
  error_ = detail;
}

void ChunkedDecoder::count(std::size_t bytes_max, const char* detail) {
  if (++line_bytes_ > bytes_max) fail(detail);
}

void ChunkedDecoder::expect(char c, char expected, State next) {
  if (c != expected) return fail("A chunk does not end where its size said.");
  state_ = next;
}

void ChunkedDecoder::step(char c) {
  switch (state_) {
    case State::size_first:
    case State::size:
    case State::extension_mark:
    case State::size_lf:
      count(limits::chunk_line_bytes_max, "A chunk's size line is too long.");
      if (error_ == nullptr) step_size(c);
      return;
    case State::data_cr: return expect(c, '\r', State::data_lf);
    case State::data_lf: return expect(c, '\n', State::size_first);
    case State::trailer_first:
    case State::trailer_name:
    case State::trailer_value:
    case State::trailer_lf:
    case State::end_lf:
      count(limits::trailer_bytes_max, "The trailers are too large.");
      if (error_ == nullptr) step_trailer(c);
      return;
    case State::data:
    case State::done:
    case State::failed: CHECK(false); return;
    default:
      count(limits::chunk_line_bytes_max, "A chunk's size line is too long.");
      if (error_ == nullptr) step_extension(c);
  }
}

void ChunkedDecoder::step_size(char c) {
  const int digit = hex_value(c);
  switch (state_) {
    case State::size_first:
      if (digit < 0) return fail("A chunk's size is not a hexadecimal number.");
      remaining_ = 0;
      digits_ = 0;
      state_ = State::size;
      [[fallthrough]];
    case State::size:
      if (digit < 0) {
        if (is_blank(c)) {
          state_ = State::extension_mark;
          return;
        }
        return end_or(c, "A chunk's size is not a hexadecimal number.");
      }
      if (remaining_ != 0 || digit != 0) digits_++;
      if (digits_ > size_digits_max) return fail("A chunk's size is beyond all bounds.");
      remaining_ = remaining_ << 4 | static_cast<unsigned>(digit);
      return;
    case State::extension_mark:
      if (is_blank(c)) return;
      if (c != ';') return fail("A chunk's size line has blanks and no extension.");
      state_ = State::extension_name_first;
      return;
    default:
      if (c != '\n') return fail("A carriage return stands alone.");

      line_bytes_ = 0;
      state_ = remaining_ == 0 ? State::trailer_first : State::data;
  }
}

// After a size, an extension's name or its value: the line ends or an extension begins.
void ChunkedDecoder::end_or(char c, const char* detail) {
  if (c == '\r') {
    state_ = State::size_lf;
  } else if (c == ';') {
    state_ = State::extension_name_first;
  } else {
    fail(detail);
  }
}

void ChunkedDecoder::step_extension(char c) {
  switch (state_) {
    case State::extension_name_first:
      if (is_blank(c)) return;
      if (!is_token(c)) return fail(bad_extension);
      state_ = State::extension_name;
      return;
    case State::extension_name:
      if (is_token(c)) return;
      if (is_blank(c)) {
        state_ = State::extension_name_end;
      } else if (c == '=') {
        state_ = State::extension_value_first;
      } else {
        end_or(c, bad_extension);
      }
      return;
    case State::extension_name_end:
      if (is_blank(c)) return;
      if (c != '=' && c != ';') return fail(bad_extension);
      state_ = c == '=' ? State::extension_value_first : State::extension_name_first;
      return;
    case State::extension_value_first:
      if (is_blank(c)) return;
      if (c != '"' && !is_token(c)) return fail(bad_extension);
      state_ = c == '"' ? State::extension_quoted : State::extension_value;
      return;
    case State::extension_value:
      if (is_token(c)) return;
      [[fallthrough]];
    case State::extension_end:
      if (is_blank(c)) {
        state_ = State::extension_mark;
        return;
      }
      return end_or(c, bad_extension);
    case State::extension_quoted:
      if (!is_text(c)) return fail(bad_extension);
      if (c == '"') state_ = State::extension_end;
      if (c == '\\') state_ = State::extension_escaped;
      return;
    default:
      if (!is_text(c)) return fail(bad_extension);
      state_ = State::extension_quoted;
  }
}

void ChunkedDecoder::step_trailer(char c) {
  switch (state_) {
    case State::trailer_first:
      if (c == '\r') {
        state_ = State::end_lf;
        return;
      }
      state_ = State::trailer_name;
      if (!is_token(c)) fail("A trailer field is malformed.");
      return;
    case State::trailer_name:
      if (c == ':') {
        state_ = State::trailer_value;
      } else if (!is_token(c)) {
        fail("A trailer field is malformed.");
      }
      return;
    case State::trailer_value:
      if (c == '\r') {
        state_ = State::trailer_lf;
      } else if (!is_text(c)) {
        fail("A trailer field is malformed.");
      }
      return;
    default:
      if (c != '\n') return fail("A carriage return stands alone.");
      state_ = state_ == State::end_lf ? State::done : State::trailer_first;
  }
}

}  // namespace inlet::http
