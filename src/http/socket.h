// socket: the system calls on a connected, non-blocking socket.
//
// Threads: any.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace inlet::http {

struct Received {
  enum class Kind : unsigned char { bytes, nothing_yet, end, broken };
  Kind kind;
  std::size_t count;  // If bytes; then at least 1.
};
[[nodiscard]] Received receive_some(int fd, MutableBytes room);

// Sends both parts as one; how many bytes the kernel took, empty if the connection is broken.
[[nodiscard]] std::optional<std::size_t> send_some(int fd, std::string_view first,
                                                   std::string_view second = {});

// "192.0.2.1", "2001:db8::1"; IPv4 that came in over IPv6 is written as IPv4. "local" for a socket
// that is not IP, "unknown" if the peer is gone.
[[nodiscard]] std::string peer_address(int fd);

}  // namespace inlet::http
