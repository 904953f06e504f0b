// The credentials endpoint of a container (ECS tasks, EKS pod identity).
//
// Rules: "Container credential provider", AWS SDKs and Tools Reference Guide. The token is sent in
// the clear only to this machine and to the platforms' own addresses.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "aws/credential_source.h"
#include "aws/text.h"

namespace inlet::aws {
namespace {

constexpr std::string_view ecs_url = "http://169.254.170.2";
constexpr Microseconds connect_timeout_us = 2'000'000;
constexpr Microseconds timeout_us = 5'000'000;

bool is_loopback_v4(std::string_view host) {
  return host.starts_with("127.") &&
         std::ranges::all_of(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

// Whether credentials may come from there without TLS.
bool is_near(std::string_view url) {
  constexpr std::string_view scheme = "http://";
  constexpr std::array<std::string_view, 5> hosts{"localhost", "[::1]", "169.254.170.2",
                                                  "169.254.170.23", "[fd00:ec2::23]"};
  std::string_view authority = url.substr(scheme.size());
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find_first_of("@\\") != std::string_view::npos) return false;
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == std::string_view::npos) return false;
  const std::string_view host = authority.substr(0, authority.find(':', bracket));
  return is_loopback_v4(host) || std::ranges::find(hosts, host) != hosts.end();
}

class ContainerSource final : public CredentialSource {
 public:
  explicit ContainerSource(SourceContext& context) : context_(context) {}

  std::string_view name() const override { return "container"; }

  SourceStep begin() override {
    const auto& variable = context_.surroundings.variable;
    const std::string relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const std::string full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative.empty() && full.empty()) {
      return Absent{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set"};
    }
    fetch::Request request;
    request.url = relative.empty() ? full : std::string(ecs_url) + relative;
    const bool right = relative.empty() ? full.starts_with("https://") ||
                                              (full.starts_with("http://") && is_near(full))
                                        : relative.starts_with('/');
    if (!right) {
      return Error{ErrorKind::retry,
                   relative.empty()
                       ? "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this machine"
                       : "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /"};
    }
    if (const Status added = add_token(request); !added) return added.error();
    request.direct = request.url.starts_with("http://");  // Then it is near: no proxy's business.
    request.connect_timeout_us = connect_timeout_us;
    request.timeout_us = timeout_us;
    return request;
  }

  SourceStep resume(const fetch::Response& response) override { return credentials_of(response); }

 private:
  // The file is read each time: the platform renews it.
  Status add_token(fetch::Request& request) const {
    const auto& variable = context_.surroundings.variable;
    std::string token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (const std::string file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        !file.empty()) {
      const auto text = context_.surroundings.read(file);
      if (!text) return fail(text);
      token = trim(*text);
    }
    if (token.empty()) return {};
    // It may be "Basic x" or "Bearer x": one space is no harm, a line break is.
    const bool fits = token.size() <= token_bytes_max &&
                      std::ranges::all_of(token, [](char c) { return c >= ' ' && c < 0x7F; });
    if (!fits) return fail(ErrorKind::retry, "the authorization token cannot stand in a header");
    request.headers.emplace_back("Authorization", std::move(token));
    return {};
  }

  SourceContext& context_;
};

}  // namespace

std::unique_ptr<CredentialSource> container_source(SourceContext& context) {
  return std::make_unique<ContainerSource>(context);
}

}  // namespace inlet::aws
