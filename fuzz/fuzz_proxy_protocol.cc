// Goal: no bytes make the PROXY header parser crash, read out of bounds, or depend on how they are
// split.
// Method: the first two bytes choose a split; the outcome for that prefix and for the whole must
// agree, and a complete header must keep what proxy_protocol.h promises.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "http/proxy_protocol.h"

namespace {

using inlet::http::ProxyHeader;
using Kind = ProxyHeader::Kind;

ProxyHeader parse_copy(const std::uint8_t* data, std::size_t size) {
  // A copy of its own, so that reading past it is seen.
  const auto copy = std::make_unique<std::byte[]>(size);
  if (size > 0) std::memcpy(copy.get(), data, size);
  return inlet::http::parse_proxy_header({copy.get(), size});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t split = (std::size_t{data[0]} << 8 | data[1]) % (size - 1);
  data += 2;
  size -= 2;
  const ProxyHeader whole = parse_copy(data, size);
  if (whole.kind == Kind::complete) {
    CHECK(whole.bytes >= 16 && whole.bytes <= size);
    CHECK(whole.bytes <= inlet::http::proxy_header_bytes_max);
    CHECK(!whole.source || !whole.source->text().empty());
  } else {
    CHECK(!whole.source);
  }
  if (whole.kind == Kind::rejected) CHECK(std::strlen(whole.detail) > 0);

  const ProxyHeader part = parse_copy(data, split);
  if (part.kind == Kind::complete) {
    CHECK(whole.kind == Kind::complete && part.bytes == whole.bytes);
    CHECK(part.source == whole.source);
  }
  if (part.kind == Kind::rejected) {
    CHECK(whole.kind == Kind::rejected && std::strcmp(part.detail, whole.detail) == 0);
  }
  if (part.kind == Kind::incomplete && whole.kind == Kind::complete) CHECK(split < whole.bytes);
  return 0;
}
