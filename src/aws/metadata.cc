// The metadata service of an EC2 instance, version 2: a session token, the role's name, its
// credentials, and the region if nothing else has said it.
//
// Rules: "Use the Instance Metadata Service to access instance metadata", Amazon EC2 User Guide.
// Version 1, which answers without a token, is never asked.

#include <fmt/format.h>

#include <algorithm>

#include "aws/credential_source.h"
#include "aws/text.h"

namespace inlet::aws {
namespace {

constexpr std::string_view standard_url = "http://169.254.169.254";
constexpr std::string_view standard_url_ipv6 = "http://[fd00:ec2::254]";
constexpr std::string_view roles_path = "/latest/meta-data/iam/security-credentials/";
constexpr std::string_view token_life_s = "21600";
// Elsewhere nobody answers at that address, and calls wait for the outcome.
constexpr Microseconds connect_timeout_us = 1'000'000;
constexpr Microseconds timeout_us = 2'000'000;
constexpr std::size_t role_bytes_max = 128;

// As IAM allows them: letters, digits and "+=,.@_-".
bool is_role(std::string_view name) {
  return !name.empty() && name.size() <= role_bytes_max && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+=,.@_-").find(c) != std::string_view::npos;
  });
}

class MetadataSource final : public CredentialSource {
 public:
  explicit MetadataSource(SourceContext& context) : context_(context) {}

  std::string_view name() const override { return "instance metadata"; }

  SourceStep begin() override {
    const auto& variable = context_.surroundings.variable;
    const std::string disabled = variable("AWS_EC2_METADATA_DISABLED");
    if (disabled == "true" || disabled == "TRUE" || disabled == "True" || disabled == "1") {
      return Absent{"AWS_EC2_METADATA_DISABLED is set"};
    }
    url_ = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    while (url_.ends_with('/')) url_.pop_back();
    if (url_.empty()) {
      const std::string mode = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
      url_ = mode == "IPv6" || mode == "ipv6" ? standard_url_ipv6 : standard_url;
    }
    stage_ = Stage::token;
    fetch::Request request = ask("/latest/api/token");
    request.method = "PUT";
    request.headers = {{"X-aws-ec2-metadata-token-ttl-seconds", std::string(token_life_s)}};
    return request;
  }

  SourceStep resume(const fetch::Response& response) override {
    if (stage_ == Stage::credentials) return take_credentials(response);
    if (stage_ == Stage::region) return take_region(response);
    if (response.fault != fetch::Fault::none) return Absent{response.why};
    if (response.status != 200) {
      return Absent{stage_ == Stage::role && response.status == 404
                        ? "the instance has no role"
                        : fmt::format("it answered {}", response.status)};
    }
    const std::string_view said = trim(response.body);
    return stage_ == Stage::token ? take_token(said) : take_role(said);
  }

 private:
  enum class Stage : unsigned char { token, role, credentials, region };

  fetch::Request ask(std::string_view path) const {
    fetch::Request request;
    request.url = fmt::format("{}{}", url_, path);
    request.headers = {{"X-aws-ec2-metadata-token", token_}};
    request.direct = true;  // It is this machine's own, and no proxy's business.
    request.connect_timeout_us = connect_timeout_us;
    request.timeout_us = timeout_us;
    return request;
  }

  SourceStep take_token(std::string_view said) {
    if (!is_token(said)) return Absent{"its answer is not a token"};
    token_ = said;
    stage_ = Stage::role;
    return ask(roles_path);
  }

  SourceStep take_role(std::string_view said) {
    const std::string_view role = trim(said.substr(0, said.find('\n')));
    if (!is_role(role)) return Absent{"its answer is not the name of a role"};
    stage_ = Stage::credentials;
    return ask(std::string(roles_path) + std::string(role));
  }

  SourceStep take_credentials(const fetch::Response& response) {
    SourceStep step = credentials_of(response);
    if (!std::holds_alternative<Credentials>(step) || !context_.region.empty()) return step;
    found_ = std::get<Credentials>(std::move(step));
    stage_ = Stage::region;
    return ask("/latest/meta-data/placement/region");
  }

  SourceStep take_region(const fetch::Response& response) {
    const std::string_view said = trim(response.body);
    if (response.status == 200 && is_token(said) && said.size() <= role_bytes_max) {
      context_.region = said;
    }
    return found_;
  }

  SourceContext& context_;
  std::string url_;
  std::string token_;
  Credentials found_;
  Stage stage_ = Stage::token;
};

}  // namespace

std::unique_ptr<CredentialSource> metadata_source(SourceContext& context) {
  return std::make_unique<MetadataSource>(context);
}

}  // namespace inlet::aws
