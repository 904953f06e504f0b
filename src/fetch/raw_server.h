// raw_server: for tests, a server that sends exactly the bytes it is told to.
//
// Every connection is handled by a function of the test on a thread of its own; when that returns,
// the connection is closed. The destructor shuts every connection down and joins. Reading waits for
// the peer, so a script needs no sleep: it reads until the peer is gone.

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/check.h"

namespace inlet::fetch {

struct RawRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // Names in small letters.
  std::string body;
};

class RawConnection {
 public:
  explicit RawConnection(int socket) : socket_(socket) {}

  // Another request, by its Content-Length; empty when the peer is gone.
  std::optional<RawRequest> read() {
    RawRequest request;
    while (unread_.find("\r\n\r\n") == std::string::npos) {
      if (!read_more()) return std::nullopt;
    }
    const std::size_t end = unread_.find("\r\n\r\n");
    parse_head(unread_.substr(0, end + 2), request);
    unread_.erase(0, end + 4);
    const auto length = request.headers.find("content-length");
    const std::size_t bytes = length == request.headers.end() ? 0 : std::stoul(length->second);
    while (unread_.size() < bytes) {
      if (!read_more()) return std::nullopt;
    }
    request.body = unread_.substr(0, bytes);
    unread_.erase(0, bytes);
    return request;
  }

  // False once the peer is gone.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // A whole answer; `more` are header lines, each with its end.
  bool answer(int status, std::string_view body = "", std::string_view more = "") {
    return send("HTTP/1.1 " + std::to_string(status) +
                " Word\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
                std::string(more) + "\r\n" + std::string(body));
  }

  void wait_until_closed() {
    while (read_more()) unread_.clear();
  }

  // Ends with RST when it is closed.
  void reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }

 private:
  bool read_more() {
    char piece[1U << 14];
    const ssize_t got = ::recv(socket_, piece, sizeof piece, 0);
    if (got <= 0) return false;
    unread_.append(piece, static_cast<std::size_t>(got));
    return true;
  }

  static void parse_head(std::string_view head, RawRequest& to) {
    const auto line = head.substr(0, head.find("\r\n"));
    to.method = line.substr(0, line.find(' '));
    to.target = line.substr(to.method.size() + 1, line.rfind(' ') - to.method.size() - 1);
    head.remove_prefix(line.size() + 2);
    while (!head.empty()) {
      const auto field = head.substr(0, head.find("\r\n"));
      std::string name(field.substr(0, field.find(':')));
      for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      auto value = field.substr(std::min(field.size(), name.size() + 1));
      while (value.starts_with(' ')) value.remove_prefix(1);
      to.headers[name] = value;
      head.remove_prefix(field.size() + 2);
    }
  }

  const int socket_;
  std::string unread_;
};

class RawServer {
 public:
  using Script = std::function<void(RawConnection&)>;

  explicit RawServer(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    CHECK(::listen(listener_, 128) == 0);
    CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;
  ~RawServer() { stop(); }

  // From here on the port refuses.
  void stop() {
    if (listener_ < 0) return;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    listener_ = -1;
    {
      const std::lock_guard lock(mutex_);
      for (const Peer& peer : peers_) {
        if (peer.socket >= 0) ::shutdown(peer.socket, SHUT_RDWR);
      }
    }
    for (Peer& peer : peers_) peer.thread.join();
  }

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string url(std::string_view path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
  }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  struct Peer {
    int socket = -1;  // -1: closed.
    std::thread thread;
  };

  void accept_all() {
    while (true) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket < 0) return;
      connections_++;
      const std::lock_guard lock(mutex_);
      Peer& peer = peers_.emplace_back();
      peer.socket = socket;
      peer.thread = std::thread([this, &peer] { serve(peer); });
    }
  }

  void serve(Peer& peer) {
    {
      const std::lock_guard lock(mutex_);  // The peer is complete.
    }
    RawConnection connection(peer.socket);
    script_(connection);
    const std::lock_guard lock(mutex_);
    ::close(peer.socket);
    peer.socket = -1;
  }

  const Script script_;
  int listener_ = -1;
  int port_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;
  std::list<Peer> peers_;
  std::atomic<int> connections_{0};
};

}  // namespace inlet::fetch
