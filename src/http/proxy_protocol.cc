#include "http/proxy_protocol.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/crc32c.h"

namespace inlet::http {
namespace {

using Kind = ProxyHeader::Kind;

// All numbers are of section 2.2 and in network byte order.
constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view version_1("PROXY ");
constexpr std::size_t fixed_bytes = 16;
constexpr unsigned version_2 = 2;
constexpr unsigned command_proxy = 1;  // 0 is LOCAL.
constexpr unsigned family_inet = 1;    // 2 is INET6.
constexpr unsigned family_unix = 3;
constexpr unsigned transport_stream = 1;
constexpr unsigned transport_datagram = 2;
constexpr std::array<std::size_t, 4> address_bytes = {0, 12, 36, 216};  // By family.
constexpr std::size_t part_head_bytes = 3;                              // Type and length.
constexpr unsigned type_crc32c = 3;

unsigned at(Bytes bytes, std::size_t place) { return std::to_integer<unsigned>(bytes[place]); }
std::size_t length_at(Bytes bytes, std::size_t place) {
  return std::size_t{at(bytes, place)} << 8 | at(bytes, place + 1);
}

ProxyHeader rejected(const char* detail) { return {Kind::rejected, 0, std::nullopt, detail}; }

// `whole` begins with a signature, or with the beginning of one.
bool begins(std::string_view bytes, std::string_view whole) {
  const std::size_t common = std::min(bytes.size(), whole.size());
  return bytes.substr(0, common) == whole.substr(0, common);
}

// Section 2.2.3: over the whole header, with the checksum itself taken as zero.
bool checksum_holds(Bytes header, std::size_t place) {
  constexpr std::array<std::byte, 4> zero{};
  std::uint32_t crc = crc32c(header.first(place));
  crc = crc32c(zero, crc);
  crc = crc32c(header.subspan(place + zero.size()), crc);
  const std::size_t claimed = length_at(header, place) << 16 | length_at(header, place + 2);
  return crc == claimed;
}

// What follows the addresses: type, length, value. All are skipped but the checksum; null: sound.
const char* check_parts(Bytes header, std::size_t place) {
  while (place < header.size()) {
    if (header.size() - place < part_head_bytes) return "The PROXY header ends inside a TLV.";
    const unsigned type = at(header, place);
    const std::size_t bytes = length_at(header, place + 1);
    place += part_head_bytes;
    if (header.size() - place < bytes) return "A TLV of the PROXY header is longer than it.";
    if (type == type_crc32c && (bytes != 4 || !checksum_holds(header, place))) {
      return "The checksum of the PROXY header is wrong.";
    }
    place += bytes;
  }
  return nullptr;
}

IpAddress source_of(Bytes header, unsigned family) {
  const auto* const from = reinterpret_cast<const std::uint8_t*>(header.data()) + fixed_bytes;
  if (family == family_inet) return IpAddress::v4(std::span<const std::uint8_t, 4>(from, 4));
  IpAddress address;
  std::copy_n(from, address.bytes.size(), address.bytes.begin());
  return address;
}

}  // namespace

ProxyHeader parse_proxy_header(Bytes bytes) {
  const std::string_view text = as_text(bytes);
  if (!text.empty() && begins(text, version_1)) {
    if (text.size() < version_1.size()) return {Kind::incomplete, 0, std::nullopt, ""};
    return rejected("The PROXY header is of version 1; only version 2 is taken.");
  }
  if (!begins(text, signature)) return rejected("There is no PROXY header.");
  if (bytes.size() <= 12) return {Kind::incomplete, 0, std::nullopt, ""};
  const unsigned command = at(bytes, 12) & 0xF;
  if (at(bytes, 12) >> 4 != version_2) return rejected("The PROXY header's version is not 2.");
  if (command > command_proxy) return rejected("The PROXY header's command is not known.");
  if (bytes.size() <= 13) return {Kind::incomplete, 0, std::nullopt, ""};
  const unsigned family = at(bytes, 13) >> 4;
  const unsigned transport = at(bytes, 13) & 0xF;
  // Section 2.2 calls other values invalid, but has a LOCAL connection's ignored.
  if (command == command_proxy && (family > family_unix || transport > transport_datagram)) {
    return rejected("The PROXY header's address family or transport is not known.");
  }
  if (bytes.size() < fixed_bytes) return {Kind::incomplete, 0, std::nullopt, ""};
  const std::size_t whole = fixed_bytes + length_at(bytes, 14);
  if (whole > proxy_header_bytes_max) return rejected("The PROXY header is too long.");
  const bool addressed = command == command_proxy && family != 0 && transport != 0;
  if (addressed && whole < fixed_bytes + address_bytes[family]) {
    return rejected("The PROXY header is too short for its addresses.");
  }
  if (bytes.size() < whole) return {Kind::incomplete, 0, std::nullopt, ""};
  ProxyHeader result{Kind::complete, whole, std::nullopt, ""};
  if (!addressed) return result;
  const Bytes header = bytes.first(whole);
  if (const char* wrong = check_parts(header, fixed_bytes + address_bytes[family])) {
    return rejected(wrong);
  }
  if (transport == transport_stream && family != family_unix) {
    result.source = source_of(header, family);
  }
  return result;
}

}  // namespace inlet::http
