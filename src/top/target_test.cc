// Goal: addresses are understood as people write them, and mistakes are named without secrets.
// Method: every form with the URL it leads to, and what is none.

#include "top/target.h"

#include <gtest/gtest.h>

namespace inlet::top {
namespace {

std::string url(std::string_view text) {
  const auto target = parse_target(text);
  if (!target) return "wrong: " + target.error().what;
  return (target->is_dns ? "dns " : "") + url_of(*target, target->host);
}

TEST(Target, AnAddressMayLeaveOutThePortAndTheScheme) {
  EXPECT_EQ(url("10.0.0.7"), "http://10.0.0.7:8081/status.json");
  EXPECT_EQ(url("node-a:9000"), "http://node-a:9000/status.json");
  EXPECT_EQ(url("node-a:9000/"), "http://node-a:9000/status.json");
  EXPECT_EQ(url("[::1]"), "http://[::1]:8081/status.json");
  EXPECT_EQ(url("[fe80::1]:80"), "http://[fe80::1]:80/status.json");
}

TEST(Target, AUrlMeansWhatUrlsMean) {
  EXPECT_EQ(url("http://a"), "http://a:80/status.json");
  EXPECT_EQ(url("https://a"), "https://a:443/status.json");
  EXPECT_EQ(url("https://ops.example:8443/a//"), "https://ops.example:8443/a/status.json");
  EXPECT_EQ(url("http://a:1/x/status.json"), "http://a:1/x/status.json");
}

TEST(Target, ANameStandsForItsAddresses) {
  EXPECT_EQ(url("dns:ingest"), "dns http://ingest:8081/status.json");
  EXPECT_EQ(url("dns:ingest.example:81"), "dns http://ingest.example:81/status.json");
  const auto target = parse_target("dns:ingest:81");
  ASSERT_TRUE(target);
  EXPECT_EQ(url_of(*target, "[::1]"), "http://[::1]:81/status.json");
  EXPECT_EQ(address_of(*target, "10.0.0.1"), "10.0.0.1:81");
}

TEST(Target, WhatIsNoAddressIsRefused) {
  constexpr std::string_view none[] = {
      "",         "a:0",        "a:65536",      "a:x",          "a:",          ":80",  "::1",
      "::1:8081", "[::1",       "[]",           "[g::1]",       "a b",         "-a",   "a/b",
      "ftp://a",  "http://",    "http://a?x=1", "http://a/b#c", "http://a/\n", "dns:", "dns:[::1]",
      "dns:a/b",  "http://a\\b"};
  for (const std::string_view text : none) {
    EXPECT_FALSE(parse_target(text)) << text;
  }
  EXPECT_FALSE(parse_target(std::string(target_bytes_max + 1, 'a')));
}

TEST(Target, APasswordIsRefusedAndNotRepeated) {
  for (const std::string_view text : {"http://user:secret@a", "user:secret@a", "dns:secret@a",
                                      "http://a?token=secret", "secret://a"}) {
    const auto target = parse_target(text);
    ASSERT_FALSE(target) << text;
    EXPECT_EQ(target.error().what.find("secret"), std::string::npos) << target.error().what;
  }
}

}  // namespace
}  // namespace inlet::top
