#include "serve/cors.h"

namespace inlet::serve {
namespace {

constexpr std::string_view exposed_lines =
    "Access-Control-Expose-Headers: Inlet-Durability, Inlet-Duplicate, Retry-After, "
    "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Request-Id\r\n";
// Two hours: the longest that browsers keep it.
constexpr std::string_view permitted_lines =
    "Access-Control-Allow-Methods: POST\r\n"
    "Access-Control-Allow-Headers: Authorization, Content-Encoding, Content-Type, Idempotency-Key, "
    "Inlet-Ack, Traceparent, X-Api-Key, X-Request-Id\r\n"
    "Access-Control-Max-Age: 7200\r\n";

}  // namespace

CorsRule::CorsRule(const std::vector<std::string>& origins) {
  for (const std::string& origin : origins) {
    const std::string allow = "Access-Control-Allow-Origin: " + origin + "\r\n" +
                              (origin == "*" ? "" : "Vary: Origin\r\n");
    allowed_.push_back(
        {origin, allow + std::string(exposed_lines), allow + std::string(permitted_lines)});
  }
}

std::string_view CorsRule::lines_for(std::string_view origin) const {
  const Allowed* const found = find(origin);
  return found == nullptr ? std::string_view() : found->lines;
}

std::string_view CorsRule::preflight_lines_for(std::string_view origin) const {
  const Allowed* const found = find(origin);
  return found == nullptr ? std::string_view() : found->preflight_lines;
}

const CorsRule::Allowed* CorsRule::find(std::string_view origin) const {
  for (const Allowed& allowed : allowed_) {
    if (allowed.origin == origin || allowed.origin == "*") return &allowed;
  }
  return nullptr;
}

}  // namespace inlet::serve
