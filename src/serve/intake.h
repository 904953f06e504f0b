// intake: what a request asks for, and whether it may be had. Pure.
//
// Decides from the head alone, before a byte of body is read or `100 Continue` is sent: route,
// method, stream, encoding, length, acknowledgement. What it cannot know (is the disk full?) is the
// door's business.
//
// Any thread.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "http/head.h"
#include "journal/format.h"

namespace inlet::serve {

enum class Format : std::uint8_t { raw, json, ndjson };  // raw: stored as it comes.

// What an answer waits for: this node's disk, or the engine behind the replica's sink as well.
enum class Ack : std::uint8_t { disk, replicated };

struct StreamRule {
  Format format = Format::raw;
  Ack ack = Ack::disk;  // Where the request does not say.
  std::uint64_t body_bytes_max = 0;
};

struct StreamRules {
  StreamRule standard;  // For streams that are not named.
  std::map<std::string, StreamRule, std::less<>> named;
  std::vector<std::string> replicated;  // Patterns of the streams the replica's sink takes.

  [[nodiscard]] const StreamRule& of(std::string_view stream) const {
    const auto found = named.find(stream);
    return found == named.end() ? standard : found->second;
  }
};

// A request that is answered with a problem document; nothing is stored.
struct Refusal {
  int status;
  std::string detail;
  std::string extra_lines = {};  // Header lines with their line ends.
};

struct Healthz {};
struct Readyz {};
struct Ingest {
  std::string_view stream;  // Borrowed from the head.
  const StreamRule* rule;
  Ack ack;
};

using Request = std::variant<Refusal, Healthz, Readyz, Ingest>;

// What the public listener is asked for.
[[nodiscard]] Request read_request(const http::RequestHead& head, const StreamRules& rules);

// The stream that a head which read_request() took for an Ingest names.
[[nodiscard]] std::string_view stream_of(const http::RequestHead& head);

// What is kept of the head. Views are borrowed from it and from `peer`.
[[nodiscard]] journal::Metadata read_metadata(const http::RequestHead& head,
                                              std::string_view stream, std::string_view peer);

inline constexpr std::string_view default_tenant = "default";  // Of requests without a key.

}  // namespace inlet::serve
