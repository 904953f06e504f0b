// trace: the names by which a request is known outside: X-Request-Id, traceparent, X-Amzn-Trace-Id.
//
// What a client sends of them is taken only if it is well formed: it goes into the record, the
// answer and the access log. A request without a good X-Request-Id is given one.
//
// Rules: traceparent as W3C Trace Context, section 3.2 (also of later versions, which begin the
// same); X-Amzn-Trace-Id as "Request tracing for your Application Load Balancer", Elastic Load
// Balancing user guide.
//
// Pure; any thread, but a RequestIds, which is one loop's.

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "http/head.h"

namespace inlet::serve {

inline constexpr std::size_t request_id_bytes_max = 128;
inline constexpr std::size_t trace_field_bytes_max = 512;  // A longer X-Amzn-Trace-Id is ignored.

// Views are borrowed from the head; "" for what is missing or malformed.
struct Trace {
  std::string_view request_id;  // 1 to 128 letters, digits and -._~:/+=@
  std::string_view parent;      // traceparent, whole: "00-0af7…-b7ad6b7169203331-01".
  std::string_view trace_id;    // Its second field: 32 hexadecimal digits.
  std::string_view amzn;        // X-Amzn-Trace-Id, whole.
  std::string_view amzn_root;   // Its root: "1-67891233-abcdef012345678912345678".

  // What a record keeps.
  [[nodiscard]] std::string_view of_record() const { return parent.empty() ? amzn : parent; }
};
[[nodiscard]] Trace read_trace(const http::RequestHead& head);

inline constexpr std::size_t own_request_id_chars = 32;

// Ids for requests that brought none: never the same twice, and no count to be read off.
class alignas(64) RequestIds {
 public:
  // `prefix` is random, once a loop and process.
  explicit RequestIds(std::uint64_t prefix) : prefix_(prefix) {}

  // 32 hexadecimal digits; they stand until the next call.
  [[nodiscard]] std::string_view next();

 private:
  const std::uint64_t prefix_;
  std::uint64_t count_ = 0;
  std::array<char, own_request_id_chars> text_{};
};

}  // namespace inlet::serve
