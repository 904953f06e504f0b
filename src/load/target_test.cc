// Goal: a URL is taken apart right or refused with a sentence that says why.
// Method: a table of good ones and one of bad ones.

#include "load/target.h"

#include <gtest/gtest.h>

#include <vector>

namespace inlet::loader {
namespace {

TEST(Target, takes_good_urls_apart) {
  struct Row {
    const char* url;
    const char* host;
    const char* port;
    const char* authority;
    const char* path;
    const char* query;
  };
  const std::vector<Row> rows = {
      {"http://a/ingest/demo", "a", "80", "a", "/ingest/demo", ""},
      {"http://127.0.0.1:8080/ingest/demo", "127.0.0.1", "8080", "127.0.0.1:8080", "/ingest/demo",
       ""},
      {"http://[::1]:9/x?y=1#z", "::1", "9", "[::1]:9", "/x", "?y=1"},
      {"http://[::1]", "::1", "80", "[::1]", "/", ""},
      {"http://host.example?q", "host.example", "80", "host.example", "/", "?q"},
  };
  for (const Row& row : rows) {
    const auto target = parse_target(row.url);
    ASSERT_TRUE(target) << row.url;
    EXPECT_EQ(target->host, row.host);
    EXPECT_EQ(target->port, row.port);
    EXPECT_EQ(target->authority, row.authority);
    EXPECT_EQ(target->path, row.path);
    EXPECT_EQ(target->query, row.query);
  }
}

TEST(Target, knows_where_tls_is_spoken) {
  const auto secured = parse_target("https://a/b");
  ASSERT_TRUE(secured);
  EXPECT_TRUE(secured->tls);
  EXPECT_EQ(secured->port, "443");
  EXPECT_EQ(secured->authority, "a");
  EXPECT_EQ(parse_target("https://a:8443/b")->port, "8443");
  EXPECT_FALSE(parse_target("http://a:443/b")->tls);
}

TEST(Target, refuses_the_rest_and_says_why) {
  const std::vector<std::pair<const char*, const char*>> rows = {
      {"httpss://a/", "https"},  {"ftp://a/", "http://"},        {"a/b", "http://"},
      {"http:///x", "host"},     {"http://a:0/", "port"},        {"http://a:65536/", "port"},
      {"http://a:8x/", "port"},  {"http://[::1/x", "]"},         {"http://[::1]8/", "port"},
      {"http://a/b c", "space"}, {"http://a/\r\nX: y", "space"}, {"http://u:p@a/", "password"},
  };
  for (const auto& [url, word] : rows) {
    const auto target = parse_target(url);
    ASSERT_FALSE(target) << url;
    EXPECT_EQ(target.error().kind, ErrorKind::reject);
    EXPECT_NE(target.error().what.find(word), std::string::npos) << target.error().what;
  }
}

TEST(Target, resolves_a_numeric_address) {
  const auto address = resolve(*parse_target("http://127.0.0.1:8080/"));
  ASSERT_TRUE(address);
  EXPECT_EQ(address->storage.ss_family, AF_INET);
}

}  // namespace
}  // namespace inlet::loader
