// Goal: every place that may hold credentials is understood as AWS's tools understand it, tells
//   "not set up" from "broken", and never sends a token where it does not belong.
// Method: each source is walked through its steps by hand, with made-up variables, files and
//   answers.

#include "aws/credential_source.h"

#include <gtest/gtest.h>

#include "aws/surroundings_test.h"
#include "base/calendar.h"

namespace inlet::aws {
namespace {

using fetch::Request;
using fetch::Response;

const std::string endpoint_answer =
    R"({"Code":"Success","AccessKeyId":"AK","SecretAccessKey":"SK","Token":"TK",)"
    R"("Expiration":"2026-11-23T16:00:00Z"})";

class SourceTest : public testing::Test {
 protected:
  SourceTest() : server_clock_(clock_), context_{around_.get(), server_clock_, "", ""} {}

  std::string& operator[](const std::string& variable) { return around_.variables[variable]; }
  static Response ok(std::string body) { return {.status = 200, .body = std::move(body)}; }
  static std::string header(const Request& request, std::string_view name) {
    for (const auto& [key, value] : request.headers) {
      if (key == name) return value;
    }
    return "";
  }
  static std::string error_of(const SourceStep& step) {
    return std::holds_alternative<Error>(step) ? std::get<Error>(step).what : "no error";
  }
  static bool is_absent(const SourceStep& step) { return std::holds_alternative<Absent>(step); }
  static void expect_found(const SourceStep& step) {
    ASSERT_TRUE(std::holds_alternative<Credentials>(step)) << error_of(step);
    const auto& found = std::get<Credentials>(step);
    EXPECT_EQ(found.access_key, "AK");
    EXPECT_EQ(found.secret_key, "SK");
    EXPECT_EQ(found.session_token, "TK");
  }
  static Request request_of(const SourceStep& step) {
    EXPECT_TRUE(std::holds_alternative<Request>(step)) << error_of(step);
    return std::holds_alternative<Request>(step) ? std::get<Request>(step) : Request{};
  }

  SetClock clock_;
  SetSurroundings around_;
  ServerClock server_clock_;
  SourceContext context_;
};

TEST_F(SourceTest, environment) {
  const auto source = environment_source(context_);
  EXPECT_TRUE(is_absent(source->begin()));
  (*this)["AWS_ACCESS_KEY_ID"] = "AK";
  EXPECT_EQ(error_of(source->begin()), "AWS_SECRET_ACCESS_KEY is not set");
  (*this)["AWS_SECRET_ACCESS_KEY"] = "SK";
  (*this)["AWS_SESSION_TOKEN"] = "TK";
  expect_found(source->begin());
  EXPECT_EQ(std::get<Credentials>(source->begin()).expires_us, 0);
  (*this)["AWS_ACCESS_KEY_ID"] = "";
  EXPECT_EQ(error_of(source->begin()), "AWS_ACCESS_KEY_ID is not set");
}

TEST_F(SourceTest, profile) {
  const auto source = profile_source(context_);
  EXPECT_TRUE(is_absent(source->begin()));
  (*this)["AWS_SHARED_CREDENTIALS_FILE"] = around_.write(
      "c",
      "[default]\naws_access_key_id=AK\naws_secret_access_key=SK\naws_session_token=TK\n"
      "[half]\naws_access_key_id=AK\n[role]\nrole_arn=arn:aws:iam::1:role/"
      "x\nsource_profile=default\n"
      "[sso]\nsso_session=corp\n");
  expect_found(source->begin());
  (*this)["AWS_PROFILE"] = "half";
  EXPECT_NE(error_of(source->begin()).find("no keys of half"), std::string::npos);
  (*this)["AWS_PROFILE"] = "missing";
  EXPECT_NE(error_of(source->begin()).find("no profile missing in "), std::string::npos);
  (*this)["AWS_PROFILE"] = "role";
  EXPECT_EQ(error_of(source->begin()),
            "role_arn of profile role is not supported: give it keys, or use another source");
  (*this)["AWS_PROFILE"] = "sso";
  EXPECT_NE(error_of(source->begin()).find("sso_session"), std::string::npos);
}

TEST_F(SourceTest, web_identity_asks_sts_without_a_signature) {
  const auto source = web_identity_source(context_);
  EXPECT_TRUE(is_absent(source->begin()));
  (*this)["AWS_WEB_IDENTITY_TOKEN_FILE"] = around_.path("token");
  EXPECT_EQ(error_of(source->begin()), "AWS_ROLE_ARN is not set");
  (*this)["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/inlet";
  EXPECT_NE(error_of(source->begin()).find(around_.path("token")), std::string::npos);
  around_.write("token", "ey.J/+\n");
  (*this)["AWS_ROLE_SESSION_NAME"] = "node-1";
  Request request = request_of(source->begin());
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.url, "https://sts.us-east-1.amazonaws.com/");
  EXPECT_EQ(request.body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&"
            "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Finlet&RoleSessionName=node-1&"
            "WebIdentityToken=ey.J%2F%2B");
  EXPECT_EQ(header(request, "Authorization"), "");
  context_.region = "cn-north-1";
  EXPECT_EQ(request_of(source->begin()).url, "https://sts.cn-north-1.amazonaws.com.cn/");
  (*this)["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:1/";
  EXPECT_EQ(request_of(source->begin()).url, "http://127.0.0.1:1/");
}

TEST_F(SourceTest, web_identity_understands_what_sts_answers) {
  const auto source = web_identity_source(context_);
  const std::string answer =
      "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
      "<AccessKeyId>AK</AccessKeyId><SecretAccessKey>SK</SecretAccessKey><SessionToken>TK"
      "</SessionToken><Expiration>2026-11-23T11:00:00Z</Expiration></Credentials></x></y>";
  expect_found(source->resume(ok(answer)));
  EXPECT_EQ(std::get<Credentials>(source->resume(ok(answer))).expires_us,
            parse_rfc3339("2026-11-23T11:00:00Z"));
  EXPECT_EQ(error_of(source->resume(ok("<Credentials>"))), "the answer of STS has no credentials");
  EXPECT_EQ(error_of(source->resume(
                {.status = 403,
                 .body = "<E><Error><Code>AccessDenied</Code><Message>no</Message></Error></E>"})),
            "STS answered 403 AccessDenied: no");
  EXPECT_EQ(error_of(source->resume({.fault = fetch::Fault::connect, .why = "refused"})),
            "refused");
}

TEST_F(SourceTest, container_sends_its_token_only_where_it_belongs) {
  const auto source = container_source(context_);
  EXPECT_TRUE(is_absent(source->begin()));
  (*this)["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Basic abc";
  std::string& full = (*this)["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
  for (const char* right :
       {"http://127.0.0.1:51679/v1", "http://localhost/x", "http://[::1]:80/x",
        "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1", "https://any.host/x",
        "http://169.254.170.2/v2?a=b", "http://127.255.0.1"}) {
    full = right;
    const Request request = request_of(source->begin());
    EXPECT_EQ(request.url, right);
    EXPECT_EQ(header(request, "Authorization"), "Basic abc");
  }
  for (const char* wrong :
       {"http://any.host/x", "http://127.0.0.1@any.host/", "http://localhost.any.host/",
        "http://127.0.0.1.any.host/", "http://any.host/#@127.0.0.1", "http://any.host\\@127.0.0.1/",
        "http://127.0.0.1:x@any.host/", "http://[::1", "ftp://127.0.0.1/", "127.0.0.1",
        "http://169.254.169.254/", "http://127.any.host/"}) {
    full = wrong;
    EXPECT_EQ(error_of(source->begin()),
              "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this machine")
        << wrong;
  }
}

TEST_F(SourceTest, container_of_ecs_is_named_by_a_path_alone) {
  const auto source = container_source(context_);
  (*this)["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://any.host/";
  (*this)["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/1";
  const Request request = request_of(source->begin());
  EXPECT_EQ(request.url, "http://169.254.170.2/v2/credentials/1");
  EXPECT_EQ(header(request, "Authorization"), "");
  (*this)["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = ".any.host/";
  EXPECT_EQ(error_of(source->begin()),
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /");
}

TEST_F(SourceTest, container_reads_the_token_file_each_time) {
  const auto source = container_source(context_);
  (*this)["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/x";
  (*this)["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "old";
  (*this)["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = around_.write("token", "one\n");
  EXPECT_EQ(header(request_of(source->begin()), "Authorization"), "one");
  around_.write("token", "two");
  EXPECT_EQ(header(request_of(source->begin()), "Authorization"), "two");
  around_.write("token", "a\r\nX: y");
  EXPECT_EQ(error_of(source->begin()), "the authorization token cannot stand in a header");
}

TEST_F(SourceTest, what_endpoints_answer_is_checked) {
  expect_found(credentials_of(ok(endpoint_answer)));
  for (const char* wrong :
       {"", "{}", R"({"AccessKeyId":"AK","SecretAccessKey":"SK","Token":"TK"})",
        R"({"AccessKeyId":"A K","SecretAccessKey":"SK","Expiration":"2026-11-23T16:00:00Z"})",
        R"({"Code":"AssumeRoleUnauthorizedAccess","Expiration":"2026-11-23T16:00:00Z"})"}) {
    EXPECT_EQ(error_of(credentials_of(ok(wrong))), "its answer has no credentials") << wrong;
  }
  EXPECT_EQ(error_of(credentials_of({.status = 500})), "it answered 500");
}

TEST_F(SourceTest, instance_metadata_is_asked_in_its_second_version_only) {
  const auto source = metadata_source(context_);
  Request request = request_of(source->begin());
  EXPECT_EQ(request.method, "PUT");
  EXPECT_EQ(request.url, "http://169.254.169.254/latest/api/token");
  EXPECT_EQ(header(request, "X-aws-ec2-metadata-token-ttl-seconds"), "21600");
  request = request_of(source->resume(ok("tok==")));
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.url, "http://169.254.169.254/latest/meta-data/iam/security-credentials/");
  EXPECT_EQ(header(request, "X-aws-ec2-metadata-token"), "tok==");
  request = request_of(source->resume(ok("role-1\n")));
  EXPECT_EQ(request.url, "http://169.254.169.254/latest/meta-data/iam/security-credentials/role-1");
  EXPECT_EQ(header(request, "X-aws-ec2-metadata-token"), "tok==");
  request = request_of(source->resume(ok(endpoint_answer)));
  EXPECT_EQ(request.url, "http://169.254.169.254/latest/meta-data/placement/region");
  expect_found(source->resume(ok("eu-central-1")));
  EXPECT_EQ(context_.region, "eu-central-1");
  // The next look has a region, and asks nothing more.
  static_cast<void>(source->begin());
  static_cast<void>(source->resume(ok("tok==")));
  static_cast<void>(source->resume(ok("role-1")));
  expect_found(source->resume(ok(endpoint_answer)));
}

TEST_F(SourceTest, instance_metadata_may_be_elsewhere_or_switched_off) {
  const auto source = metadata_source(context_);
  (*this)["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"] = "IPv6";
  EXPECT_EQ(request_of(source->begin()).url, "http://[fd00:ec2::254]/latest/api/token");
  (*this)["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1338/";
  EXPECT_EQ(request_of(source->begin()).url, "http://127.0.0.1:1338/latest/api/token");
  (*this)["AWS_EC2_METADATA_DISABLED"] = "true";
  EXPECT_TRUE(is_absent(source->begin()));
}

TEST_F(SourceTest, instance_metadata_that_does_not_fit_is_no_source) {
  const auto source = metadata_source(context_);
  const auto token = [&] { static_cast<void>(source->begin()); };
  const auto role = [&] {
    token();
    static_cast<void>(source->resume(ok("tok")));
  };
  token();
  EXPECT_TRUE(is_absent(source->resume({.fault = fetch::Fault::connect, .why = "refused"})));
  token();
  EXPECT_TRUE(is_absent(source->resume(ok("a\r\nb"))));
  token();
  EXPECT_TRUE(is_absent(source->resume({.status = 403})));
  role();
  EXPECT_TRUE(is_absent(source->resume({.status = 404})));
  for (const char* wrong : {"", "<html>", "a/../b", "a?b"}) {
    role();
    EXPECT_TRUE(is_absent(source->resume(ok(wrong)))) << wrong;
  }
}

TEST_F(SourceTest, a_region_that_cannot_be_had_does_not_cost_the_credentials) {
  const auto source = metadata_source(context_);
  for (const Response& answer : {Response{.status = 404}, ok("not a region"),
                                 Response{.fault = fetch::Fault::interrupted}}) {
    static_cast<void>(source->begin());
    static_cast<void>(source->resume(ok("tok")));
    static_cast<void>(source->resume(ok("role")));
    static_cast<void>(source->resume(ok(endpoint_answer)));
    expect_found(source->resume(answer));
    EXPECT_EQ(context_.region, "");
  }
}

}  // namespace
}  // namespace inlet::aws
