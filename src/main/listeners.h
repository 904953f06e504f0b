// listeners: listening sockets, and handing them from process to process.
//
// The supervisor opens the sockets and passes them to serve by the systemd socket activation
// convention: descriptors from 3 on, LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES=ingest:admin. inlet
// takes sockets the same way when something else activates it. Readiness goes the other way by the
// notification convention: "READY=1" to the datagram socket named in NOTIFY_SOCKET.
//
// Threads: one, before any other starts (it changes the environment).

#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "main/config.h"

namespace inlet::main {

inline constexpr std::string_view ingest_listener = "ingest";
inline constexpr std::string_view admin_listener = "admin";
inline constexpr int accept_backlog = 4096;  // Connections the kernel keeps while serve restarts.

// Owns a descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    Descriptor old(std::exchange(fd_, std::exchange(other.fd_, -1)));
    return *this;
  }
  ~Descriptor();

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Listener {
  std::string name;  // ingest_listener or admin_listener.
  Descriptor socket;
  Address address;  // The real one: never port 0.
};

// A non-blocking listening TCP socket with SO_REUSEADDR; "[::]" takes IPv4 as well.
// "cannot listen on 127.0.0.1:8080: Address already in use"
[[nodiscard]] Result<Listener> open_listener(std::string_view name, const Address& address);

// A listening socket that this process has.
[[nodiscard]] Result<Listener> take_listener(std::string_view name, Descriptor socket);

// The sockets this process was activated with, close-on-exec and non-blocking; unnamed ones are
// ingest, then admin. Takes LISTEN_* out of the environment. Empty if not activated.
[[nodiscard]] Result<std::vector<Listener>> take_activated_listeners();

// Both listeners of `config`: the activated ones, and what is missing opened.
[[nodiscard]] Result<std::vector<Listener>> take_or_open_listeners(const ServerConfig& config);

// Tells whoever started us that requests are now answered. Nothing if nobody asked.
void notify_ready();

// The other end: a datagram socket under an abstract name that the kernel picks, close-on-exec and
// non-blocking; and that name as NOTIFY_SOCKET has it, "@…".
[[nodiscard]] Result<Descriptor> open_notifications();
[[nodiscard]] Result<std::string> notifications_name(const Descriptor& socket);

}  // namespace inlet::main
