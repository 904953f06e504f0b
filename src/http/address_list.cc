#include "http/address_list.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>

namespace inlet::http {
namespace {

constexpr std::array<std::uint8_t, 12> v4_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
constexpr unsigned v4_prefix_bits = 96;

// Whether the first `bits` of both are the same.
bool agree(const IpAddress& a, const IpAddress& b, unsigned bits) {
  const unsigned whole = bits / 8;
  if (!std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin())) return false;
  const unsigned rest = bits % 8;
  return rest == 0 || ((a.bytes[whole] ^ b.bytes[whole]) >> (8 - rest)) == 0;
}

IpAddress masked(IpAddress address, unsigned bits) {
  for (unsigned i = 0; i < address.bytes.size(); i++) {
    const unsigned kept = std::clamp(bits, i * 8, i * 8 + 8) - i * 8;
    address.bytes[i] &= static_cast<std::uint8_t>(0xFF00U >> kept);
  }
  return address;
}

}  // namespace

IpAddress IpAddress::v4(std::span<const std::uint8_t, 4> octets) {
  IpAddress address;
  std::ranges::copy(v4_prefix, address.bytes.begin());
  std::ranges::copy(octets, address.bytes.begin() + v4_prefix.size());
  return address;
}

std::optional<IpAddress> IpAddress::of(const sockaddr_storage& storage) {
  IpAddress address;
  if (storage.ss_family == AF_INET) {
    const auto* const in = reinterpret_cast<const sockaddr_in*>(&storage);
    return v4(std::span<const std::uint8_t, 4>(
        reinterpret_cast<const std::uint8_t*>(&in->sin_addr.s_addr), 4));
  }
  if (storage.ss_family != AF_INET6) return std::nullopt;
  const auto* const in6 = reinterpret_cast<const sockaddr_in6*>(&storage);
  std::ranges::copy(in6->sin6_addr.s6_addr, address.bytes.begin());
  return address;
}

bool IpAddress::is_v4() const {
  return std::equal(v4_prefix.begin(), v4_prefix.end(), bytes.begin());
}

std::string IpAddress::text() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (is_v4()) {
    ::inet_ntop(AF_INET, bytes.data() + v4_prefix.size(), text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  }
  return text;
}

std::optional<IpAddress> parse_ip_address(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof terminated || text.find('\0') != std::string_view::npos) return {};
  *std::ranges::copy(text, terminated).out = '\0';
  std::array<std::uint8_t, 4> octets;
  if (::inet_pton(AF_INET, terminated, octets.data()) == 1) return IpAddress::v4(octets);
  IpAddress address;
  if (::inet_pton(AF_INET6, terminated, address.bytes.data()) == 1) return address;
  return std::nullopt;
}

Result<AddressList> AddressList::parse(std::span<const std::string> items) {
  AddressList list;
  if (items.size() > networks_max) {
    return fail(ErrorKind::reject,
                "a list of networks has at most " + std::to_string(networks_max) + " items");
  }
  for (const std::string& item : items) {
    const auto bad = [&](const std::string& why) {
      return fail(ErrorKind::reject, "\"" + item + "\" " + why);
    };
    const std::size_t slash = std::min(item.find('/'), item.size());
    const auto address = parse_ip_address(std::string_view(item).substr(0, slash));
    if (!address) return bad("is not a network such as 10.0.0.0/8 or 2001:db8::/32");
    // A network is IPv4 by how it is written: ::ffff:0:0/96 is a notation of all of it.
    const bool dotted = item.find(':') == std::string::npos;
    const unsigned most = dotted ? 32 : 128;
    unsigned bits = most;
    if (slash < item.size()) {
      const char* const end = item.data() + item.size();
      const auto [rest, error] = std::from_chars(item.data() + slash + 1, end, bits);
      if (error != std::errc() || rest != end || bits > most) {
        return bad("has no prefix length from 0 to " + std::to_string(most));
      }
    }
    const unsigned prefix = dotted ? v4_prefix_bits + bits : bits;
    const IpAddress network = masked(*address, prefix);
    if (network != *address) {
      return bad("has bits after its prefix; the network is " + network.text() + "/" +
                 std::to_string(bits));
    }
    list.networks_.push_back({network, prefix, network.is_v4() && prefix >= v4_prefix_bits});
  }
  return list;
}

bool AddressList::contains(const IpAddress& address) const {
  const bool v4 = address.is_v4();
  return std::ranges::any_of(networks_, [&](const Network& network) {
    return network.v4 == v4 && agree(network.address, address, network.bits);
  });
}

}  // namespace inlet::http
