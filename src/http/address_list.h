// address_list: IP addresses, and lists of networks written as CIDR, for whom to believe.
//
// All addresses are kept as IPv6, IPv4 mapped into it (RFC 4291 section 2.5.5.2), so that one
// address has one form whichever socket it came by.
//
// Pure values; any thread.

#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace inlet::http {

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  bool operator==(const IpAddress&) const = default;
  [[nodiscard]] static IpAddress v4(std::span<const std::uint8_t, 4> octets);
  [[nodiscard]] static std::optional<IpAddress> of(const sockaddr_storage& storage);
  [[nodiscard]] bool is_v4() const;
  // "192.0.2.1", "2001:db8::1"; IPv4 that came in over IPv6 is written as IPv4.
  [[nodiscard]] std::string text() const;
};

// Numeric, IPv4 in four decimal parts or IPv6, without zone, port or brackets.
[[nodiscard]] std::optional<IpAddress> parse_ip_address(std::string_view text);

inline constexpr std::size_t networks_max = 256;  // Of one list: it is searched from end to end.

class AddressList {
 public:
  // "10.0.0.0/8", "2001:db8::/32", or an address for itself. An error names the item and why.
  [[nodiscard]] static Result<AddressList> parse(std::span<const std::string> items);

  [[nodiscard]] bool empty() const { return networks_.empty(); }
  // "::/0" is all of IPv6 and no IPv4.
  [[nodiscard]] bool contains(const IpAddress& address) const;

 private:
  struct Network {
    IpAddress address;
    unsigned bits;  // Of 128.
    bool v4;
  };
  std::vector<Network> networks_;
};

}  // namespace inlet::http
