// Goal: no bytes make the head parser crash, read out of bounds, or depend on how they are split.
// Method: the first two bytes choose a split; the outcome for that prefix and for the whole must
// agree, and a complete head must keep what head.h promises.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "http/head.h"

namespace {

using inlet::http::Field;
using inlet::http::HeadResult;
using inlet::http::RequestHead;
using Kind = HeadResult::Kind;

bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check_complete(std::string_view bytes, const HeadResult& result, const RequestHead& head) {
  CHECK(result.bytes <= bytes.size() && result.bytes <= inlet::limits::head_bytes_max);
  const std::string_view own = bytes.substr(0, result.bytes);
  CHECK(own.ends_with("\r\n\r\n"));
  CHECK(own.find('\0') == std::string_view::npos);
  for (std::size_t at = 0; at < own.size(); at++) {
    if (own[at] == '\n') CHECK(at > 0 && own[at - 1] == '\r');
    if (own[at] == '\r') CHECK(at + 1 < own.size() && own[at + 1] == '\n');
  }
  CHECK(!(head.chunked && head.content_length));
  CHECK(!head.method.empty() && lies_in(head.method, own) && lies_in(head.target, own));
  CHECK(!head.path.empty() && lies_in(head.query, own));
  CHECK(head.minor_version == 1 ? head.field("Host").has_value() : !head.chunked);
  for (const Field& field : head.fields()) {
    CHECK(!field.name.empty() && lies_in(field.name, own) && lies_in(field.value, own));
    CHECK(field.value.find_first_of("\r\n") == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  RequestHead whole_head;
  const HeadResult whole = parse_head(bytes, whole_head);
  if (whole.kind == Kind::complete) check_complete(bytes, whole, whole_head);
  if (whole.kind == Kind::rejected) CHECK(whole.status >= 400 && whole.status <= 505);

  // A copy of its own, so that reading past the split is seen.
  const std::size_t split = (std::size_t{data[0]} << 8 | data[1]) % (bytes.size() + 1);
  const auto copy = std::make_unique<char[]>(split);
  std::memcpy(copy.get(), bytes.data(), split);
  RequestHead part_head;
  const HeadResult part = parse_head({copy.get(), split}, part_head);
  if (part.kind == Kind::incomplete) {
    CHECK(whole.kind != Kind::complete || whole.bytes > split);
    return 0;
  }
  CHECK(part.kind == whole.kind && part.status == whole.status && part.bytes == whole.bytes);
  CHECK(std::strcmp(part.detail, whole.detail) == 0);
  return 0;
}
