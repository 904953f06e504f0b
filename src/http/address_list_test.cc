// Goal: addresses have one form, and a list holds exactly the addresses of its networks.
// Method: tables; every prefix length against the first and last address and those beside them.

#include "http/address_list.h"

#include <gtest/gtest.h>

namespace inlet::http {
namespace {

AddressList list(std::vector<std::string> items) {
  auto parsed = AddressList::parse(items);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().what);
  return parsed.value_or(AddressList());
}

IpAddress ip(std::string_view text) {
  const auto address = parse_ip_address(text);
  EXPECT_TRUE(address) << text;
  return address.value_or(IpAddress());
}

TEST(AddressList, addresses_are_read_and_written_in_one_form) {
  EXPECT_EQ(ip("192.0.2.1").text(), "192.0.2.1");
  EXPECT_EQ(ip("::ffff:192.0.2.1").text(), "192.0.2.1");
  EXPECT_EQ(ip("::FFFF:c000:201"), ip("192.0.2.1"));
  EXPECT_EQ(ip("2001:DB8:0:0::1").text(), "2001:db8::1");
  EXPECT_EQ(ip("::").text(), "::");
  for (const char* bad : {"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ",
                          " 1.2.3.4", "::1%lo", "[::1]", "2001:db8::1::2", "localhost", "1.2.3.4:5",
                          "11111111111111111111111111111111111111111111111111111"}) {
    EXPECT_FALSE(parse_ip_address(bad)) << bad;
  }
  EXPECT_FALSE(parse_ip_address(std::string_view("1.2.3.4\0", 8)));
}

TEST(AddressList, a_network_ends_where_its_prefix_says) {
  for (unsigned bits = 1; bits <= 32; bits++) {
    SCOPED_TRACE(bits);
    // The network that begins at 128.0.0.0.
    const std::uint64_t size = std::uint64_t{1} << (32 - bits);
    const auto address = [](std::uint64_t value) {
      const std::array<std::uint8_t, 4> octets = {
          static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
          static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
      return IpAddress::v4(octets);
    };
    const AddressList one = list({"128.0.0.0/" + std::to_string(bits)});
    const std::uint64_t first = 0x80000000;
    EXPECT_FALSE(one.contains(address(first - 1)));
    EXPECT_TRUE(one.contains(address(first)));
    EXPECT_TRUE(one.contains(address(first + size - 1)));
    if (bits == 1) continue;  // It ends with the last address there is.
    EXPECT_FALSE(one.contains(address(first + size)));
  }
}

TEST(AddressList, the_families_are_apart) {
  EXPECT_TRUE(list({"0.0.0.0/0"}).contains(ip("8.8.8.8")));
  EXPECT_FALSE(list({"0.0.0.0/0"}).contains(ip("2001:db8::1")));
  EXPECT_TRUE(list({"::/0"}).contains(ip("2001:db8::1")));
  EXPECT_FALSE(list({"::/0"}).contains(ip("8.8.8.8")));
  EXPECT_TRUE(list({"::ffff:10.0.0.0/104"}).contains(ip("10.1.2.3")));
  EXPECT_TRUE(list({"10.0.0.0/8"}).contains(ip("::ffff:10.1.2.3")));
}

TEST(AddressList, several_networks_are_one_list) {
  const AddressList two = list({"10.0.0.0/8", "2001:db8::/33", "192.0.2.7"});
  EXPECT_TRUE(two.contains(ip("10.255.255.255")));
  EXPECT_TRUE(two.contains(ip("2001:db8:7fff::1")));
  EXPECT_FALSE(two.contains(ip("2001:db8:8000::1")));
  EXPECT_TRUE(two.contains(ip("192.0.2.7")));
  EXPECT_FALSE(two.contains(ip("192.0.2.8")));
  EXPECT_FALSE(two.contains(ip("11.0.0.0")));
  EXPECT_FALSE(AddressList().contains(ip("10.0.0.1")));
  EXPECT_TRUE(AddressList().empty());
}

TEST(AddressList, what_is_wrong_is_said) {
  const std::pair<std::string, std::string> table[] = {
      {"", "\"\" is not a network such as 10.0.0.0/8 or 2001:db8::/32"},
      {"proxy.example", "\"proxy.example\" is not a network such as 10.0.0.0/8 or 2001:db8::/32"},
      {"10.0.0.0/33", "\"10.0.0.0/33\" has no prefix length from 0 to 32"},
      {"10.0.0.0/", "\"10.0.0.0/\" has no prefix length from 0 to 32"},
      {"10.0.0.0/8x", "\"10.0.0.0/8x\" has no prefix length from 0 to 32"},
      {"::/129", "\"::/129\" has no prefix length from 0 to 128"},
      {"10.0.0.1/8", "\"10.0.0.1/8\" has bits after its prefix; the network is 10.0.0.0/8"},
      {"2001:db8::1/32",
       "\"2001:db8::1/32\" has bits after its prefix; the network is 2001:db8::/32"},
  };
  for (const auto& [item, what] : table) {
    const auto parsed = AddressList::parse(std::vector<std::string>{"10.0.0.0/8", item});
    ASSERT_FALSE(parsed) << item;
    EXPECT_EQ(parsed.error().what, what);
  }
  EXPECT_FALSE(AddressList::parse(std::vector<std::string>(networks_max + 1, "10.0.0.0/8")));
}

}  // namespace
}  // namespace inlet::http
