// Goal: an identity is only used whole; what is wrong with its files is said; new files are taken
// without being asked, and bad ones leave the old in use.
// Method: certificates made on the spot, contexts of both sides over a socket pair, no server.

#include "http/tls.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "http/certificate_test.h"
#include "http/tls_client.h"
#include "http/tls_stream.h"
#include "http/tls_tickets.h"

namespace inlet::http {
namespace {

using Step = TlsStream::Step;

class TlsTest : public testing::Test {
 protected:
  TlsTest()
      : directory_(make_test_directory("tls")), authority_({.name = "CA", .authority = true}) {
    write("ca.pem", authority_.cert());
    show(authority_);
  }
  ~TlsTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    write_test_file(path(name), text);
  }
  // A new pair for the server, signed by `issuer`.
  void show(const TestCertificate& issuer, long ends_in_s = 3600) const {
    const TestCertificate made({.issuer = &issuer, .ends_in_s = ends_in_s});
    write("cert.pem", made.cert());
    write("key.pem", made.key());
  }
  [[nodiscard]] TlsOptions options(ClientAuth auth = ClientAuth::none) const {
    return {.cert_file = path("cert.pem"),
            .key_file = path("key.pem"),
            .client_ca_file = path("ca.pem"),
            .client_auth = auth,
            .look_us = 5'000};
  }
  std::unique_ptr<TlsContext> open(const TlsOptions& options) {
    auto made = TlsContext::open(files_, clock_, options);
    EXPECT_TRUE(made) << (made ? "" : made.error().what);
    return made ? std::move(*made) : nullptr;
  }
  std::string error(const TlsOptions& options) {
    const auto made = TlsContext::open(files_, clock_, options);
    return made ? "none" : made.error().what;
  }
  // The client's outcome; "done" or why not.
  std::string shake(TlsContext& context, TlsClientOptions client_options) {
    client_options.host = "localhost";
    if (client_options.ca_file.empty()) client_options.ca_file = path("ca.pem");
    auto client = TlsClient::open(client_options);
    EXPECT_TRUE(client) << (client ? "" : client.error().what);
    int fds[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    auto here = (*client)->open_stream(fds[0]);
    auto there = context.open_stream(fds[1]);
    std::byte byte;
    Step ours = Step::wait;
    Step theirs = Step::wait;
    // In TLS 1.3 a client is done before the server has judged its certificate.
    for (int i = 0; i < 20 && (ours == Step::wait || theirs == Step::wait); i++) {
      here->note_readable(false);
      there->note_readable(false);
      if (ours == Step::wait) ours = here->handshake();
      if (theirs == Step::wait) theirs = there->handshake();
    }
    here->note_readable(false);
    if (ours == Step::done && theirs != Step::done) {
      EXPECT_EQ(here->receive({&byte, 1}).kind, Received::Kind::broken);
      ours = Step::failed;
    }
    const std::string outcome = ours == Step::done ? "done" : here->error();
    here.reset();
    there.reset();
    ::close(fds[0]);
    ::close(fds[1]);
    return outcome;
  }
  template <typename Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < 5000 && !condition(); i++) clock_.sleep(1000);
    return condition();
  }

  PosixFileSystem files_;
  SystemClock clock_;
  const std::string directory_;
  const TestCertificate authority_;
};

TEST_F(TlsTest, a_pair_is_shown_to_clients_that_trust_its_issuer) {
  const auto context = open(options());
  ASSERT_TRUE(context);
  EXPECT_EQ(shake(*context, {}), "done");
  EXPECT_NEAR(static_cast<double>(context->not_after_s()),
              static_cast<double>(clock_.wall_us()) / 1e6 + 3600, 5);
  const TestCertificate stranger({.name = "other", .authority = true});
  write("other.pem", stranger.cert());
  EXPECT_EQ(shake(*context, {.ca_file = path("other.pem")}), "certificate verify failed");
  EXPECT_EQ(shake(*context, {.verify = false, .ca_file = path("other.pem")}), "done");
}

TEST_F(TlsTest, a_client_that_only_speaks_another_protocol_is_refused) {
  const auto context = open(options());
  EXPECT_EQ(shake(*context, {.alpn = "h2"}), "tlsv1 alert no application protocol");
  EXPECT_EQ(shake(*context, {.alpn = ""}), "done");
}

TEST_F(TlsTest, what_is_wrong_with_the_files_is_said) {
  const std::string cert = path("cert.pem");
  const std::string key = path("key.pem");
  TlsOptions missing = options();
  missing.cert_file = path("none.pem");
  EXPECT_NE(error(missing).find("none.pem"), std::string::npos) << error(missing);

  const TestCertificate one({});
  const TestCertificate other({});
  write("cert.pem", "no PEM at all");
  EXPECT_EQ(error(options()), cert + ": has no certificate");
  write("cert.pem", one.cert().substr(0, 200) + "\n-----END CERTIFICATE-----\n");
  EXPECT_TRUE(error(options()).starts_with(cert + ": a certificate cannot be read: "))
      << error(options());
  write("cert.pem", one.cert());
  write("key.pem", one.cert());
  EXPECT_TRUE(error(options()).starts_with(key + ": no key without a password can be read: "))
      << error(options());
  write("key.pem", one.locked_key());
  EXPECT_TRUE(error(options()).starts_with(key + ": no key without a password can be read: "))
      << error(options());
  write("key.pem", other.key());
  EXPECT_EQ(error(options()), key + ": is not the key of " + cert + ": key values mismatch");
  write("key.pem", one.key());
  EXPECT_EQ(error(options()), "none");
  write("ca.pem", "");
  EXPECT_EQ(error(options(ClientAuth::required)), path("ca.pem") + ": has no certificate");
  EXPECT_EQ(error(options()), "none");  // It is not asked for.
}

TEST_F(TlsTest, clients_are_asked_for_certificates_as_configured) {
  const TestCertificate client({.name = "client", .issuer = &authority_});
  const TestCertificate stranger({.name = "stranger"});
  write("client.pem", client.cert());
  write("client.key", client.key());
  write("stranger.pem", stranger.cert());
  write("stranger.key", stranger.key());
  const TlsClientOptions nobody{};
  const TlsClientOptions known{.cert_file = path("client.pem"), .key_file = path("client.key")};
  const TlsClientOptions unknown{.cert_file = path("stranger.pem"),
                                 .key_file = path("stranger.key")};

  const auto required = open(options(ClientAuth::required));
  EXPECT_EQ(shake(*required, known), "done");
  EXPECT_EQ(shake(*required, nobody), "tlsv13 alert certificate required");
  EXPECT_EQ(shake(*required, unknown), "tlsv1 alert unknown ca");
  const auto optional = open(options(ClientAuth::optional));
  EXPECT_EQ(shake(*optional, known), "done");
  EXPECT_EQ(shake(*optional, nobody), "done");
  EXPECT_EQ(shake(*optional, unknown), "tlsv1 alert unknown ca");
  const auto none = open(options());
  EXPECT_EQ(shake(*none, unknown), "done");
}

TEST_F(TlsTest, a_reload_shows_the_new_pair_and_a_bad_one_keeps_the_old) {
  const auto context = open(options());
  const std::int64_t before_s = context->not_after_s();
  show(authority_, 7200);
  ASSERT_TRUE(context->reload());
  EXPECT_GT(context->not_after_s(), before_s + 3000);

  write("key.pem", "nothing");
  const Status refused = context->reload();
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("key.pem"), std::string::npos);
  EXPECT_GT(context->not_after_s(), before_s + 3000);
  EXPECT_EQ(shake(*context, {}), "done");
  EXPECT_EQ(context->reloads(), 1U);
  EXPECT_EQ(context->reloads_failed(), 1U);
}

TEST_F(TlsTest, changed_files_are_seen_and_half_a_change_is_harmless) {
  const auto context = open(options());
  context->watch();
  const std::int64_t before_s = context->not_after_s();
  const TestCertificate next({.issuer = &authority_, .ends_in_s = 7200});
  write("cert.pem", next.cert());  // Without its key.
  EXPECT_TRUE(eventually([&] { return context->reloads_failed() == 1; }));
  EXPECT_EQ(context->not_after_s(), before_s);
  EXPECT_EQ(shake(*context, {}), "done");
  write("key.pem", next.key());
  EXPECT_TRUE(eventually([&] { return context->reloads() == 1; }));
  EXPECT_GT(context->not_after_s(), before_s + 3000);
  EXPECT_EQ(shake(*context, {}), "done");
  std::filesystem::remove(path("cert.pem"));
  EXPECT_TRUE(eventually([&] { return context->reloads_failed() == 2; }));
  EXPECT_EQ(shake(*context, {}), "done");
  EXPECT_EQ(context->reloads_failed(), 2U);  // Said once.
}

class SetClock final : public Clock {
 public:
  Microseconds wall_us() override { return now_us; }
  Microseconds steady_us() override { return now_us; }
  void sleep(Microseconds duration) override { now_us += duration; }
  Microseconds now_us = 0;
};

TEST(TlsTickets, a_key_seals_for_a_while_and_opens_for_as_long_again) {
  SetClock clock;
  TlsTickets tickets(clock);
  using Found = TlsTickets::Found;
  TlsTickets::Key first;
  TlsTickets::Key now;
  ASSERT_TRUE(tickets.newest(first));
  clock.now_us += ticket_key_life_us - 1;
  ASSERT_TRUE(tickets.newest(now));
  EXPECT_EQ(now.name, first.name);
  EXPECT_EQ(tickets.find(first.name.data(), now), Found::newest);
  clock.now_us += 1;
  EXPECT_EQ(tickets.find(first.name.data(), now), Found::older);
  EXPECT_EQ(now.cipher, first.cipher);
  ASSERT_TRUE(tickets.newest(now));
  EXPECT_NE(now.name, first.name);
  EXPECT_NE(now.cipher, first.cipher);
  EXPECT_NE(now.mac, first.mac);
  clock.now_us += ticket_key_life_us - 1;
  EXPECT_EQ(tickets.find(first.name.data(), now), Found::older);
  clock.now_us += 1;
  EXPECT_EQ(tickets.find(first.name.data(), now), Found::none);

  // Nobody came for long: what was newest is gone, too.
  ASSERT_TRUE(tickets.newest(first));
  clock.now_us += 2 * ticket_key_life_us;
  EXPECT_EQ(tickets.find(first.name.data(), now), Found::none);
}

}  // namespace
}  // namespace inlet::http
