// scripted_server_test: an HTTP server on loopback that keeps what it is asked and answers as a
// test tells it to. For tests only.
//
// The script is called from one thread per connection, one call at a time.

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"

namespace inlet::aws {

struct Asked {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // Names in small letters.
  std::string body;
};

struct Scripted {
  int status = 200;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  bool hang_up = false;  // Instead of an answer.
};

class ScriptedServer {
 public:
  explicit ScriptedServer(std::function<Scripted(const Asked&)> script)
      : script_(std::move(script)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    CHECK(::bind(listener_, generic, length) == 0 && ::listen(listener_, 64) == 0);
    CHECK(::getsockname(listener_, generic, &length) == 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    {
      const std::lock_guard lock(mutex_);
      for (const int connection : connections_) ::shutdown(connection, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    for (const int connection : connections_) ::close(connection);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  std::vector<Asked> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  // While it is held no script runs: for what tests and scripts share.
  [[nodiscard]] std::unique_lock<std::mutex> hold() { return std::unique_lock(mutex_); }

  // So far.
  std::size_t connections() {
    const std::lock_guard lock(mutex_);
    return connections_.size();
  }

 private:
  void accept_all() {
    while (true) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      const std::lock_guard lock(mutex_);
      connections_.push_back(connection);
      threads_.emplace_back([this, connection] { serve(connection); });
    }
  }

  void serve(int connection) {
    std::string unread;
    Asked request;
    while (read(connection, unread, request)) {
      Scripted answer;
      {
        const std::lock_guard lock(mutex_);
        asked_.push_back(request);
        answer = script_(request);
      }
      if (answer.hang_up) break;
      std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " Scripted\r\n";
      for (const auto& [name, value] : answer.headers) text += name + ": " + value + "\r\n";
      text += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n";
      if (request.method != "HEAD") text += answer.body;
      if (::send(connection, text.data(), text.size(), MSG_NOSIGNAL) < 0) break;
    }
    ::shutdown(connection, SHUT_RDWR);
  }

  static bool more(int connection, std::string& unread) {
    char piece[1 << 14];
    const ssize_t got = ::recv(connection, piece, sizeof piece, 0);
    if (got > 0) unread.append(piece, static_cast<std::size_t>(got));
    return got > 0;
  }

  static bool read(int connection, std::string& unread, Asked& request) {
    std::size_t end = 0;
    while ((end = unread.find("\r\n\r\n")) == std::string::npos) {
      if (!more(connection, unread)) return false;
    }
    request = {};
    std::size_t at = unread.find("\r\n");
    const std::string line = unread.substr(0, at);
    request.method = line.substr(0, line.find(' '));
    request.target = line.substr(line.find(' ') + 1, line.rfind(' ') - line.find(' ') - 1);
    while (at < end) {
      const std::size_t next = unread.find("\r\n", at + 2);
      const std::string field = unread.substr(at + 2, next - at - 2);
      std::string name = field.substr(0, field.find(':'));
      std::ranges::transform(name, name.begin(),
                             [](char c) { return static_cast<char>(std::tolower(c)); });
      const std::size_t value = field.find_first_not_of(' ', name.size() + 1);
      request.headers[name] = value == std::string::npos ? "" : field.substr(value);
      at = next;
    }
    const auto length = request.headers.find("content-length");
    const std::size_t bytes = length == request.headers.end() ? 0 : std::stoul(length->second);
    unread.erase(0, end + 4);
    while (unread.size() < bytes) {
      if (!more(connection, unread)) return false;
    }
    request.body = unread.substr(0, bytes);
    unread.erase(0, bytes);
    return true;
  }

  const std::function<Scripted(const Asked&)> script_;
  const int listener_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<Asked> asked_;
  std::vector<int> connections_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace inlet::aws
