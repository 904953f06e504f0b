// verdict: what an answer of a service means to the one who asked.
//
// Codes are those of "Error responses" (S3), "Common Errors" (Kinesis, Firehose, STS); what is in
// no list is judged by its status.
//
// Pure; any thread.

#pragma once

#include <string>
#include <string_view>

#include "fetch/client.h"

namespace inlet::aws {

enum class Verdict : unsigned char {
  done,       // 2xx.
  throttled,  // 429, 503 SlowDown, ProvisionedThroughputExceeded and the like: slow down.
  transient,  // 5xx, no answer, clock or credentials: the same call may work later.
  too_large,  // 413, EntityTooLarge: never in this size.
  refused,    // Any other: wrong parameters, no permission, no such bucket, another region.
};

// What a service says went wrong, as S3 (XML) or the others (JSON) write it. One line each.
struct ServiceError {
  std::string code;  // "SlowDown", "ResourceNotFoundException"; "" if it said none.
  std::string message;
};

[[nodiscard]] ServiceError parse_error(const fetch::Response& response);

[[nodiscard]] Verdict judge(int status, std::string_view code);

// Whether the clock may be to blame; then the answer's Date tells.
[[nodiscard]] bool may_blame_clock(std::string_view code);
[[nodiscard]] bool blames_clock(std::string_view code);  // For certain.
[[nodiscard]] bool blames_credentials(std::string_view code);

}  // namespace inlet::aws
