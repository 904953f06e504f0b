// head: the request line and the fields of one request, read strictly and without allocation.
//
// parse_head() looks at bytes from the start of a request and says complete, incomplete or
// rejected with the status to answer. It is a pure function and keeps nothing between calls: while
// a head is incomplete the caller asks again with more bytes. That is quadratic in the number of
// pieces, but a head is at most limits::head_bytes_max, so reading again costs less than receiving
// a piece did.
//
// Beast's parser is not used here. It folds obs-fold instead of rejecting it, judges
// Content-Length and Transfer-Encoding more kindly than we may, and only looks at a head once it
// has ended; with our rules before and after it every byte would have been read three times.
//
// Invariants:
//   - the outcome does not depend on how the bytes were split: a prefix of a complete head is
//     incomplete, and more bytes after a rejected one do not change status or reason.
//   - a complete head has exactly one meaning: at most one of content_length and chunked, one valid
//     Host (HTTP/1.1), no line folding, lines ended by CR LF alone.
//   - all views point into the bytes given, but for `path` of a target without one, which is "/".

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/limits.h"

namespace inlet::http {

inline constexpr std::size_t method_bytes_max = 32;

struct Field {
  std::string_view name;
  std::string_view value;  // Without blanks around it.
};

struct RequestHead {
  std::string_view method;  // Case-sensitive, as sent.
  std::string_view target;  // As sent.
  std::string_view path;    // From the first "/", undecoded; "*" for OPTIONS; host:port for
                            // CONNECT.
  std::string_view query;   // After the "?", without it.
  unsigned minor_version;   // 0 or 1.
  std::optional<std::uint64_t> content_length;
  bool chunked;
  bool keep_alive;       // By the client's wish; HTTP/1.0 has to ask for it.
  bool expect_continue;  // Never in HTTP/1.0.
  bool expect_other;     // An expectation that nobody here knows.

  std::array<Field, limits::fields_max> field_array;
  std::size_t field_count;

  [[nodiscard]] std::span<const Field> fields() const {
    return std::span(field_array).first(field_count);
  }
  // The value of the first field of that name, whatever its case.
  [[nodiscard]] std::optional<std::string_view> field(std::string_view name) const;

  [[nodiscard]] bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

struct HeadResult {
  enum class Kind : unsigned char { incomplete, complete, rejected };
  Kind kind;
  std::size_t bytes;   // Of the head with its last line, if complete.
  int status;          // To answer, if rejected.
  const char* detail;  // One sentence for the client, if rejected.
};

// Writes `head`; it holds the request if complete. If rejected, `method` is set if it was sound.
[[nodiscard]] HeadResult parse_head(std::string_view bytes, RequestHead& head);

// Host [":" port] (RFC 9110 section 7.2): not empty, no userinfo.
[[nodiscard]] bool is_authority(std::string_view text);

}  // namespace inlet::http
