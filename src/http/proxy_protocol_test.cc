// Goal: a PROXY header of version 2 is read as its specification says, and nothing else is.
// Method: headers put together by hand; each is also given in every split, and with bytes behind
// it; every byte of one with a checksum is changed.

#include "http/proxy_protocol.h"

#include <gtest/gtest.h>

#include <string>

#include "base/crc32c.h"

namespace inlet::http {
namespace {

using Kind = ProxyHeader::Kind;

const std::string signature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string v4_addresses("\xC0\x00\x02\x01\xC6\x33\x64\x02\x12\x67\x01\xBB", 12);

std::string number16(std::size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}
std::string header(unsigned command, unsigned family, const std::string& rest) {
  return signature + static_cast<char>(command) + static_cast<char>(family) +
         number16(rest.size()) + rest;
}
std::string part(unsigned type, const std::string& value) {
  return static_cast<char>(type) + number16(value.size()) + value;
}
std::string with_checksum() {
  const std::string bare =
      header(0x21, 0x11, v4_addresses + part(0x03, std::string(4, '\0')) + part(0xEA, "vpce-1"));
  const std::uint32_t crc = crc32c(as_bytes(bare));
  std::string whole = bare;
  whole.replace(16 + 12 + 3, 4, number16(crc >> 16) + number16(crc & 0xFFFF));
  return whole;
}

// Also that all splits agree.
ProxyHeader parse(const std::string& bytes) {
  const ProxyHeader whole = parse_proxy_header(as_bytes(bytes));
  for (std::size_t split = 0; split < bytes.size(); split++) {
    const std::string piece = bytes.substr(0, split);
    const ProxyHeader part_result = parse_proxy_header(as_bytes(piece));
    if (whole.kind == Kind::complete && split >= whole.bytes) {
      EXPECT_EQ(part_result.kind, Kind::complete) << split;
      EXPECT_EQ(part_result.source, whole.source) << split;
    } else if (part_result.kind == Kind::rejected) {
      EXPECT_EQ(whole.kind, Kind::rejected) << split;
      EXPECT_STREQ(part_result.detail, whole.detail) << split;
    } else {
      EXPECT_EQ(part_result.kind, Kind::incomplete) << split;
    }
  }
  return whole;
}

void expect_source(const std::string& bytes, const std::string& source) {
  const ProxyHeader result = parse(bytes + "\x16\x03\x01 what follows");
  ASSERT_EQ(result.kind, Kind::complete) << result.detail;
  EXPECT_EQ(result.bytes, bytes.size());
  EXPECT_EQ(result.source ? result.source->text() : "none", source);
}

void expect_rejected(const std::string& bytes, const std::string& detail) {
  const ProxyHeader result = parse(bytes);
  ASSERT_EQ(result.kind, Kind::rejected) << detail;
  EXPECT_EQ(result.detail, detail);
}

TEST(ProxyProtocol, the_client_is_the_source_address) {
  expect_source(header(0x21, 0x11, v4_addresses), "192.0.2.1");
  const std::string v6 =
      std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + '\x01' + std::string(20, '\0');
  expect_source(header(0x21, 0x21, v6), "2001:db8::1");
  const std::string mapped = std::string(10, '\0') + std::string("\xFF\xFF\xC0\x00\x02\x07", 6);
  expect_source(header(0x21, 0x21, mapped + std::string(20, '\0')), "192.0.2.7");
}

TEST(ProxyProtocol, without_addresses_the_sockets_is_right) {
  expect_source(header(0x20, 0x00, ""), "none");                     // A health check.
  expect_source(header(0x20, 0x11, v4_addresses), "none");           // LOCAL: not to be used.
  expect_source(header(0x20, 0xFF, "anything at all"), "none");      // The same.
  expect_source(header(0x21, 0x00, ""), "none");                     // Not known to the sender.
  expect_source(header(0x21, 0x00, "nobody knows"), "none");         // The same.
  expect_source(header(0x21, 0x31, std::string(216, 'x')), "none");  // A UNIX socket.
  expect_source(header(0x21, 0x12, v4_addresses), "none");           // Datagrams.
}

TEST(ProxyProtocol, what_follows_the_addresses_is_skipped) {
  expect_source(header(0x21, 0x11, v4_addresses + part(0xEA, std::string("\x01vpce-0123456789"))),
                "192.0.2.1");
  expect_source(header(0x21, 0x11, v4_addresses + part(0x04, "") + part(0x05, "id")), "192.0.2.1");
  expect_source(
      header(0x21, 0x11, v4_addresses + part(0x04, std::string(proxy_header_bytes_max - 31, 'x'))),
      "192.0.2.1");
}

TEST(ProxyProtocol, a_checksum_is_looked_at) {
  const std::string good = with_checksum();
  expect_source(good, "192.0.2.1");
  for (std::size_t place = 0; place < good.size(); place++) {
    for (const int bit : {1, 16, 128}) {
      std::string changed = good;
      changed[place] = static_cast<char>(changed[place] ^ bit);
      const ProxyHeader result = parse_proxy_header(as_bytes(changed));
      // A shorter length, or another type, leaves no checksum to be looked at.
      const bool cut_off = place == 14 || place == 15 || (place >= 28 && place <= 30);
      if (cut_off) continue;
      // LOCAL, and families without addresses, are not checked any further.
      if (place != 12 && place != 13) {
        EXPECT_EQ(result.kind, Kind::rejected) << place;
      }
      EXPECT_FALSE(result.source) << place;
    }
  }
  expect_rejected(header(0x21, 0x11, v4_addresses + part(0x03, "abc")),
                  "The checksum of the PROXY header is wrong.");
}

TEST(ProxyProtocol, everything_else_is_rejected) {
  expect_rejected("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
                  "The PROXY header is of version 1; only version 2 is taken.");
  expect_rejected("POST /ingest/a HTTP/1.1\r\n", "There is no PROXY header.");
  expect_rejected("\x16\x03\x01\x02", "There is no PROXY header.");
  expect_rejected("\r\n\r\n\r\n\r\n\r\n\r\n", "There is no PROXY header.");
  expect_rejected(header(0x11, 0x11, v4_addresses), "The PROXY header's version is not 2.");
  expect_rejected(header(0x22, 0x11, v4_addresses), "The PROXY header's command is not known.");
  const std::string family = "The PROXY header's address family or transport is not known.";
  expect_rejected(header(0x21, 0x41, std::string(216, 'x')), family);
  expect_rejected(header(0x21, 0x13, v4_addresses), family);
  expect_rejected(header(0x21, 0x11, v4_addresses.substr(1)),
                  "The PROXY header is too short for its addresses.");
  expect_rejected(header(0x21, 0x21, v4_addresses),
                  "The PROXY header is too short for its addresses.");
  expect_rejected(header(0x21, 0x11, v4_addresses + "\x04"), "The PROXY header ends inside a TLV.");
  expect_rejected(header(0x21, 0x11, v4_addresses + std::string("\x04\x00\x02x", 4)),
                  "A TLV of the PROXY header is longer than it.");
  expect_rejected(signature + "\x21\x11" + number16(proxy_header_bytes_max),
                  "The PROXY header is too long.");
}

TEST(ProxyProtocol, a_beginning_is_not_judged) {
  EXPECT_EQ(parse("").kind, Kind::incomplete);
  EXPECT_EQ(parse("P").kind, Kind::incomplete);
  EXPECT_EQ(parse("\r\n\r\n").kind, Kind::incomplete);
  EXPECT_EQ(parse(header(0x21, 0x11, v4_addresses).substr(0, 27)).kind, Kind::incomplete);
}

}  // namespace
}  // namespace inlet::http
