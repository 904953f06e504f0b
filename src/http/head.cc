#include "http/head.h"

#include <cstring>
#include <limits>

#include "http/characters.h"
#include "http/target.h"

namespace inlet::http {
namespace {

using Kind = HeadResult::Kind;

constexpr std::string_view version_prefix = "HTTP/";
constexpr std::size_t version_bytes = std::string_view(" HTTP/1.1").size();

// The first character of text[from..) that may not stand in a field's value, or text.size(). Eight
// bytes at a time: this loop sees most bytes of a head.
std::size_t find_not_text(std::string_view text, std::size_t from) {
  constexpr std::uint64_t ones = 0x0101010101010101;
  constexpr std::uint64_t tops = 0x8080808080808080;
  while (from + sizeof(std::uint64_t) <= text.size()) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + from, sizeof word);
    const std::uint64_t controls = (word - ones * 0x20) & ~word & tops;
    const std::uint64_t deletes = word ^ (ones * 0x7F);
    // May be true for a tab or, by a borrow, for the byte after a control: then look closely.
    if ((controls | ((deletes - ones) & ~deletes & tops)) != 0) break;
    from += sizeof word;
  }
  while (from < text.size() && is_text(text[from])) from++;
  return from;
}

// One pass from left to right, so that the first offence decides whatever follows it.
class Parser {
 public:
  Parser(std::string_view bytes, RequestHead& head)
      : bytes_(bytes.substr(0, limits::head_bytes_max)), head_(head) {}

  HeadResult run() {
    head_.method = {};
    head_.content_length.reset();
    head_.chunked = head_.keep_alive = head_.expect_continue = head_.expect_other = false;
    head_.field_count = 0;
    if (empty_line_before() && request_line() && fields() && verdict()) {
      result_ = {Kind::complete, at_, 0, ""};
    }
    return result_;
  }

 private:
  // All steps return false when there is nothing more to do: result_ says why.
  bool reject(int status, const char* detail) {
    result_ = {Kind::rejected, 0, status, detail};
    return false;
  }
  bool ran_out() {
    if (at_ < limits::head_bytes_max) return false;  // result_ is incomplete.
    return reject(431, "The request's header fields are too large.");
  }
  bool line_end(const char* detail) {
    if (at_ == bytes_.size()) return ran_out();
    if (bytes_[at_] != '\r') return reject(400, detail);
    if (++at_ == bytes_.size()) return ran_out();
    if (bytes_[at_] != '\n') return reject(400, "A carriage return stands alone.");
    at_++;
    return true;
  }

  // RFC 9112 section 2.2 asks to be kind to one.
  bool empty_line_before() {
    if (bytes_.empty()) return false;
    return bytes_[0] != '\r' || line_end("");
  }

  bool request_line();
  bool method();
  bool target(std::size_t end_max);
  bool version();
  bool fields();
  bool field_line();
  bool note(std::string_view name, std::string_view value);
  bool note_content_length(std::string_view value);
  bool note_transfer_encoding(std::string_view value);
  bool verdict();

  const std::string_view bytes_;
  RequestHead& head_;
  std::size_t at_ = 0;
  HeadResult result_{Kind::incomplete, 0, 0, ""};
  std::string_view host_;
  bool host_seen_ = false;
  bool transfer_encoding_seen_ = false;
  bool close_asked_ = false;
  bool keep_alive_asked_ = false;
};

bool Parser::request_line() {
  const std::size_t line_end_max = at_ + limits::request_line_bytes_max;
  return method() && target(line_end_max - version_bytes) && version();
}

bool Parser::method() {
  const std::size_t start = at_;
  while (at_ < bytes_.size() && is_token(bytes_[at_])) {
    if (++at_ - start > method_bytes_max) return reject(501, "The method is not known.");
  }
  if (at_ == bytes_.size()) return ran_out();
  if (bytes_[at_] != ' ' || at_ == start) return reject(400, "The method is malformed.");
  head_.method = bytes_.substr(start, at_ - start);
  at_++;
  return true;
}

bool Parser::target(std::size_t end_max) {
  const std::size_t start = at_;
  while (at_ < bytes_.size() && is_in(target_characters, bytes_[at_])) {
    if (++at_ > end_max) return reject(414, "The request target is too long.");
  }
  if (at_ == bytes_.size()) return ran_out();
  if (bytes_[at_] != ' ' || at_ == start) {
    return reject(400, "The request target is empty or has a character that must be encoded.");
  }
  head_.target = bytes_.substr(start, at_ - start);
  at_++;
  return true;
}

bool Parser::version() {
  constexpr const char* malformed = "The request line does not end in an HTTP version.";
  for (const char expected : version_prefix) {
    if (at_ == bytes_.size()) return ran_out();
    if (bytes_[at_] != expected) return reject(400, malformed);
    at_++;
  }
  char digits[2];
  for (std::size_t i = 0; i < 3; i++) {
    if (at_ == bytes_.size()) return ran_out();
    const char c = bytes_[at_++];
    if (i == 1 ? c != '.' : !is_digit(c)) return reject(400, malformed);
    if (i != 1) digits[i / 2] = c;
  }
  if (digits[0] != '1' || digits[1] > '1') {
    return reject(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
  }
  head_.minor_version = digits[1] == '1' ? 1 : 0;
  return line_end(malformed);
}

bool Parser::fields() {
  while (true) {
    if (at_ == bytes_.size()) return ran_out();
    if (bytes_[at_] == '\r') return line_end("");
    if (head_.field_count == limits::fields_max) return reject(431, "Too many header fields.");
    if (!field_line()) return false;
  }
}

bool Parser::field_line() {
  const std::size_t start = at_;
  while (at_ < bytes_.size() && is_token(bytes_[at_])) at_++;
  if (at_ == bytes_.size()) return ran_out();
  if (bytes_[at_] != ':' || at_ == start) return reject(400, "A field name is malformed.");
  const std::string_view name = bytes_.substr(start, at_ - start);
  const std::size_t value_start = ++at_;
  at_ = find_not_text(bytes_, at_);
  const std::string_view value = trimmed(bytes_.substr(value_start, at_ - value_start));
  if (!line_end("A field value has a character that must not be sent.")) return false;
  head_.field_array[head_.field_count++] = {name, value};
  return note(name, value);
}

// What this field says about framing and the connection. Lengths first: most fields say nothing.
bool Parser::note(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 4:
      if (!equals_ignoring_case(name, "host")) return true;
      if (host_seen_) return reject(400, "There is more than one Host.");
      if (!is_authority(value)) return reject(400, "Host is not a valid host.");
      host_seen_ = true;
      host_ = value;
      return true;
    case 6:
      if (!equals_ignoring_case(name, "expect")) return true;
      if (equals_ignoring_case(value, "100-continue")) {
        head_.expect_continue = true;
      } else {
        head_.expect_other = true;
      }
      return true;
    case 10:
      if (!equals_ignoring_case(name, "connection")) return true;
      for_each_in_list(value, [this](std::string_view option) {
        if (equals_ignoring_case(option, "close")) close_asked_ = true;
        if (equals_ignoring_case(option, "keep-alive")) keep_alive_asked_ = true;
      });
      return true;
    case 14: return !equals_ignoring_case(name, "content-length") || note_content_length(value);
    case 17:
      return !equals_ignoring_case(name, "transfer-encoding") || note_transfer_encoding(value);
    default: return true;
  }
}

bool Parser::note_content_length(std::string_view value) {
  if (head_.content_length) return reject(400, "There is more than one Content-Length.");
  constexpr const char* malformed = "Content-Length is not a number.";
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value.empty()) return reject(400, malformed);
  std::uint64_t length = 0;
  for (const char c : value) {
    if (!is_digit(c)) return reject(400, malformed);
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (length > (most - digit) / 10) return reject(400, "Content-Length is beyond all bounds.");
    length = length * 10 + digit;
  }
  head_.content_length = length;
  return true;
}

// Whether the value is a list of codings we could have been sent honestly: then it is 501, not 400.
bool names_other_codings(std::string_view value) {
  constexpr std::string_view known[] = {"gzip", "x-gzip", "deflate", "compress", "x-compress"};
  bool other = false;
  bool last = false;
  bool sound = true;
  for_each_in_list(value, [&](std::string_view coding) {
    if (last) sound = false;
    if (equals_ignoring_case(coding, "chunked")) {
      last = true;
      return;
    }
    bool found = false;
    for (const std::string_view name : known) found = found || equals_ignoring_case(coding, name);
    sound = sound && found;
    other = true;
  });
  return sound && other;
}

bool Parser::note_transfer_encoding(std::string_view value) {
  if (head_.minor_version == 0) return reject(400, "HTTP/1.0 has no Transfer-Encoding.");
  if (transfer_encoding_seen_) return reject(400, "There is more than one Transfer-Encoding.");
  transfer_encoding_seen_ = true;
  if (equals_ignoring_case(value, "chunked")) {
    head_.chunked = true;
    return true;
  }
  if (names_other_codings(value)) {
    return reject(501, "No Transfer-Encoding but chunked is understood.");
  }
  return reject(400, "Transfer-Encoding is malformed.");
}

bool Parser::verdict() {
  if (head_.minor_version == 1 && !host_seen_) return reject(400, "Host is missing.");
  if (transfer_encoding_seen_ && head_.content_length) {
    return reject(400, "Content-Length and Transfer-Encoding exclude each other.");
  }
  if (const char* detail = split_target(host_, head_)) return reject(400, detail);
  if (head_.minor_version == 0) head_.expect_continue = head_.expect_other = false;
  head_.keep_alive = !close_asked_ && (head_.minor_version == 1 || keep_alive_asked_);
  return true;
}

}  // namespace

std::optional<std::string_view> RequestHead::field(std::string_view name) const {
  for (const Field& candidate : fields()) {
    if (equals_ignoring_case(candidate.name, name)) return candidate.value;
  }
  return std::nullopt;
}

HeadResult parse_head(std::string_view bytes, RequestHead& head) {
  return Parser(bytes, head).run();
}

}  // namespace inlet::http
