#include "load/target.h"

#include <netdb.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace inlet::loader {
namespace {

bool is_port(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= 65535;
}

std::unexpected<Error> bad(std::string_view url, std::string_view why) {
  return fail(ErrorKind::reject, "URL " + std::string(url) + ": " + std::string(why));
}

}  // namespace

Result<Target> parse_target(std::string_view url) {
  constexpr std::string_view plain = "http://";
  constexpr std::string_view secured = "https://";
  Target target;
  target.tls = url.starts_with(secured);
  if (!target.tls && !url.starts_with(plain))
    return bad(url, "must start with http:// or https://");
  const bool odd = std::any_of(url.begin(), url.end(), [](char c) { return c <= ' ' || c >= 127; });
  if (odd) return bad(url, "has a space or a byte that must be percent-encoded");
  std::string_view rest = url.substr((target.tls ? secured : plain).size());
  rest = rest.substr(0, rest.find('#'));
  const std::size_t path_at = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, path_at);
  rest.remove_prefix(path_at);
  if (authority.find('@') != std::string_view::npos) {
    return bad(url, "user and password are not supported, use --header 'Authorization: ...'");
  }

  std::size_t host_end = authority.rfind(':');
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return bad(url, "has '[' without ']'");
    target.host = authority.substr(1, close - 1);
    host_end = close + 1;
  } else {
    host_end = std::min(host_end, authority.size());
    target.host = authority.substr(0, host_end);
  }
  const std::string_view port = authority.substr(host_end);
  if (target.host.empty()) return bad(url, "has no host");
  if (!port.empty() && (port[0] != ':' || !is_port(port.substr(1))))
    return bad(url, "has a bad port");
  target.port = port.empty() ? (target.tls ? "443" : "80") : port.substr(1);
  target.authority = authority;
  const std::size_t query_at = std::min(rest.find('?'), rest.size());
  target.path = query_at == 0 ? "/" : rest.substr(0, query_at);
  target.query = rest.substr(query_at);
  return target;
}

Result<Address> resolve(const Target& target) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(target.host.c_str(), target.port.c_str(), &hints, &found);
  if (error != 0) {
    return fail(ErrorKind::retry, "resolve " + target.host + ": " + ::gai_strerror(error));
  }
  Address address;
  address.bytes = found->ai_addrlen;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  ::freeaddrinfo(found);
  return address;
}

}  // namespace inlet::loader
