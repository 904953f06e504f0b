// The web identity of a pod (IAM roles for service accounts): a token in a file, renewed by the
// platform, is given to STS for credentials. The request is not signed: the token is the proof.

#include <fmt/format.h>

#include "aws/credential_source.h"
#include "aws/text.h"
#include "aws/verdict.h"
#include "base/calendar.h"

namespace inlet::aws {
namespace {

constexpr Microseconds timeout_us = 10'000'000;

class WebIdentitySource final : public CredentialSource {
 public:
  explicit WebIdentitySource(SourceContext& context) : context_(context) {}

  std::string_view name() const override { return "web identity"; }

  SourceStep begin() override {
    const auto& variable = context_.surroundings.variable;
    const std::string file = variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    const std::string role = variable("AWS_ROLE_ARN");
    if (file.empty()) return Absent{"AWS_WEB_IDENTITY_TOKEN_FILE is not set"};
    if (role.empty()) return Error{ErrorKind::retry, "AWS_ROLE_ARN is not set"};
    const auto token = context_.surroundings.read(file);
    if (!token) return token.error();
    std::string session = variable("AWS_ROLE_SESSION_NAME");
    if (session.empty()) session = fmt::format("inlet-{}", context_.clock.wall_us());
    fetch::Request request;
    request.method = "POST";
    request.url = url() + "/";
    request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
    request.body = fmt::format(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}"
        "&WebIdentityToken={}",
        percent_encode(role), percent_encode(session), percent_encode(trim(*token)));
    request.timeout_us = timeout_us;
    return request;
  }

  SourceStep resume(const fetch::Response& response) override {
    if (response.fault != fetch::Fault::none) return Error{ErrorKind::retry, response.why};
    if (response.status != 200) {
      const ServiceError said = parse_error(response);
      return Error{ErrorKind::retry,
                   fmt::format("STS answered {} {}: {}", response.status, said.code, said.message)};
    }
    Credentials found{xml_element(response.body, "AccessKeyId"),
                      xml_element(response.body, "SecretAccessKey"),
                      xml_element(response.body, "SessionToken")};
    const auto expires = parse_rfc3339(xml_element(response.body, "Expiration"));
    found.expires_us = expires.value_or(0);
    if (!is_token(found.access_key) || !is_token(found.secret_key) ||
        !is_token(found.session_token) || !expires) {
      return Error{ErrorKind::retry, "the answer of STS has no credentials"};
    }
    return found;
  }

 private:
  // Without a region the global endpoint, which is in us-east-1.
  std::string url() const {
    return service_url(context_.surroundings.variable, "sts",
                       context_.region.empty() ? "us-east-1" : context_.region);
  }

  SourceContext& context_;
};

}  // namespace

std::unique_ptr<CredentialSource> web_identity_source(SourceContext& context) {
  return std::make_unique<WebIdentitySource>(context);
}

}  // namespace inlet::aws
