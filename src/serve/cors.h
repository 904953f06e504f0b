// cors: which web pages may send to a stream (CORS protocol, Fetch standard section 3.2).
//
// Origins are configured per stream; what is answered is made from the configuration, never from
// what a client sent.
//
// Immutable after construction; any thread.

#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace inlet::serve {

class CorsRule {
 public:
  CorsRule() = default;
  // "https://app.example.com", or "*" for every page.
  explicit CorsRule(const std::vector<std::string>& origins);

  // Header lines for an answer to a page of that origin; empty if it is not allowed.
  [[nodiscard]] std::string_view lines_for(std::string_view origin) const;
  // The same for the answer to a preflight.
  [[nodiscard]] std::string_view preflight_lines_for(std::string_view origin) const;

 private:
  struct Allowed {
    std::string origin;
    std::string lines;
    std::string preflight_lines;
  };
  [[nodiscard]] const Allowed* find(std::string_view origin) const;

  std::vector<Allowed> allowed_;
};

}  // namespace inlet::serve
