#include "aws/credential_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "aws/profile.h"
#include "aws/text.h"
#include "base/calendar.h"
#include "base/check.h"

namespace inlet::aws {
namespace {

class EnvironmentSource final : public CredentialSource {
 public:
  explicit EnvironmentSource(SourceContext& context) : context_(context) {}

  std::string_view name() const override { return "environment"; }

  SourceStep begin() override {
    const auto& variable = context_.surroundings.variable;
    Credentials found{variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"),
                      variable("AWS_SESSION_TOKEN")};
    if (found.access_key.empty() && found.secret_key.empty()) {
      return Absent{"AWS_ACCESS_KEY_ID is not set"};
    }
    if (found.secret_key.empty()) {
      return Error{ErrorKind::retry, "AWS_SECRET_ACCESS_KEY is not set"};
    }
    if (found.access_key.empty()) return Error{ErrorKind::retry, "AWS_ACCESS_KEY_ID is not set"};
    return found;
  }

 private:
  SourceContext& context_;
};

class ProfileSource final : public CredentialSource {
 public:
  explicit ProfileSource(SourceContext& context) : context_(context) {}

  std::string_view name() const override { return "profile"; }

  SourceStep begin() override {
    const Profile profile = read_profile(context_.surroundings, context_.profile);
    const bool asked_for =
        !context_.profile.empty() || !context_.surroundings.variable("AWS_PROFILE").empty();
    // What would need another program, a browser or a second account.
    for (const std::string_view key : {"role_arn", "credential_process", "sso_session",
                                       "sso_start_url", "web_identity_token_file"}) {
      if (profile.value(key).empty()) continue;
      return Error{ErrorKind::retry,
                   fmt::format("{} of profile {} is not supported: give it keys, or use another "
                               "source",
                               key, profile.name)};
    }
    Credentials found{profile.value("aws_access_key_id"), profile.value("aws_secret_access_key"),
                      profile.value("aws_session_token")};
    if (!found.access_key.empty() && !found.secret_key.empty()) return found;
    std::string why = fmt::format("{} {} in {}", profile.found ? "no keys of" : "no profile",
                                  profile.name, profile.places);
    const bool half = found.access_key.empty() != found.secret_key.empty();
    if (asked_for || half) return Error{ErrorKind::retry, std::move(why)};
    return Absent{std::move(why)};
  }

 private:
  SourceContext& context_;
};

}  // namespace

SourceStep CredentialSource::resume(const fetch::Response&) {
  CHECK(false);  // It never asked for a request.
  return Absent{};
}

std::unique_ptr<CredentialSource> environment_source(SourceContext& context) {
  return std::make_unique<EnvironmentSource>(context);
}

std::unique_ptr<CredentialSource> profile_source(SourceContext& context) {
  return std::make_unique<ProfileSource>(context);
}

std::vector<std::unique_ptr<CredentialSource>> credential_sources(SourceContext& context) {
  std::vector<std::unique_ptr<CredentialSource>> sources;
  sources.push_back(environment_source(context));
  sources.push_back(web_identity_source(context));
  sources.push_back(profile_source(context));
  sources.push_back(container_source(context));
  sources.push_back(metadata_source(context));
  return sources;
}

SourceStep credentials_of(const fetch::Response& response) {
  if (response.fault != fetch::Fault::none) return Error{ErrorKind::retry, response.why};
  if (response.status != 200) {
    return Error{ErrorKind::retry, fmt::format("it answered {}", response.status)};
  }
  Credentials found{json_string(response.body, "AccessKeyId"),
                    json_string(response.body, "SecretAccessKey"),
                    json_string(response.body, "Token")};
  const auto expires = parse_rfc3339(json_string(response.body, "Expiration"));
  found.expires_us = expires.value_or(0);
  if (!is_token(found.access_key) || !is_token(found.secret_key) || !expires) {
    return Error{ErrorKind::retry, "its answer has no credentials"};
  }
  if (!found.session_token.empty() && !is_token(found.session_token)) {
    return Error{ErrorKind::retry, "its answer has a token that cannot be sent"};
  }
  return found;
}

std::string region_domain(std::string_view region) {
  if (region.empty()) return std::string(unknown_region);
  return fmt::format("{}.amazonaws.com{}", region, region.starts_with("cn-") ? ".cn" : "");
}

std::string service_url(const Variables& variable, std::string_view service,
                        std::string_view region) {
  std::string upper(service);
  std::ranges::transform(upper, upper.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
  });
  std::string url = variable("AWS_ENDPOINT_URL_" + upper);
  if (url.empty()) url = variable("AWS_ENDPOINT_URL");
  if (url.empty()) url = fmt::format("https://{}.{}", service, region_domain(region));
  while (url.ends_with('/')) url.pop_back();
  return url;
}

}  // namespace inlet::aws
