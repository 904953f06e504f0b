// target: where a load goes: the URL taken apart, and its address.

#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace inlet::loader {

struct Target {
  bool tls = false;
  std::string host;  // Without brackets.
  std::string port;
  std::string authority;  // For the Host field.
  std::string path;       // Starts with '/'.
  std::string query;      // Starts with '?', or empty.
};

// http[s]://HOST[:PORT]/PATH[?QUERY]. ErrorKind::reject with one sentence otherwise.
[[nodiscard]] Result<Target> parse_target(std::string_view url);

struct Address {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
};

// Asks the system's resolver; blocks. The first address it prefers.
[[nodiscard]] Result<Address> resolve(const Target& target);

}  // namespace inlet::loader
