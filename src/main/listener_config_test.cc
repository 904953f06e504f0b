// Goal: keys of [server] about TLS and proxies that need each other are missed when one is missing,
// and what is sound reaches the server as it was written.
// Method: every combination of what may be set, against the rules written down again.

#include "main/listener_config.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/posix_file.h"

namespace inlet::main {
namespace {

bool names(const std::vector<std::pair<std::string, std::string>>& mistakes,
           const std::string& key) {
  return std::any_of(mistakes.begin(), mistakes.end(),
                     [&](const auto& mistake) { return mistake.first == key; });
}

TEST(ListenerConfig, keys_that_need_each_other_are_missed) {
  for (unsigned bits = 0; bits < 64; bits++) {
    const bool cert = (bits & 1) != 0;
    const bool key = (bits & 2) != 0;
    const bool authority = (bits & 4) != 0;
    const bool asks = (bits & 8) != 0;
    const bool proxy = (bits & 16) != 0;
    const bool trusted = (bits & 32) != 0;
    SCOPED_TRACE(bits);
    ServerConfig server;
    if (cert) server.tls_cert = "cert.pem";
    if (key) server.tls_key = "key.pem";
    if (authority) server.tls_client_ca = "ca.pem";
    if (asks) server.tls_client_auth = TlsClientAuth::optional;
    server.proxy_protocol = proxy;
    if (trusted) server.trusted_proxies = {"10.0.0.0/8"};
    const auto mistakes = listener_mistakes(server);
    EXPECT_EQ(names(mistakes, "server.tls_cert"), cert && !key);
    EXPECT_EQ(names(mistakes, "server.tls_key"), key && !cert);
    EXPECT_EQ(names(mistakes, "server.tls_client_auth"), asks && !(cert && authority));
    EXPECT_EQ(names(mistakes, "server.tls_client_ca"), authority && !asks);
    EXPECT_EQ(names(mistakes, "server.proxy_protocol"), proxy && !trusted);
    PosixFileSystem files;
    SystemClock clock;
    if (!mistakes.empty()) {
      EXPECT_FALSE(open_tls(files, clock, server));
    }
  }
}

TEST(ListenerConfig, without_a_certificate_there_is_no_tls) {
  PosixFileSystem files;
  SystemClock clock;
  const auto none = open_tls(files, clock, {});
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, nullptr);
  EXPECT_TRUE(tls_files({}).empty());
}

TEST(ListenerConfig, words_are_read_or_refused) {
  ServerConfig server;
  EXPECT_FALSE(read_client_auth(&server, "required", {}));
  EXPECT_EQ(server.tls_client_auth, TlsClientAuth::required);
  EXPECT_FALSE(read_client_auth(&server, "optional", {}));
  EXPECT_EQ(server.tls_client_auth, TlsClientAuth::optional);
  EXPECT_FALSE(read_client_auth(&server, "none", {}));
  EXPECT_EQ(server.tls_client_auth, TlsClientAuth::none);
  EXPECT_TRUE(read_client_auth(&server, "yes", {}));
  EXPECT_FALSE(read_tls_version(&server, "1.3", {}));
  EXPECT_EQ(server.tls_min_version, TlsVersion::v1_3);
  EXPECT_FALSE(read_tls_version(&server, "1.2", {}));
  EXPECT_EQ(server.tls_min_version, TlsVersion::v1_2);
  EXPECT_TRUE(read_tls_version(&server, "1.1", {}));
}

TEST(ListenerConfig, networks_reach_the_listener) {
  ServerConfig server;
  EXPECT_TRUE(read_networks(&server, "10.0.0.0/8\nproxy.example", {}));
  EXPECT_TRUE(server.trusted_proxies.empty());
  EXPECT_FALSE(read_networks(&server, "10.0.0.0/8\n2001:db8::/32", {}));
  server.proxy_protocol = true;
  const http::ListenerOptions options = listener_options(server, nullptr);
  EXPECT_TRUE(options.proxy_protocol);
  EXPECT_EQ(options.tls, nullptr);
  EXPECT_TRUE(options.trusted_proxies.contains(http::parse_ip_address("10.9.9.9").value()));
  EXPECT_TRUE(options.trusted_proxies.contains(http::parse_ip_address("2001:db8::1").value()));
  EXPECT_FALSE(options.trusted_proxies.contains(http::parse_ip_address("11.0.0.0").value()));
}

}  // namespace
}  // namespace inlet::main
