// proxy_protocol: the header a load balancer puts before a connection's bytes, to say who it is
// from (The PROXY protocol, section 2.2, version 2).
//
// A TCP load balancer hides the client's address; this is how it passes it on. It comes before TLS.
// Who may send it is not decided here.
//
// Invariants:
//   - the outcome does not depend on how the bytes were split: a prefix of a complete header is
//     incomplete, and more bytes after a rejected one do not change the reason.
//
// Pure; any thread.

#pragma once

#include <cstddef>
#include <optional>

#include "base/bytes.h"
#include "http/address_list.h"

namespace inlet::http {

// The specification allows 64 KiB; senders known to us need less than 600 bytes, even with the
// client's certificate name in it.
inline constexpr std::size_t proxy_header_bytes_max = 4096;

struct ProxyHeader {
  enum class Kind : unsigned char { incomplete, complete, rejected };
  Kind kind;
  std::size_t bytes;                // Of the header, if complete.
  std::optional<IpAddress> source;  // The client; empty: the socket's address is right (LOCAL,
                                    // or a family that has no addresses).
  const char* detail;               // One sentence for the operator, if rejected.
};

[[nodiscard]] ProxyHeader parse_proxy_header(Bytes bytes);

}  // namespace inlet::http
