#include "http/socket.h"

#include <sys/socket.h>

#include <cerrno>
#include <iterator>

namespace inlet::http {

namespace {

Received receive(int fd, MutableBytes room, int flags) {
  while (true) {
    const ssize_t count = ::recv(fd, room.data(), room.size(), flags);
    if (count > 0) return {Received::Kind::bytes, static_cast<std::size_t>(count)};
    if (count == 0) return {Received::Kind::end, 0};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Received::Kind::nothing_yet, 0};
    return {Received::Kind::broken, 0};
  }
}

}  // namespace

Received receive_some(int fd, MutableBytes room) { return receive(fd, room, 0); }
Received peek_some(int fd, MutableBytes room) { return receive(fd, room, MSG_PEEK); }

std::optional<std::size_t> send_some(int fd, std::string_view first, std::string_view second) {
  while (true) {
    ssize_t count = 0;
    if (second.empty()) {
      count = ::send(fd, first.data(), first.size(), MSG_NOSIGNAL);
    } else {
      iovec parts[] = {{const_cast<char*>(first.data()), first.size()},
                       {const_cast<char*>(second.data()), second.size()}};
      msghdr message{};
      message.msg_iov = parts;
      message.msg_iovlen = std::size(parts);
      count = ::sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    return std::nullopt;
  }
}

Peer peer_of(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return {std::nullopt, "unknown"};
  }
  const std::optional<IpAddress> ip = IpAddress::of(storage);
  return {ip, ip ? ip->text() : "local"};
}

}  // namespace inlet::http
