#include "http/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <iterator>

namespace inlet::http {

Received receive_some(int fd, MutableBytes room) {
  while (true) {
    const ssize_t count = ::recv(fd, room.data(), room.size(), 0);
    if (count > 0) return {Received::Kind::bytes, static_cast<std::size_t>(count)};
    if (count == 0) return {Received::Kind::end, 0};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Received::Kind::nothing_yet, 0};
    return {Received::Kind::broken, 0};
  }
}

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

std::string peer_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return "unknown";
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    }
  } else {
    return "local";
  }
  return text;
}

}  // namespace inlet::http
