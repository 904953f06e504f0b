#include "serve/validate.h"

#include <fmt/format.h>

#include "codec/decode.h"
#include "codec/json_text.h"

namespace inlet::serve {
namespace {

std::optional<Invalid> check_json(codec::JsonChecker& checker, std::string_view text) {
  if (checker.is_json(text, 0)) return std::nullopt;
  return Invalid{false, "the body is not one JSON document (RFC 8259)"};
}

std::optional<Invalid> check_ndjson(codec::JsonChecker& checker, std::string_view text) {
  for (std::size_t number = 1; !text.empty(); number++) {
    const std::size_t end = text.find('\n');
    const std::string_view line = codec::trim_json(text.substr(0, end));
    if (!line.empty() && !checker.is_json(line, 0)) {
      return Invalid{false, fmt::format("line {} of the body is not JSON (RFC 8259)", number)};
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return std::nullopt;
}

}  // namespace

std::optional<Invalid> validate(Format format, std::string_view encoding, Bytes body) {
  thread_local codec::JsonChecker checker;
  std::string decoded;
  std::string_view text = as_text(body);
  const codec::Encoding known = codec::parse_encoding(encoding);
  if (known != codec::Encoding::identity) {
    thread_local codec::Decoder decoder;
    const Status done = decoder.decode(known, body, decoded_bytes_max, decoded);
    if (!done) {
      const bool too_large = decoded.size() >= decoded_bytes_max;
      return Invalid{too_large, fmt::format("the body cannot be decoded as {}: {}", encoding,
                                            done.error().what)};
    }
    text = decoded;
  }
  return format == Format::json ? check_json(checker, text) : check_ndjson(checker, text);
}

}  // namespace inlet::serve
