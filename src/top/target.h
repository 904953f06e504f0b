// target: where the nodes are, as the operator writes it.
//
//   10.0.0.7            http://10.0.0.7:8081, an admin listener where it is by default
//   node-a:9000         http, another port
//   [::1]:8081          IPv6 in brackets
//   https://ops.example/a   a URL as it is: port 443 (http: 80), /a/status.json
//   dns:ingest[:PORT]   every address the name stands for, each a node; looked up again and again
//
// Pure; any thread.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace inlet::top {

inline constexpr std::uint16_t default_port = 8081;
inline constexpr std::size_t target_bytes_max = 512;

struct Target {
  std::string text;  // As it was written.
  bool is_dns = false;
  std::string scheme = "http";
  std::string host;  // IPv6 in brackets.
  std::uint16_t port = default_port;
  std::string path = "/status.json";
};

// The error says what is wrong, and nothing that could be a password.
[[nodiscard]] Result<Target> parse_target(std::string_view text);

// Of the target itself, or of one of the addresses its name stands for.
[[nodiscard]] std::string address_of(const Target& target, std::string_view host);  // "host:port"
[[nodiscard]] std::string url_of(const Target& target, std::string_view host);

}  // namespace inlet::top
