// answer: an HTTP/1.1 answer taken apart as its bytes arrive, in pieces of any size.
//
// Knows what a client needs to know where the answer ends: Content-Length, chunked, end of the
// connection, interim (1xx) answers. Whatever does not fit is bad, never guessed: an answer taken
// for another request's would count a record as acknowledged that is not.
//
// Invariants:
//   - the same bytes give the same answer however they are split.
//   - memory is bounded by answer_head_bytes_max and id_chars_max.
//
// One thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace inlet::loader {

inline constexpr std::size_t answer_head_bytes_max = 16384;
inline constexpr std::size_t answer_line_bytes_max = 256;   // Of a chunk's size line.
inline constexpr std::size_t answer_body_kept_bytes = 256;  // The id stands near the start.

enum class AnswerState : unsigned char { more, done, bad };

class AnswerParser {
 public:
  // Ready for the next answer on the same connection.
  void reset();

  // Takes from the front of `bytes` what belongs to this answer. After done or bad: reset().
  [[nodiscard]] AnswerState feed(std::string_view& bytes);
  // The connection ended.
  [[nodiscard]] AnswerState end();
  // Whether any byte of the answer has come.
  [[nodiscard]] bool started() const { return started_; }

  // Of an answer that is done.
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool closes() const { return closes_; }  // The connection takes no more requests.
  [[nodiscard]] int retry_after_s() const { return retry_after_s_; }  // 0: not said.
  // The value of "id" in the JSON body; empty if there is none.
  [[nodiscard]] std::string_view id() const;

 private:
  enum class Part : unsigned char { head, length, chunk_line, chunk, chunk_end, trailer, to_end };

  AnswerState take_head(std::string_view& bytes);
  AnswerState read_head(std::string_view head);
  bool read_field(std::string_view line);
  AnswerState take_body(std::string_view& bytes);
  AnswerState take_chunk_line(std::string_view& bytes);
  bool take_line(std::string_view& bytes, std::size_t bytes_max);
  void keep(std::string_view body);

  Part part_ = Part::head;
  bool started_ = false;
  bool closes_ = false;
  bool chunked_ = false;
  bool has_length_ = false;
  int status_ = 0;
  int retry_after_s_ = 0;
  std::uint64_t left_bytes_ = 0;  // Of the body, or of the chunk.
  std::string held_;              // A head or line that has come in part.
  std::size_t kept_bytes_ = 0;
  std::array<char, answer_body_kept_bytes> kept_;
};

}  // namespace inlet::loader
