#include "aws/credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "fetch/http_date.h"

namespace inlet::aws {

CredentialChain::CredentialChain(ServerClock& clock,
                                 std::vector<std::unique_ptr<CredentialSource>> sources,
                                 std::uint64_t seed)
    : clock_(clock),
      sources_(std::move(sources)),
      random_(seed),
      not_before_us_(clock.steady_us()) {}

const Credentials* CredentialChain::current() {
  if (!found_) return nullptr;
  const bool ended = found_->expires_us != 0 && clock_.wall_us() >= found_->expires_us;
  return ended ? nullptr : &*found_;
}

std::optional<fetch::Request> CredentialChain::due() {
  if (looking_ || clock_.steady_us() < not_before_us_) return std::nullopt;
  const bool fresh = found_ && (refresh_at_us_ == 0 || clock_.wall_us() < refresh_at_us_);
  if (fresh) return std::nullopt;
  looking_ = true;
  place_ = 0;
  looked_at_.clear();
  return follow(sources_[0]->begin());
}

std::optional<fetch::Request> CredentialChain::take(const fetch::Response& response) {
  CHECK(looking_);
  // Credentials carry an end: whoever gives them says by its own time whether that has come.
  if (const auto date = fetch::parse_http_date(response.header("date"), clock_.wall_us());
      date && clock_.correct(*date)) {
    log_warn("aws", "this node's clock is wrong; the credentials' source says the time");
  }
  return follow(sources_[place_]->resume(response));
}

std::optional<fetch::Request> CredentialChain::follow(SourceStep step) {
  while (true) {
    if (auto* request = std::get_if<fetch::Request>(&step)) return std::move(*request);
    if (auto* found = std::get_if<Credentials>(&step)) {
      adopt(std::move(*found));
      return std::nullopt;
    }
    const auto* absent = std::get_if<Absent>(&step);
    looked_at_ += fmt::format("{}{}: {}", looked_at_.empty() ? "" : "; ", sources_[place_]->name(),
                              absent != nullptr ? absent->why : std::get<Error>(step).what);
    if (absent == nullptr || place_ + 1 == sources_.size()) {
      give_up(looked_at_);
      return std::nullopt;
    }
    place_++;
    step = sources_[place_]->begin();
  }
}

void CredentialChain::adopt(Credentials found) {
  looking_ = false;
  failures_ = 0;
  refresh_at_us_ = 0;
  if (found.expires_us != 0) {
    std::uniform_int_distribution<Microseconds> spread(0, refresh_spread_us);
    refresh_at_us_ = found.expires_us - refresh_ahead_us - spread(random_);
  }
  not_before_us_ = clock_.steady_us() + looks_apart_us;
  found_ = std::move(found);
  if (found_at_ != sources_[place_]->name()) {
    found_at_ = sources_[place_]->name();
    log_info("aws", "credentials found", {{"source", found_at_}});
  }
  why_none_ = fmt::format("the AWS credentials of {} have expired", found_at_);
}

void CredentialChain::give_up(std::string_view why) {
  looking_ = false;
  const auto doublings = std::min<std::uint64_t>(failures_++, 6);
  const Microseconds pause = std::min(retry_first_us << doublings, retry_last_us);
  std::uniform_int_distribution<Microseconds> wait(pause / 2, pause);
  not_before_us_ = clock_.steady_us() + wait(random_);
  why_none_ = fmt::format("no AWS credentials: {}", why);
  if (current() != nullptr) {
    log_warn("aws", "credentials could not be refreshed; the old ones are still used",
             {{"why", why_none_}});
  }
}

void CredentialChain::refuse(std::string_view access_key, std::string_view session_token,
                             std::string_view code) {
  // An answer to a request signed before the last refresh says nothing of the new ones.
  if (!found_ || found_->access_key != access_key || found_->session_token != session_token) {
    return;
  }
  why_none_ = fmt::format("the AWS credentials of {} were refused ({}) and are looked for again",
                          found_at_, code);
  found_.reset();
}

}  // namespace inlet::aws
