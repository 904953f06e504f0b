#include "aws/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "aws/text.h"

namespace inlet::aws {
namespace {

constexpr std::size_t code_bytes_max = 128;
constexpr std::size_t message_bytes_max = 300;

constexpr std::array<std::string_view, 17> throttled_codes{"BandwidthLimitExceeded",
                                                           "KMSThrottlingException",
                                                           "LimitExceededException",
                                                           "PriorRequestNotComplete",
                                                           "ProvisionedThroughputExceeded",
                                                           "ProvisionedThroughputExceededException",
                                                           "RequestLimitExceeded",
                                                           "RequestThrottled",
                                                           "RequestThrottledException",
                                                           "ServiceUnavailable",
                                                           "ServiceUnavailableException",
                                                           "SlowDown",
                                                           "Throttling",
                                                           "ThrottlingException",
                                                           "ThrottledException",
                                                           "TooManyRequests",
                                                           "TooManyRequestsException"};
// BadDigest: the body was damaged on its way.
constexpr std::array<std::string_view, 12> transient_codes{"BadDigest",
                                                           "ConditionalRequestConflict",
                                                           "IncompleteBody",
                                                           "InternalError",
                                                           "InternalFailure",
                                                           "InternalFailureException",
                                                           "OperationAborted",
                                                           "RequestTimeout",
                                                           "RequestTimeoutException",
                                                           "TransactionInProgressException",
                                                           "XAmzContentChecksumMismatch",
                                                           "XAmzContentSHA256Mismatch"};
constexpr std::array<std::string_view, 4> clock_codes{"RequestExpired", "RequestInTheFuture",
                                                      "RequestTimeTooSkewed",
                                                      "RequestTimeTooSkewedException"};
constexpr std::array<std::string_view, 2> signature_codes{"InvalidSignatureException",
                                                          "SignatureDoesNotMatch"};
constexpr std::array<std::string_view, 8> credential_codes{
    "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId",
    "InvalidToken", "TokenRefreshRequired",  "UnrecognizedClient", "UnrecognizedClientException"};

template <std::size_t N>
bool is_one_of(std::string_view code, const std::array<std::string_view, N>& codes) {
  return std::ranges::find(codes, code) != codes.end();
}

// The first line, cut, printable. What follows in some answers is the request as it was signed,
// with the session token.
std::string one_line(std::string_view text, std::size_t bytes_max) {
  text = trim(text);
  text = text.substr(0, std::min(text.find_first_of("\r\n"), bytes_max));
  std::string line(text);
  std::ranges::replace_if(line, [](char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

// "aws.kinesis#SlowDown:http://internal/" to "SlowDown".
std::string_view bare_code(std::string_view code) {
  code = code.substr(0, code.find(':'));
  const std::size_t hash = code.rfind('#');
  return hash == std::string_view::npos ? code : code.substr(hash + 1);
}

}  // namespace

ServiceError parse_error(const fetch::Response& response) {
  const std::string_view body = trim(response.body);
  std::string code(response.header("x-amzn-errortype"));
  std::string message;
  if (body.starts_with('<')) {
    if (code.empty()) code = xml_element(body, "Code");
    message = xml_element(body, "Message");
  } else if (body.starts_with('{')) {
    if (code.empty()) code = json_string(body, "__type");
    if (code.empty()) code = json_string(body, "code");
    message = json_string(body, "message");
    if (message.empty()) message = json_string(body, "Message");
  }
  const std::string_view region = response.header("x-amz-bucket-region");
  message = one_line(message, message_bytes_max);
  if (response.status >= 300 && response.status < 500 && !region.empty()) {
    message += fmt::format("{}The bucket is in {}.", message.empty() ? "" : " ",
                           one_line(region, code_bytes_max));
  }
  return {one_line(bare_code(code), code_bytes_max), message};
}

Verdict judge(int status, std::string_view code) {
  if (status >= 200 && status < 300) return Verdict::done;
  if (status == 413 || code == "EntityTooLarge") return Verdict::too_large;
  if (is_one_of(code, throttled_codes)) return Verdict::throttled;
  if (is_one_of(code, transient_codes)) return Verdict::transient;
  if (blames_clock(code) || blames_credentials(code)) return Verdict::transient;
  // 509 is what servers that speak S3 answer for "bandwidth limit exceeded".
  if (status == 429 || status == 503 || status == 509) return Verdict::throttled;
  if (status == 408 || status >= 500 || status < 200) return Verdict::transient;
  return Verdict::refused;
}

bool may_blame_clock(std::string_view code) {
  return blames_clock(code) || is_one_of(code, signature_codes);
}

bool blames_clock(std::string_view code) { return is_one_of(code, clock_codes); }

bool blames_credentials(std::string_view code) { return is_one_of(code, credential_codes); }

}  // namespace inlet::aws
