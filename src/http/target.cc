#include "http/target.h"

#include <algorithm>

#include "http/characters.h"

namespace inlet::http {
namespace {

constexpr std::size_t port_digits_max = 5;
constexpr unsigned port_max = 65535;

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > port_digits_max) return false;
  unsigned port = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  return port <= port_max;
}

// "[" address "]": the characters of an IPv6 literal, not its full grammar: we never connect to it.
bool is_bracketed_address(std::string_view text) {
  if (text.size() < 4 || text.front() != '[' || text.back() != ']') return false;
  bool colon = false;
  for (const char c : text.substr(1, text.size() - 2)) {
    if (hex_value(c) < 0 && c != ':' && c != '.') return false;
    colon = colon || c == ':';
  }
  return colon;
}

bool is_registered_name(std::string_view text) {
  if (text.empty()) return false;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] == '%') {
      if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) {
        return false;
      }
      i += 2;
    } else if (!is_in(host_characters, text[i])) {
      return false;
    }
  }
  return true;
}

// Where the host of an authority ends: at the ":" before the port, if any.
std::size_t host_end(std::string_view text) {
  const std::size_t from = text.starts_with('[') ? text.find(']') : 0;
  if (from == std::string_view::npos) return text.size();
  const std::size_t colon = text.find(':', from);
  return colon == std::string_view::npos ? text.size() : colon;
}

std::string_view without_port(std::string_view authority, std::string_view port) {
  const std::size_t end = host_end(authority);
  const std::string_view rest = authority.substr(end);
  return rest == port || rest == ":" ? authority.substr(0, end) : authority;
}

void split_path(std::string_view text, RequestHead& head) {
  text = text.substr(0, text.find('#'));
  const std::size_t mark = text.find('?');
  head.path = text.substr(0, mark);
  head.query = mark == std::string_view::npos ? std::string_view() : text.substr(mark + 1);
}

const char* split_absolute(std::string_view host, RequestHead& head) {
  const std::size_t scheme_end = head.target.find("://");
  if (scheme_end == std::string_view::npos) return "The request target is malformed.";
  const std::string_view scheme = head.target.substr(0, scheme_end);
  const bool plain = equals_ignoring_case(scheme, "http");
  if (!plain && !equals_ignoring_case(scheme, "https")) {
    return "The request target's scheme is neither http nor https.";
  }
  const std::string_view rest = head.target.substr(scheme_end + 3);
  const std::size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
  const std::string_view authority = rest.substr(0, authority_end);
  if (!is_authority(authority)) return "The request target's host is not valid.";
  const std::string_view port = plain ? ":80" : ":443";
  if (!host.empty() &&
      !equals_ignoring_case(without_port(host, port), without_port(authority, port))) {
    return "Host is not the host of the request target.";
  }
  split_path(rest.substr(authority_end), head);
  if (head.path.empty()) head.path = "/";
  return nullptr;
}

}  // namespace

bool is_authority(std::string_view text) {
  const std::size_t end = host_end(text);
  const std::string_view host = text.substr(0, end);
  if (!is_registered_name(host) && !is_bracketed_address(host)) return false;
  const std::string_view port = text.substr(end);
  return port.size() <= 1 || is_port(port.substr(1));
}

const char* split_target(std::string_view host, RequestHead& head) {
  const std::string_view target = head.target;
  if (head.method == "CONNECT") {
    head.path = target;
    head.query = {};
    const std::size_t end = host_end(target);
    if (!is_authority(target) || end + 1 >= target.size()) return "CONNECT takes a host and port.";
    return nullptr;
  }
  if (target.front() == '/') {
    split_path(target, head);
    return nullptr;
  }
  if (target == "*") {
    head.path = target;
    head.query = {};
    return head.method == "OPTIONS" ? nullptr : "Only OPTIONS may ask for \"*\".";
  }
  return split_absolute(host, head);
}

}  // namespace inlet::http
