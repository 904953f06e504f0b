#include "main/listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/check.h"

namespace inlet::main {
namespace {

constexpr int first_activated_fd = 3;
constexpr std::size_t activated_sockets_max = 16;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof(sockaddr_storage);

  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const Address& address) {
  SocketAddress out;
  if (address.host.find(':') != std::string::npos) {
    auto* six = reinterpret_cast<sockaddr_in6*>(&out.storage);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(address.port);
    ::inet_pton(AF_INET6, address.host.c_str(), &six->sin6_addr);
    out.bytes = sizeof(sockaddr_in6);
  } else {
    auto* four = reinterpret_cast<sockaddr_in*>(&out.storage);
    four->sin_family = AF_INET;
    four->sin_port = htons(address.port);
    ::inet_pton(AF_INET, address.host.c_str(), &four->sin_addr);
    out.bytes = sizeof(sockaddr_in);
  }
  return out;
}

Result<Address> local_address(int fd) {
  SocketAddress own;
  if (::getsockname(fd, own.get(), &own.bytes) != 0) {
    return fail(ErrorKind::retry, fmt::format("getsockname: {}", std::strerror(errno)), errno);
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (own.storage.ss_family == AF_INET6) {
    const auto* six = reinterpret_cast<const sockaddr_in6*>(&own.storage);
    ::inet_ntop(AF_INET6, &six->sin6_addr, text.data(), text.size());
    return Address{text.data(), ntohs(six->sin6_port)};
  }
  if (own.storage.ss_family == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(&own.storage);
    ::inet_ntop(AF_INET, &four->sin_addr, text.data(), text.size());
    return Address{text.data(), ntohs(four->sin_port)};
  }
  return fail(ErrorKind::reject, fmt::format("socket {} we were activated with is not TCP", fd));
}

std::optional<long> number_in_environment(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  long value = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return parts;
}

// By name, or by place where there is none.
std::string listener_name(const std::vector<std::string>& names, std::size_t index) {
  if (index < names.size()) {
    if (names[index] == ingest_listener || names[index] == admin_listener) return names[index];
  }
  return std::string(index == 0 ? ingest_listener : admin_listener);
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Listener> open_listener(std::string_view name, const Address& address) {
  SocketAddress wanted = to_socket_address(address);
  const auto os_error = [&] {
    const int os = errno;
    return fail(ErrorKind::reject,
                fmt::format("cannot listen on {}: {}", address.text(), std::strerror(os)), os);
  };
  Descriptor socket(
      ::socket(wanted.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return os_error();
  const int on = 1;
  const int off = 0;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return os_error();
  if (wanted.storage.ss_family == AF_INET6 &&
      ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
    return os_error();
  }
  if (::bind(socket.get(), wanted.get(), wanted.bytes) != 0) return os_error();
  if (::listen(socket.get(), accept_backlog) != 0) return os_error();
  auto real = local_address(socket.get());
  if (!real) return fail(real);
  return Listener{std::string(name), std::move(socket), std::move(*real)};
}

Result<Listener> take_listener(std::string_view name, Descriptor socket) {
  auto address = local_address(socket.get());
  if (!address) return fail(address);
  return Listener{std::string(name), std::move(socket), std::move(*address)};
}

Result<std::vector<Listener>> take_activated_listeners() {
  std::vector<Listener> listeners;
  const auto count = number_in_environment("LISTEN_FDS");
  const auto pid = number_in_environment("LISTEN_PID");
  const char* const names_text = std::getenv("LISTEN_FDNAMES");
  const auto names = split(names_text == nullptr ? "" : names_text, ':');
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) ::unsetenv(name);
  if (!count || pid != static_cast<long>(::getpid())) return listeners;
  if (*count < 0 || static_cast<std::size_t>(*count) > activated_sockets_max) {
    return fail(ErrorKind::reject,
                fmt::format("LISTEN_FDS is {}, more than {}", *count, activated_sockets_max));
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(*count); i++) {
    const int fd = first_activated_fd + static_cast<int>(i);
    Descriptor socket(fd);
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return fail(ErrorKind::reject,
                  fmt::format("LISTEN_FDS names descriptor {}: {}", fd, std::strerror(errno)),
                  errno);
    }
    auto address = local_address(fd);
    if (!address) return fail(address);
    listeners.push_back({listener_name(names, i), std::move(socket), std::move(*address)});
  }
  return listeners;
}

Result<std::vector<Listener>> take_or_open_listeners(const ServerConfig& config) {
  auto listeners = take_activated_listeners();
  if (!listeners) return listeners;
  const auto missing = [&](std::string_view name) {
    return std::ranges::find(*listeners, name, &Listener::name) == listeners->end();
  };
  const auto open = [&](std::string_view name, const Address& address) -> Status {
    auto opened = open_listener(name, address);
    if (!opened) return fail(opened);
    listeners->push_back(std::move(*opened));
    return {};
  };
  for (const Listener& listener : *listeners) {
    if (listener.name == admin_listener || listener.address.is_loopback()) continue;
    if (config.auth != Auth::unset) continue;
    return fail(
        ErrorKind::reject,
        fmt::format("the socket passed to us, {}, can be reached from outside this machine; "
                    "write auth = \"none\" in [server] to take data from anyone, or "
                    "auth = \"keys\" to take it from who has a key",
                    listener.address.text()));
  }
  if (missing(ingest_listener)) {
    if (const Status opened = open(ingest_listener, config.listen); !opened) return fail(opened);
  }
  if (config.admin && missing(admin_listener)) {
    if (const Status opened = open(admin_listener, *config.admin); !opened) return fail(opened);
  }
  return listeners;
}

void notify_ready() {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length < 2 || length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // An abstract name.
  const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  static constexpr std::string_view message = "READY=1";
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  // Nobody is there to hear it: the same as nobody having asked.
  [[maybe_unused]] const ssize_t sent =
      ::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), bytes);
}

Result<Descriptor> open_notifications() {
  Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address.sun_family) != 0) {
    const int os = errno;
    return fail(ErrorKind::retry,
                fmt::format("bind the notification socket: {}", std::strerror(os)), os);
  }
  return socket;
}

Result<std::string> notifications_name(const Descriptor& socket) {
  sockaddr_un address{};
  socklen_t bytes = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    const int os = errno;
    return fail(ErrorKind::retry,
                fmt::format("getsockname of the notification socket: {}", std::strerror(os)), os);
  }
  const std::size_t length = bytes - offsetof(sockaddr_un, sun_path);
  CHECK(length > 1 && address.sun_path[0] == '\0');
  return fmt::format("@{}", std::string_view(address.sun_path + 1, length - 1));
}

}  // namespace inlet::main
