#include "top/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace inlet::top {
namespace {

constexpr std::string_view dns_prefix = "dns:";
constexpr std::string_view status_path = "/status.json";
constexpr std::size_t host_bytes_max = 253;  // RFC 1035, 2.3.4, as it is written.

std::unexpected<Error> wrong(std::string what) { return fail(ErrorKind::reject, std::move(what)); }

bool is_host(std::string_view text) {
  if (text.empty() || text.size() > host_bytes_max) return false;
  if (text.front() == '[') {
    if (text.back() != ']' || text.size() < 4) return false;
    return std::ranges::all_of(text.substr(1, text.size() - 2), [](char c) {
      return std::string_view("0123456789abcdefABCDEF:.").find(c) != std::string_view::npos;
    });
  }
  return text.front() != '-' && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '.' || c == '-' || c == '_';
         });
}

// What RFC 3986 allows in a path, without a query.
bool is_path(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("/-._~%!$&'()*+,;=:@").find(c) != std::string_view::npos;
  });
}

std::optional<std::uint16_t> read_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

// "host", "host:port", "[v6]", "[v6]:port" into the target.
Status read_authority(std::string_view text, Target& target) {
  if (text.find('@') != std::string_view::npos) {
    return wrong("a node's address takes no user or password");
  }
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  const std::string_view host = text.substr(0, has_port ? colon : text.size());
  if (has_port && host.find(':') != std::string_view::npos && host.front() != '[') {
    return wrong(fmt::format("{} is not an address; IPv6 is written [::1]:8081", target.text));
  }
  if (!is_host(host)) return wrong(fmt::format("{} names no host", target.text));
  target.host = host;
  if (!has_port) return {};
  const auto port = read_port(text.substr(colon + 1));
  if (!port) return wrong(fmt::format("{} has no port from 1 to 65535", target.text));
  target.port = *port;
  return {};
}

Status read_url(std::string_view rest, Target& target) {
  target.port = target.scheme == "https" ? 443 : 80;
  if (rest.find_first_of("?#") != std::string_view::npos) {
    return wrong("a node's URL takes no query");
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  if (const Status read = read_authority(rest.substr(0, slash), target); !read) return read;
  std::string_view path = rest.substr(slash);
  if (!is_path(path)) return wrong(fmt::format("{} is not a URL", target.text));
  if (path.ends_with(status_path)) path.remove_suffix(status_path.size());
  while (path.ends_with('/')) path.remove_suffix(1);
  target.path = fmt::format("{}{}", path, status_path);
  return {};
}

Status read_target(std::string_view text, Target& target) {
  if (text.starts_with(dns_prefix)) {
    target.is_dns = true;
    const Status read = read_authority(text.substr(dns_prefix.size()), target);
    if (read && target.host.starts_with('[')) {
      return wrong(fmt::format("{} is an address, not a name", target.text));
    }
    return read;
  }
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) {
    const std::string_view host = text.ends_with('/') ? text.substr(0, text.size() - 1) : text;
    return read_authority(host, target);
  }
  target.scheme = text.substr(0, scheme);
  if (target.scheme != "http" && target.scheme != "https") {
    return wrong("a node's URL begins http:// or https://");
  }
  return read_url(text.substr(scheme + 3), target);
}

}  // namespace

Result<Target> parse_target(std::string_view text) {
  if (text.empty()) return wrong("an empty word is not the address of a node");
  if (text.size() > target_bytes_max) {
    return wrong(fmt::format("a node's address has at most {} characters", target_bytes_max));
  }
  Target target;
  target.text = text;
  if (const Status read = read_target(text, target); !read)
    return fail(ErrorKind::reject, read.error().what);
  return target;
}

std::string address_of(const Target& target, std::string_view host) {
  return fmt::format("{}:{}", host, target.port);
}

std::string url_of(const Target& target, std::string_view host) {
  return fmt::format("{}://{}{}", target.scheme, address_of(target, host), target.path);
}

}  // namespace inlet::top
