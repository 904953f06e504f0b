// Goal: every answer leads to the right decision, and what is said of it is short and harmless.
// Method: the table of codes and statuses, and errors as the services write them.

#include "aws/verdict.h"

#include <gtest/gtest.h>

namespace inlet::aws {
namespace {

fetch::Response answer(int status, std::string body, fetch::Headers headers = {}) {
  return {.status = status, .headers = std::move(headers), .body = std::move(body)};
}

TEST(verdict, status_and_code_decide) {
  struct Case {
    int status;
    std::string_view code;
    Verdict verdict;
  };
  for (const auto& [status, code, verdict] : std::initializer_list<Case>{
           {200, "", Verdict::done},
           {204, "", Verdict::done},
           {503, "SlowDown", Verdict::throttled},
           {503, "", Verdict::throttled},
           {429, "", Verdict::throttled},
           {400, "ProvisionedThroughputExceededException", Verdict::throttled},
           {400, "ThrottlingException", Verdict::throttled},
           {500, "", Verdict::transient},
           {500, "InternalError", Verdict::transient},
           {502, "", Verdict::transient},
           {408, "", Verdict::transient},
           {400, "RequestTimeout", Verdict::transient},
           {400, "BadDigest", Verdict::transient},
           {403, "RequestTimeTooSkewed", Verdict::transient},
           {400, "ExpiredTokenException", Verdict::transient},
           {403, "InvalidAccessKeyId", Verdict::transient},
           {413, "", Verdict::too_large},
           {400, "EntityTooLarge", Verdict::too_large},
           {403, "AccessDenied", Verdict::refused},
           {403, "SignatureDoesNotMatch", Verdict::refused},
           {404, "NoSuchBucket", Verdict::refused},
           {400, "ValidationException", Verdict::refused},
           {301, "PermanentRedirect", Verdict::refused}}) {
    EXPECT_EQ(judge(status, code), verdict) << status << " " << code;
  }
}

TEST(verdict, errors_of_s3_are_read) {
  const ServiceError error = parse_error(answer(
      404,
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchBucket</Code>"
      "<Message>The specified bucket does not exist</Message><Resource>/x</Resource></Error>"));
  EXPECT_EQ(error.code, "NoSuchBucket");
  EXPECT_EQ(error.message, "The specified bucket does not exist");
}

TEST(verdict, errors_of_the_json_services_are_read) {
  ServiceError error = parse_error(answer(
      400, R"({"__type":"com.amazonaws.kinesis#ResourceNotFoundException","message":"no"})"));
  EXPECT_EQ(error.code, "ResourceNotFoundException");
  EXPECT_EQ(error.message, "no");
  error = parse_error(answer(400, R"({"Message":"Rate exceeded"})",
                             {{"x-amzn-errortype", "ThrottlingException:http://internal/"}}));
  EXPECT_EQ(error.code, "ThrottlingException");
  EXPECT_EQ(error.message, "Rate exceeded");
}

TEST(verdict, what_is_not_an_error_document_gives_an_empty_code) {
  for (const char* body : {"", "plain", "<html><body>502</body></html>", "{", "[1]", "<Code>x"}) {
    EXPECT_EQ(parse_error(answer(502, body)).code, "") << body;
  }
}

TEST(verdict, messages_are_one_short_printable_line) {
  // A service shows the request as it was signed behind the first line, session token and all.
  const ServiceError error = parse_error(
      answer(403, R"({"__type":"InvalidSignatureException","message":"The request signature we )"
                  R"(calculated does not match.\n\nThe Canonical String was\nx-amz-security-)"
                  R"(token:hidden"})"));
  EXPECT_EQ(error.message, "The request signature we calculated does not match.");
  const ServiceError odd = parse_error(answer(
      403, "<Error><Code>A\x01</Code><Message>" + std::string(1000, 'x') + "</Message></Error>"));
  EXPECT_EQ(odd.code, "A?");
  EXPECT_EQ(odd.message.size(), 300U);
}

TEST(verdict, a_bucket_elsewhere_is_named) {
  const ServiceError error = parse_error(answer(301, "", {{"x-amz-bucket-region", "eu-west-1"}}));
  EXPECT_EQ(error.message, "The bucket is in eu-west-1.");
}

TEST(verdict, who_is_to_blame) {
  EXPECT_TRUE(blames_clock("RequestTimeTooSkewed") && blames_clock("RequestExpired"));
  EXPECT_FALSE(blames_clock("SignatureDoesNotMatch"));
  EXPECT_TRUE(may_blame_clock("SignatureDoesNotMatch"));
  EXPECT_TRUE(may_blame_clock("InvalidSignatureException"));
  EXPECT_FALSE(may_blame_clock("AccessDenied"));
  EXPECT_TRUE(blames_credentials("ExpiredToken") && blames_credentials("InvalidClientTokenId"));
  EXPECT_FALSE(blames_credentials("AccessDenied"));
}

}  // namespace
}  // namespace inlet::aws
