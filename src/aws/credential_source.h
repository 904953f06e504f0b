// credential_source: one place that may have credentials, as a machine that sends nothing itself.
//
// begin() looks; a step may ask for a request, whose response goes to resume(), until the step says
// what came of it. So fetching blocks nobody, and is tested without a network.
//
//   absent   the place is not set up here: the next one is asked.
//   Error    it is set up and does not work: no other is asked, since that would deliver under a
//            name that nobody meant. Tried again later.
//
// One thread.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "aws/server_clock.h"
#include "aws/signature.h"
#include "aws/surroundings.h"
#include "base/result.h"
#include "fetch/client.h"

namespace inlet::aws {

struct Absent {
  std::string why;
};

using SourceStep = std::variant<fetch::Request, Credentials, Absent, Error>;

class CredentialSource {
 public:
  CredentialSource() = default;
  CredentialSource(const CredentialSource&) = delete;
  CredentialSource& operator=(const CredentialSource&) = delete;
  virtual ~CredentialSource() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  // Starts over, whatever was under way.
  [[nodiscard]] virtual SourceStep begin() = 0;
  [[nodiscard]] virtual SourceStep resume(const fetch::Response& response);
};

// What sources need to know; outlives them.
struct SourceContext {
  Surroundings surroundings;
  ServerClock& clock;
  std::string profile;  // As configured.
  std::string region;   // "" until it is known; the instance metadata may fill it in.
};

// In the order they are asked: environment, web identity, profile, container, instance metadata.
[[nodiscard]] std::vector<std::unique_ptr<CredentialSource>> credential_sources(
    SourceContext& context);

[[nodiscard]] std::unique_ptr<CredentialSource> environment_source(SourceContext& context);
[[nodiscard]] std::unique_ptr<CredentialSource> web_identity_source(SourceContext& context);
[[nodiscard]] std::unique_ptr<CredentialSource> profile_source(SourceContext& context);
[[nodiscard]] std::unique_ptr<CredentialSource> container_source(SourceContext& context);
[[nodiscard]] std::unique_ptr<CredentialSource> metadata_source(SourceContext& context);

// From the JSON that container and metadata endpoints answer.
[[nodiscard]] SourceStep credentials_of(const fetch::Response& response);

// "https://sts.eu-west-1.amazonaws.com" for ("sts", "eu-west-1"), unless a variable says otherwise.
[[nodiscard]] std::string service_url(const Variables& variable, std::string_view service,
                                      std::string_view region);

// "eu-west-1.amazonaws.com"; China's have their own end. unknown_region for "".
inline constexpr std::string_view unknown_region = "{region}";
[[nodiscard]] std::string region_domain(std::string_view region);

}  // namespace inlet::aws
