// request: complete HTTP requests, prepared as far as they can be before the load starts.
//
// Everything about a request follows from its number: stream, body, so a repeat is the same.
//
// One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "load/body.h"
#include "load/target.h"

namespace inlet::loader {

inline constexpr std::size_t streams_max = 100000;

class RequestMaker {
 public:
  struct Options {
    Target target;
    std::vector<std::string> headers;  // "Name: value", each of them good by check_header().
    std::size_t stream_count = 1;      // More than 1: "-0", "-1", … is added to the path.
  };
  RequestMaker(const Options& options, BodyMaker bodies);
  // Sends the lines in turn; at least one.
  RequestMaker(const Options& options, std::vector<std::string> lines);

  // Fills `out` with the start of request `number`, or all of it. The parts live as long as the
  // maker.
  [[nodiscard]] BodyParts make(std::uint64_t number, std::string& out);
  [[nodiscard]] std::size_t body_bytes(std::uint64_t number) const;

 private:
  std::vector<std::string> heads_;  // Up to and including "Content-Length: ".
  std::variant<BodyMaker, std::vector<std::string>> bodies_;
};

// Whether a user may add this field: well formed, and not one that decides the framing.
[[nodiscard]] Status check_header(std::string_view header);

}  // namespace inlet::loader
