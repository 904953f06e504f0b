// Goal: a request's client is the first hop that is not trusted, and nobody further left is heard.
// Method: a table of X-Forwarded-For lines, read by the real parser, with 10.0.0.0/8 and
// fd00::/8 trusted.

#include "http/forwarded.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace inlet::http {
namespace {

std::string client(const std::vector<std::string>& lines, std::string_view socket = "10.0.0.1") {
  const std::vector<std::string> items = {"10.0.0.0/8", "fd00::/8"};
  const AddressList trusted = AddressList::parse(items).value();
  std::string text = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (const std::string& line : lines) text += line + "\r\n";
  text += "\r\n";
  RequestHead head;
  EXPECT_EQ(parse_head(text, head).kind, HeadResult::Kind::complete) << text;
  const auto found = forwarded_address(head, parse_ip_address(socket).value(), trusted);
  return found ? found->text() : "the socket's";
}

TEST(Forwarded, the_rightmost_hop_that_is_not_trusted_is_the_client) {
  const std::pair<std::string, std::string> table[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"192.0.2.1, 10.0.0.2", "192.0.2.1"},
      {"203.0.113.9, 192.0.2.1, 10.0.0.2,10.0.0.3", "192.0.2.1"},
      {"203.0.113.9,192.0.2.1", "192.0.2.1"},
      {"garbage, 192.0.2.1, 10.0.0.2", "192.0.2.1"},  // Left of the client anything may stand.
      {"10.0.0.4, 10.0.0.2", "10.0.0.4"},             // All are trusted: the first in line.
      {"192.0.2.1:4711, 10.0.0.2:80", "192.0.2.1"},
      {"2001:db8::1, fd00::2", "2001:db8::1"},
      {"[2001:db8::1], [fd00::2]:443", "2001:db8::1"},
      {"\"[2001:db8::1]:80\"", "2001:db8::1"},
      {"\"192.0.2.1\"", "192.0.2.1"},
      {"::ffff:192.0.2.1", "192.0.2.1"},
      {"192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1"},
      {"192.0.2.1, , 10.0.0.2,", "192.0.2.1"},  // Empty elements count for nothing.
      {"  192.0.2.1\t", "192.0.2.1"},
  };
  for (const auto& [value, expected] : table) {
    EXPECT_EQ(client({"X-Forwarded-For: " + value}), expected) << value;
  }
}

TEST(Forwarded, what_is_no_address_leaves_the_sockets) {
  for (const char* value : {"",
                            ",",
                            "unknown",
                            "_hidden",
                            "192.0.2.1.5",
                            "192.0.2.1 10.0.0.2",
                            "192.0.2.1:",
                            "192.0.2.1:port",
                            "192.0.2.1:123456",
                            "[2001:db8::1",
                            "2001:db8::1]",
                            "[192.0.2.1]",
                            "[2001:db8::1]x",
                            "[2001:db8::1]:",
                            "[]",
                            "\"",
                            "\"\"",
                            "\"192.0.2.1",
                            "for=192.0.2.1",
                            "192.0.2.1, unknown",
                            "192.0.2.1, unknown, 10.0.0.2",
                            "2001:db8::1%eth0",
                            "1",
                            "192.0.2.1/32"}) {
    EXPECT_EQ(client({std::string("X-Forwarded-For: ") + value}), "the socket's") << value;
  }
  EXPECT_EQ(client({}), "the socket's");
}

TEST(Forwarded, a_socket_that_is_not_trusted_is_believed_nothing) {
  EXPECT_EQ(client({"X-Forwarded-For: 192.0.2.1"}, "203.0.113.5"), "the socket's");
  EXPECT_EQ(client({"X-Forwarded-For: 192.0.2.1"}, "2001:db8::5"), "the socket's");
  EXPECT_EQ(client({"X-Forwarded-For: 192.0.2.1"}, "::ffff:10.9.9.9"), "192.0.2.1");
}

TEST(Forwarded, several_lines_are_one_list) {
  EXPECT_EQ(client({"X-Forwarded-For: 203.0.113.9", "X-Other: 1", "x-forwarded-for: 10.0.0.2"}),
            "203.0.113.9");
  EXPECT_EQ(client({"X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 192.0.2.1, 10.0.0.2"}),
            "192.0.2.1");
  EXPECT_EQ(client({"X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: unknown"}), "the socket's");
  EXPECT_EQ(client({"X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: "}), "203.0.113.9");
}

}  // namespace
}  // namespace inlet::http
