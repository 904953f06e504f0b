// credentials: the chain of places that may have credentials, and what it last brought.
//
// Fetched when they are first needed and refreshed ahead of their end; a refresh that fails leaves
// the old ones in use for as long as they are valid, and is tried again with growing pauses.
//
// Invariants:
//   - at most one request is under way.
//   - credentials past their end, by the server's clock, are never given out.
//
// It sends nothing itself: due() and take() say what to send. One thread.

#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "aws/credential_source.h"

namespace inlet::aws {

class CredentialChain {
 public:
  CredentialChain(ServerClock& clock, std::vector<std::unique_ptr<CredentialSource>> sources,
                  std::uint64_t seed);

  // Looks again where that is due; the request to send, if there is one. Call it often.
  [[nodiscard]] std::optional<fetch::Request> due();
  // The response to the last request; perhaps there is another one to send.
  [[nodiscard]] std::optional<fetch::Request> take(const fetch::Response& response);

  // Whether the outcome of a look is awaited.
  [[nodiscard]] bool is_looking() const { return looking_; }
  // nullptr while there are none that can be used.
  [[nodiscard]] const Credentials* current();
  // Every place that was looked at and why it had none, in one sentence.
  [[nodiscard]] const std::string& why_none() const { return why_none_; }

  // The service refused the ones with this access key: they are looked for anew.
  void refuse(std::string_view access_key, std::string_view session_token, std::string_view code);

  static constexpr Microseconds refresh_ahead_us = 300'000'000;   // At least so long before the end
  static constexpr Microseconds refresh_spread_us = 300'000'000;  // and up to that much more.
  static constexpr Microseconds looks_apart_us = 2'000'000;       // Between two successful looks.
  static constexpr Microseconds retry_first_us = 1'000'000;
  static constexpr Microseconds retry_last_us = 60'000'000;

 private:
  [[nodiscard]] std::optional<fetch::Request> follow(SourceStep step);
  void adopt(Credentials found);
  void give_up(std::string_view why);

  ServerClock& clock_;
  const std::vector<std::unique_ptr<CredentialSource>> sources_;
  std::mt19937_64 random_;

  bool looking_ = false;
  std::size_t place_ = 0;  // The source in hand.
  std::string looked_at_;  // In this look so far.

  std::optional<Credentials> found_;
  std::string_view found_at_;       // The name of their source.
  Microseconds refresh_at_us_ = 0;  // By the server's clock; 0: they do not end.
  Microseconds not_before_us_ = 0;  // Of the steady clock.
  std::uint64_t failures_ = 0;      // In a row.
  std::string why_none_ = "no credentials have been looked for yet";
};

}  // namespace inlet::aws
