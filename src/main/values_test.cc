// Goal: a text is read as the value it stands for, or refused; never as another value.
// Method: examples on both sides of every edge; what is formatted is read back.

#include "main/values.h"

#include <gtest/gtest.h>

#include <array>

namespace inlet::main {
namespace {

template <typename T>
std::optional<T> value_of(std::string_view text, Range range = {}) {
  T out{};
  if (read_value(text, range, out)) return std::nullopt;
  return out;
}

TEST(Sizes, take_every_unit_and_plain_bytes) {
  EXPECT_EQ(value_of<std::uint64_t>("0"), 0U);
  EXPECT_EQ(value_of<std::uint64_t>("7"), 7U);
  EXPECT_EQ(value_of<std::uint64_t>("7B"), 7U);
  EXPECT_EQ(value_of<std::uint64_t>("7KiB"), 7168U);
  EXPECT_EQ(value_of<std::uint64_t>("7kB"), 7000U);
  EXPECT_EQ(value_of<std::uint64_t>("7MB"), 7'000'000U);
  EXPECT_EQ(value_of<std::uint64_t>("7GiB"), std::uint64_t{7} << 30);
  EXPECT_EQ(value_of<std::uint64_t>("17179869183GiB"), std::uint64_t{17179869183} << 30);
  for (const char* bad : {"", "B", "-1", "+1", "1.5MiB", "1 MiB", "1mib", "1K", "17179869184GiB",
                          "18446744073709551616"}) {
    EXPECT_FALSE(value_of<std::uint64_t>(bad)) << bad;
  }
}

TEST(Durations, need_a_unit_unless_they_are_zero) {
  EXPECT_EQ(value_of<Microseconds>("0"), 0);
  EXPECT_EQ(value_of<Microseconds>("5us"), 5);
  EXPECT_EQ(value_of<Microseconds>("5ms"), 5'000);
  EXPECT_EQ(value_of<Microseconds>("5m"), 300'000'000);
  EXPECT_EQ(value_of<Microseconds>("1d"), 86'400'000'000);
  for (const char* bad : {"", "5", "s", "-5s", "5S", "5 s", "99999999999999d"}) {
    EXPECT_FALSE(value_of<Microseconds>(bad)) << bad;
  }
}

TEST(Addresses, are_numeric_with_a_port) {
  EXPECT_EQ(value_of<Address>("127.0.0.1:0"), (Address{"127.0.0.1", 0}));
  EXPECT_EQ(value_of<Address>("localhost:80"), (Address{"127.0.0.1", 80}));
  EXPECT_EQ(value_of<Address>("[::]:65535"), (Address{"::", 65535}));
  for (const char* bad :
       {"", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.256:1", "::1:80", "[::1]", "[]:1", "[x]:1", "example.com:80", "127.0.0.1:80x"}) {
    EXPECT_FALSE(value_of<Address>(bad)) << bad;
  }
}

TEST(Addresses, that_stand_for_all_are_reached_by_loopback) {
  EXPECT_EQ(reachable({.host = "0.0.0.0", .port = 80}), "127.0.0.1:80");
  EXPECT_EQ(reachable({.host = "::", .port = 80}), "[::1]:80");
  EXPECT_EQ(reachable({.host = "10.0.0.7", .port = 80}), "10.0.0.7:80");
}

TEST(Ranges, include_their_edges) {
  for (const std::uint64_t n : {2, 3, 4}) {
    EXPECT_TRUE(value_of<std::uint64_t>(std::to_string(n), {2, 4}));
    EXPECT_TRUE(value_of<std::uint32_t>(std::to_string(n), {2, 4}));
    EXPECT_TRUE(value_of<Microseconds>(std::to_string(n) + "us", {2, 4}));
  }
  for (const std::uint64_t n : {1, 5}) {
    EXPECT_FALSE(value_of<std::uint64_t>(std::to_string(n), {2, 4}));
    EXPECT_FALSE(value_of<std::uint32_t>(std::to_string(n), {2, 4}));
    EXPECT_FALSE(value_of<Microseconds>(std::to_string(n) + "us", {2, 4}));
  }
  EXPECT_FALSE(value_of<std::uint32_t>("4294967296"));
}

TEST(Formatting, is_read_back_as_the_same_value) {
  for (const std::uint64_t n :
       {0ULL, 1ULL, 1000ULL, 1024ULL, 1025ULL, 16777216ULL, 10000000000ULL}) {
    EXPECT_EQ(value_of<std::uint64_t>(format_size(n)), n) << format_size(n);
    const auto us = static_cast<Microseconds>(n);
    EXPECT_EQ(value_of<Microseconds>(format_duration(us)), us) << format_duration(us);
  }
  EXPECT_EQ(format_size(16U << 20), "16MiB");
  EXPECT_EQ(format_duration(90'000'000), "90s");
}

TEST(Suggestions, are_made_only_for_what_is_near) {
  static constexpr std::string_view names[] = {"listen", "admin", "loops"};
  EXPECT_EQ(nearest("lisen", names), "listen");
  EXPECT_EQ(nearest("lops", names), "loops");
  EXPECT_EQ(nearest("admni", names), "admin");
  EXPECT_EQ(nearest("cta", std::array<std::string_view, 2>{"ls", "cat"}), "cat");
  EXPECT_EQ(nearest("memory", names), std::nullopt);
  EXPECT_EQ(nearest("", names), std::nullopt);
}

TEST(HostFacts, limits_are_read_as_the_kernel_writes_them) {
  EXPECT_EQ(parse_memory_limit("max\n"), std::nullopt);
  EXPECT_EQ(parse_memory_limit("9223372036854771712\n"), std::nullopt);
  EXPECT_EQ(parse_memory_limit("536870912\n"), 536870912U);
  EXPECT_EQ(parse_memory_limit(""), std::nullopt);
  EXPECT_EQ(parse_cpu_limit("max 100000\n"), std::nullopt);
  EXPECT_EQ(parse_cpu_limit("150000 100000\n"), 2U);
  EXPECT_EQ(parse_cpu_limit("50000 100000\n"), 1U);
  EXPECT_EQ(parse_cpu_limit("50000 0\n"), std::nullopt);
}

TEST(HostFacts, a_host_name_becomes_a_valid_name) {
  EXPECT_EQ(node_name("ip-10-0-0-1.EC2.internal"), "ip-10-0-0-1.ec2.internal");
  EXPECT_EQ(node_name("_My Box!"), "my-box-");
  EXPECT_EQ(node_name(""), "node");
  EXPECT_EQ(node_name(std::string(100, 'a')), std::string(64, 'a'));
}

}  // namespace
}  // namespace inlet::main
