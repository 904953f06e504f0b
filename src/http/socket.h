// socket: the system calls on a connected, non-blocking socket.
//
// Threads: any.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "http/address_list.h"

namespace inlet::http {

struct Received {
  enum class Kind : unsigned char { bytes, nothing_yet, end, broken };
  Kind kind;
  std::size_t count;  // If bytes; then at least 1.
};
[[nodiscard]] Received receive_some(int fd, MutableBytes room);
// The same, but what was read is still there to be read.
[[nodiscard]] Received peek_some(int fd, MutableBytes room);

// Sends both parts as one; how many bytes the kernel took, empty if the connection is broken.
[[nodiscard]] std::optional<std::size_t> send_some(int fd, std::string_view first,
                                                   std::string_view second = {});

struct Peer {
  std::optional<IpAddress> ip;
  std::string text;  // As IpAddress::text(); "local" for a socket that is not IP, "unknown" if the
                     // peer is gone.
};
[[nodiscard]] Peer peer_of(int fd);

}  // namespace inlet::http
