#include "load/answer.h"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace inlet::loader {
namespace {

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

template <typename Number>
bool parse_number(std::string_view text, Number& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (same_word(trim(list.substr(0, comma)), word)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace

void AnswerParser::reset() {
  part_ = Part::head;
  started_ = closes_ = chunked_ = has_length_ = false;
  status_ = retry_after_s_ = 0;
  left_bytes_ = kept_bytes_ = 0;
  held_.clear();
}

AnswerState AnswerParser::feed(std::string_view& bytes) {
  if (!bytes.empty()) started_ = true;
  AnswerState state = AnswerState::more;
  while (state == AnswerState::more && !bytes.empty()) {
    state = part_ == Part::head ? take_head(bytes) : take_body(bytes);
  }
  return state;
}

AnswerState AnswerParser::end() {
  return part_ == Part::to_end ? AnswerState::done : AnswerState::bad;
}

AnswerState AnswerParser::take_head(std::string_view& bytes) {
  if (held_.empty()) {  // The usual case: all of it at once, read where it is.
    const std::size_t end = bytes.find("\r\n\r\n");
    if (end != std::string_view::npos) {
      const std::string_view head = bytes.substr(0, end + 2);
      bytes.remove_prefix(end + 4);
      return head.size() > answer_head_bytes_max ? AnswerState::bad : read_head(head);
    }
  }
  const std::size_t before = held_.size();
  held_.append(bytes.substr(0, answer_head_bytes_max + 4));
  const std::size_t end = held_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end == std::string::npos) {
    bytes = {};
    return held_.size() > answer_head_bytes_max ? AnswerState::bad : AnswerState::more;
  }
  bytes.remove_prefix(end + 4 - before);
  const std::string head = held_.substr(0, end + 2);
  held_.clear();
  return read_head(head);
}

// `head` is the status line and the fields, each with its line end.
AnswerState AnswerParser::read_head(std::string_view head) {
  const bool is_1_1 = head.starts_with("HTTP/1.1 ");
  if (!is_1_1 && !head.starts_with("HTTP/1.0 ")) return AnswerState::bad;
  if (!parse_number(head.substr(9, 3), status_) || status_ < 100 || status_ > 599) {
    return AnswerState::bad;
  }
  if (head[12] != ' ' && head[12] != '\r') return AnswerState::bad;
  closes_ = !is_1_1;
  head.remove_prefix(head.find("\r\n") + 2);
  while (!head.empty()) {
    const std::size_t line_end = head.find("\r\n");
    if (!read_field(head.substr(0, line_end))) return AnswerState::bad;
    head.remove_prefix(line_end + 2);
  }
  if (chunked_ && has_length_) return AnswerState::bad;
  if (status_ == 101) return AnswerState::bad;  // Nobody asked to switch.
  if (status_ < 200) {
    reset();
    started_ = true;
    return AnswerState::more;
  }
  if (status_ == 204 || status_ == 304) return AnswerState::done;
  if (chunked_) {
    part_ = Part::chunk_line;
  } else if (has_length_) {
    if (left_bytes_ == 0) return AnswerState::done;
    part_ = Part::length;
  } else {
    closes_ = true;
    part_ = Part::to_end;
  }
  return AnswerState::more;
}

bool AnswerParser::read_field(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view name = line.substr(0, colon);
  if (name.back() == ' ' || name.front() == ' ' || name.front() == '\t') return false;
  const std::string_view value = trim(line.substr(colon + 1));
  if (same_word(name, "content-length")) {
    std::uint64_t length = 0;
    if (!parse_number(value, length)) return false;
    if (has_length_ && length != left_bytes_) return false;
    has_length_ = true;
    left_bytes_ = length;
  } else if (same_word(name, "transfer-encoding")) {
    if (chunked_ || !same_word(value, "chunked")) return false;
    chunked_ = true;
  } else if (same_word(name, "connection")) {
    if (has_word(value, "close")) closes_ = true;
    if (has_word(value, "keep-alive")) closes_ = false;
  } else if (same_word(name, "retry-after")) {
    if (!parse_number(value, retry_after_s_) || retry_after_s_ < 0) retry_after_s_ = 0;
  }
  return true;
}

AnswerState AnswerParser::take_body(std::string_view& bytes) {
  switch (part_) {
    case Part::length:
    case Part::chunk: {
      const std::string_view body = bytes.substr(0, left_bytes_);
      keep(body);
      bytes.remove_prefix(body.size());
      left_bytes_ -= body.size();
      if (left_bytes_ > 0) return AnswerState::more;
      if (part_ == Part::length) return AnswerState::done;
      part_ = Part::chunk_end;
      return AnswerState::more;
    }
    case Part::to_end:
      keep(bytes);
      bytes = {};
      return AnswerState::more;
    case Part::head: return AnswerState::bad;
    default: return take_chunk_line(bytes);
  }
}

AnswerState AnswerParser::take_chunk_line(std::string_view& bytes) {
  const std::size_t bytes_max =
      part_ == Part::trailer ? answer_head_bytes_max : answer_line_bytes_max;
  if (!take_line(bytes, bytes_max)) {
    return held_.size() > bytes_max ? AnswerState::bad : AnswerState::more;
  }
  std::string_view line(held_);
  if (!line.ends_with("\r\n")) return AnswerState::bad;
  line.remove_suffix(2);
  if (part_ == Part::chunk_end) {
    if (!line.empty()) return AnswerState::bad;
    part_ = Part::chunk_line;
  } else if (part_ == Part::trailer) {
    if (line.empty()) return AnswerState::done;
  } else {
    line = trim(line.substr(0, line.find(';')));
    if (!parse_number(line, left_bytes_, 16)) return AnswerState::bad;
    part_ = left_bytes_ == 0 ? Part::trailer : Part::chunk;
  }
  held_.clear();
  return AnswerState::more;
}

// Whether held_ is a whole line now, with its end.
bool AnswerParser::take_line(std::string_view& bytes, std::size_t bytes_max) {
  const std::size_t room = bytes_max + 1 - held_.size();
  const std::size_t line_end = bytes.substr(0, room).find('\n');
  const std::size_t taken =
      line_end == std::string_view::npos ? std::min(room, bytes.size()) : line_end + 1;
  held_.append(bytes.substr(0, taken));
  bytes.remove_prefix(taken);
  return line_end != std::string_view::npos;
}

void AnswerParser::keep(std::string_view body) {
  const std::size_t count = std::min(body.size(), kept_.size() - kept_bytes_);
  std::memcpy(kept_.data() + kept_bytes_, body.data(), count);
  kept_bytes_ += count;
}

std::string_view AnswerParser::id() const {
  constexpr std::string_view key = "\"id\":";
  const std::string_view body(kept_.data(), kept_bytes_);
  const std::size_t at = body.find(key);
  if (at == std::string_view::npos) return {};
  const std::string_view value = trim(body.substr(at + key.size()));
  if (value.empty() || value[0] != '"') return {};
  const std::size_t end = value.find('"', 1);
  if (end == std::string_view::npos) return {};
  const std::string_view id = value.substr(1, end - 1);
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 127; });
  return plain ? id : std::string_view();
}

}  // namespace inlet::loader
