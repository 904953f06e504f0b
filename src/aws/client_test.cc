// Goal: calls are signed with credentials that are valid, answers teach the client what they can,
//   and every call is answered.
// Method: a scripted server plays the service and the instance metadata; requests are looked at as
//   they arrived.

#include "aws/client.h"

#include <gtest/gtest.h>

#include "aws/credentials.h"
#include "aws/scripted_server_test.h"
#include "aws/surroundings_test.h"

namespace inlet::aws {
namespace {

constexpr Microseconds patience_us = 20'000'000;
const std::string secret = "the-secret-key";
const std::string token = "the-session-token";

// Real time for durations, and a date that tests set.
class OffClock final : public Clock {
 public:
  Microseconds wall_us() override { return system_.wall_us() + off_us; }
  Microseconds steady_us() override { return system_.steady_us(); }
  void sleep(Microseconds duration) override { system_.sleep(duration); }
  Microseconds off_us = 0;

 private:
  SystemClock system_;
};

class AwsClientTest : public testing::Test {
 protected:
  AwsClientTest() {
    around_.variables["AWS_EC2_METADATA_DISABLED"] = "true";
    around_.variables["AWS_REGION"] = "eu-north-1";
  }
  void give_keys() {
    around_.variables["AWS_ACCESS_KEY_ID"] = "AKIDENV";
    around_.variables["AWS_SECRET_ACCESS_KEY"] = secret;
    around_.variables["AWS_SESSION_TOKEN"] = token;
  }
  // Credentials of an instance come from the scripted server.
  void be_an_instance() {
    around_.variables.erase("AWS_EC2_METADATA_DISABLED");
    around_.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server_.url();
  }
  ClientOptions options() {
    ClientOptions options;
    options.variable = around_.variable();
    options.files = &around_.files;
    return options;
  }
  Client& client() {
    if (!client_) {
      client_.emplace(clock_, options());
    }
    return *client_;
  }
  Reply ask(Microseconds timeout_us = patience_us) {
    const std::uint64_t id = client().start({.service = "kinesis",
                                             .url = server_.url() + "/service",
                                             .body = "{}",
                                             .timeout_us = timeout_us});
    const auto reply = client().finish(patience_us);
    EXPECT_TRUE(reply);
    if (!reply) return {};
    EXPECT_EQ(reply->id, id);
    EXPECT_EQ(reply->why.find(secret), std::string::npos);
    EXPECT_EQ(reply->why.find(token), std::string::npos);
    return *reply;
  }
  // Requests to the service, not to where credentials come from.
  std::vector<Asked> calls() {
    auto all = server_.asked();
    std::erase_if(all, [](const Asked& one) { return one.target != "/service"; });
    return all;
  }
  Scripted metadata(const Asked& asked) {
    if (asked.method == "PUT") return {.body = "token"};
    if (asked.target.ends_with("/security-credentials/")) return {.body = "role"};
    if (asked.target.ends_with("/region")) return {.body = "ap-south-1"};
    looks_++;
    return {.body = R"({"AccessKeyId":"AKIDROLE)" + std::to_string(looks_) +
                    R"(","SecretAccessKey":")" + secret + R"(","Token":")" + token +
                    R"(","Expiration":"2099-01-01T00:00:00Z"})"};
  }

  SetSurroundings around_;
  OffClock clock_;
  std::function<Scripted(const Asked&)> service_ = [](const Asked&) { return Scripted{}; };
  int looks_ = 0;
  ScriptedServer server_{[this](const Asked& asked) {
    return asked.target == "/service" ? service_(asked) : metadata(asked);
  }};
  std::optional<Client> client_;
};

TEST_F(AwsClientTest, calls_are_signed_and_answered) {
  give_keys();
  service_ = [](const Asked&) { return Scripted{.body = "{\"x\":1}", .headers = {{"X-A", "b"}}}; };
  const Reply reply = ask();
  EXPECT_EQ(reply.verdict, Verdict::done);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{\"x\":1}");
  EXPECT_EQ(reply.why, "");
  const auto sent = calls();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].method, "POST");
  EXPECT_EQ(sent[0].body, "{}");
  EXPECT_EQ(sent[0].headers.at("x-amz-security-token"), token);
  const std::string& authorization = sent[0].headers.at("authorization");
  EXPECT_TRUE(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDENV/")) << authorization;
  EXPECT_NE(authorization.find("/eu-north-1/kinesis/aws4_request"), std::string::npos);
}

TEST_F(AwsClientTest, without_credentials_nothing_is_sent_and_every_place_is_named) {
  const Reply reply = ask();
  EXPECT_EQ(reply.verdict, Verdict::transient);
  EXPECT_EQ(reply.status, 0);
  for (const char* place : {"environment: AWS_ACCESS_KEY_ID",
                            "web identity: ", "profile: ", "container: ", "instance metadata: "}) {
    EXPECT_NE(reply.why.find(place), std::string::npos) << reply.why;
  }
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(AwsClientTest, without_a_region_nothing_is_sent) {
  give_keys();
  around_.variables.erase("AWS_REGION");
  const Reply reply = ask();
  EXPECT_EQ(reply.verdict, Verdict::transient);
  EXPECT_EQ(reply.why, "no AWS region: it is not configured, and AWS_REGION is not set");
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(AwsClientTest, calls_wait_for_the_instance_metadata_which_also_says_the_region) {
  around_.variables.erase("AWS_REGION");
  be_an_instance();
  EXPECT_EQ(client().region(), "");
  EXPECT_EQ(ask().verdict, Verdict::done);
  EXPECT_EQ(client().region(), "ap-south-1");
  ASSERT_EQ(calls().size(), 1U);
  EXPECT_NE(calls()[0].headers.at("authorization").find("AKIDROLE1/"), std::string::npos);
  EXPECT_EQ(ask().verdict, Verdict::done);
  EXPECT_EQ(looks_, 1);
}

TEST_F(AwsClientTest, where_nothing_names_a_region_the_last_resort_does) {
  around_.variables.erase("AWS_REGION");
  ClientOptions with = options();
  with.region_else = "us-east-1";
  EXPECT_EQ(Client(clock_, with).region(), "us-east-1");
  around_.variables["AWS_CONFIG_FILE"] = around_.write("config", "[default]\nregion=of-profile\n");
  EXPECT_EQ(client().region(), "of-profile");
}

TEST_F(AwsClientTest, an_unknown_region_in_a_url_is_filled_in) {
  around_.variables.erase("AWS_REGION");
  be_an_instance();
  const std::string url = endpoint_url("", "s3", "", around_.variable());
  EXPECT_EQ(url, "https://s3.{region}");
  // Its port is closed, so the message names where it went.
  static_cast<void>(client().start({.service = "s3", .url = "http://127.0.0.1:1/{region}/"}));
  const auto reply = client().finish(patience_us);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->verdict, Verdict::transient);
  EXPECT_EQ(reply->status, 0);
  EXPECT_NE(reply->why.find("127.0.0.1"), std::string::npos) << reply->why;
}

TEST_F(AwsClientTest, a_refused_token_has_credentials_looked_for_again) {
  be_an_instance();
  service_ = [](const Asked& asked) {
    const bool old = asked.headers.at("authorization").find("AKIDROLE1/") != std::string::npos;
    return old ? Scripted{.status = 400, .body = R"({"__type":"ExpiredTokenException"})"}
               : Scripted{};
  };
  const Reply refused = ask();
  EXPECT_EQ(refused.verdict, Verdict::transient);
  EXPECT_EQ(refused.code, "ExpiredTokenException");
  Reply reply = ask();
  while (reply.verdict != Verdict::done) {  // A new look follows the last after a pause.
    EXPECT_NE(reply.why.find("refused (ExpiredTokenException)"), std::string::npos) << reply.why;
    clock_.sleep(50'000);
    reply = ask();
  }
  EXPECT_EQ(looks_, 2);
}

TEST_F(AwsClientTest, a_wrong_clock_is_corrected_by_the_answer_that_blames_it) {
  give_keys();
  clock_.off_us = -3600LL * 1'000'000;
  service_ = [](const Asked& asked) {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    char date[40];
    char day_and_hour[20];
    std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    std::strftime(day_and_hour, sizeof day_and_hour, "%Y%m%dT%H", &utc);
    const bool skewed = !asked.headers.at("x-amz-date").starts_with(day_and_hour);
    return skewed ? Scripted{.status = 403,
                             .body = "<Error><Code>SignatureDoesNotMatch</Code></Error>",
                             .headers = {{"Date", date}}}
                  : Scripted{};
  };
  EXPECT_EQ(ask().verdict, Verdict::transient);
  EXPECT_EQ(ask().verdict, Verdict::done);
}

TEST_F(AwsClientTest, a_wrong_signature_at_the_right_time_is_refused) {
  give_keys();
  service_ = [](const Asked&) {
    return Scripted{
        .status = 403,
        .body = "<Error><Code>SignatureDoesNotMatch</Code><Message>No</Message></Error>"};
  };
  const Reply reply = ask();
  EXPECT_EQ(reply.verdict, Verdict::refused);
  EXPECT_EQ(reply.why, "kinesis answered 403 SignatureDoesNotMatch: No");
}

TEST_F(AwsClientTest, throttling_says_how_long) {
  give_keys();
  service_ = [](const Asked&) {
    return Scripted{.status = 503, .headers = {{"Retry-After", "7"}}};
  };
  const Reply reply = ask();
  EXPECT_EQ(reply.verdict, Verdict::throttled);
  EXPECT_EQ(reply.retry_after_us, 7'000'000);
}

TEST_F(AwsClientTest, a_connection_that_ends_is_transient) {
  give_keys();
  service_ = [](const Asked&) { return Scripted{.hang_up = true}; };
  const Reply reply = ask();
  EXPECT_EQ(reply.verdict, Verdict::transient);
  EXPECT_EQ(reply.status, 0);
  EXPECT_FALSE(reply.why.empty());
}

TEST_F(AwsClientTest, many_calls_come_back_each_with_its_own_answer) {
  give_keys();
  service_ = [](const Asked& asked) { return Scripted{.body = asked.body}; };
  std::map<std::uint64_t, std::string> expected;
  for (int i = 0; i < 50; i++) {
    const std::string body = std::to_string(i);
    expected[client().start({.service = "x", .url = server_.url() + "/service", .body = body})] =
        body;
  }
  while (!expected.empty()) {
    const auto reply = client().finish(patience_us);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->body, expected.at(reply->id));
    expected.erase(reply->id);
  }
  EXPECT_FALSE(client().finish(0));
}

TEST_F(AwsClientTest, a_cancelled_call_is_not_answered) {
  give_keys();
  const std::uint64_t gone =
      client().start({.service = "x", .url = server_.url() + "/service", .body = "gone"});
  client().cancel(gone);
  const Reply reply = ask();
  EXPECT_NE(reply.id, gone);
  EXPECT_FALSE(client().finish(0));
}

TEST_F(AwsClientTest, a_call_that_waits_for_credentials_ends_in_its_time) {
  be_an_instance();
  // Accepted by the kernel, never by the program: nobody answers.
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 8), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  around_.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] =
      "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  const Reply reply = ask(200'000);
  EXPECT_EQ(reply.verdict, Verdict::transient);
  EXPECT_EQ(reply.why, "no AWS credentials in time: a source of them has not answered");
  ::close(listener);
}

TEST(endpoint_url, the_option_then_the_variables_then_the_region) {
  std::map<std::string, std::string> set;
  const Variables variable = [&](const std::string& name) { return set[name]; };
  EXPECT_EQ(endpoint_url("", "kinesis", "eu-west-1", variable),
            "https://kinesis.eu-west-1.amazonaws.com");
  EXPECT_EQ(endpoint_url("", "s3", "cn-north-1", variable),
            "https://s3.cn-north-1.amazonaws.com.cn");
  set["AWS_ENDPOINT_URL"] = "http://all/";
  EXPECT_EQ(endpoint_url("", "s3", "eu-west-1", variable), "http://all");
  set["AWS_ENDPOINT_URL_S3"] = "http://s3";
  EXPECT_EQ(endpoint_url("", "s3", "eu-west-1", variable), "http://s3");
  EXPECT_EQ(endpoint_url("", "kinesis", "eu-west-1", variable), "http://all");
  EXPECT_EQ(endpoint_url("http://own:9000//", "s3", "eu-west-1", variable), "http://own:9000");
}

}  // namespace
}  // namespace inlet::aws
