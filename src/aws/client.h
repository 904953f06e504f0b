// client: signed requests to AWS services and to servers that speak like them.
//
// Adds credentials, the signature (Signature Version 4) and the clock's skew to requests of
// fetch/client.h, and turns what comes back into what a caller must decide by.
//
// A call whose credentials are still being looked for waits, inside its timeout; one whose region
// is not known yet may say so by "{region}" in its URL.
//
// Invariants:
//   - a request is signed with credentials that have not expired as far as the clocks can tell;
//     while there are none, calls are answered `transient` and nothing is sent.
//   - an answer that blames the clock corrects it, one that blames the credentials has them fetched
//     anew; both are `transient`, so the repeat is signed afresh.
//   - secrets are in no log line and no message.
//
// One thread.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "aws/surroundings.h"
#include "aws/verdict.h"
#include "base/file.h"
#include "base/time.h"
#include "fetch/client.h"

namespace inlet::aws {

struct Call {
  std::string service;  // "s3", "kinesis", "firehose": what the signature names.
  std::string method = "POST";
  // Path and query percent-encoded as they are to be sent; endpoint_url() says how it begins.
  std::string url;
  fetch::Headers headers;  // Without Host, X-Amz-Date, X-Amz-Security-Token, Authorization.
  std::string body;
  std::size_t response_bytes_max = 1U << 20;
  Microseconds timeout_us = 30'000'000;
};

struct Reply {
  std::uint64_t id = 0;
  Verdict verdict = Verdict::done;
  int status = 0;    // 0: there was no answer.
  std::string code;  // The service's: "SlowDown", "ResourceNotFoundException"; may be "".
  std::string why;   // One sentence unless done.
  Microseconds retry_after_us = 0;
  fetch::Headers headers;
  std::string body;
};

struct ClientOptions {
  std::string region;   // "" : AWS_REGION, AWS_DEFAULT_REGION, the profile's.
  std::string profile;  // "" : AWS_PROFILE, then "default".
  fetch::ClientOptions fetch;
  std::string region_else;  // Where nothing names one: servers that only speak like AWS have none.
  Variables variable = process_variable;
  FileSystem* files = nullptr;  // nullptr: the real one.
  std::uint64_t seed = 0;       // Of the jitter; 0: from the clock.
};

class Client {
 public:
  // `clock` outlives the client. Returns at once; credentials are fetched behind the scenes.
  Client(Clock& clock, ClientOptions options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // "" while it is not known; if nothing names it, the instance metadata is asked with the first
  // call.
  [[nodiscard]] std::string region() const;

  // As fetch::Client: begin, collect, cancel.
  [[nodiscard]] std::uint64_t start(Call call);
  [[nodiscard]] std::optional<Reply> finish(Microseconds wait_us);
  void cancel(std::uint64_t id);

 private:
  class Engine;
  std::unique_ptr<Engine> engine_;
};

// Where a service lives: `endpoint` if not empty; else AWS_ENDPOINT_URL_<SERVICE>,
// AWS_ENDPOINT_URL, "https://SERVICE.REGION.amazonaws.com" (".cn" in China), or, where the region
// is "", "https://SERVICE.{region}", which a Client completes. Without a "/" at the end.
[[nodiscard]] std::string endpoint_url(std::string_view endpoint, std::string_view service,
                                       std::string_view region,
                                       const Variables& variable = process_variable);

}  // namespace inlet::aws
