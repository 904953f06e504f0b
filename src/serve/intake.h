// intake: what a request asks for, and whether it may be had. Pure.
//
// Decides from the head alone, before a byte of body is read or `100 Continue` is sent: route,
// method, stream, encoding, length, acknowledgement. What it cannot know (is the disk full?) is the
// door's business.
//
// Any thread.

#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/head.h"
#include "journal/format.h"
#include "serve/cors.h"

namespace inlet::serve {

enum class Format : std::uint8_t { raw, json, ndjson };  // raw: stored as it comes.

// What an answer waits for: this node's disk, or the engine behind the replica's sink as well.
enum class Ack : std::uint8_t { disk, replicated };

struct StreamRule {
  Format format = Format::raw;
  Ack ack = Ack::disk;  // Where the request does not say.
  std::uint64_t body_bytes_max = 0;
  CorsRule cors = {};
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

enum class Route : std::uint8_t { ingest, status, receipt, healthz, readyz, unknown };

// What the public listener is asked for.
struct Target {
  Route route = Route::unknown;
  std::string_view stream;           // Of ingest, as it stands in the path; perhaps no name at all.
  const StreamRule* rule = nullptr;  // Of ingest; null: there can be no stream of that name.
  std::string_view receipt_id;       // Of receipt, as it stands in the path.
};
[[nodiscard]] Target read_target(const http::RequestHead& head, const StreamRules& rules);

// Whether a route takes such a request, whoever it is from; empty: it does.
[[nodiscard]] std::optional<Refusal> wrong_request(const http::RequestHead& head,
                                                   const Target& target);

// A browser's question whether a page may send (the Fetch standard, CORS-preflight).
[[nodiscard]] bool is_preflight(const http::RequestHead& head);

// How an ingest request that is not wrong is to be acknowledged.
[[nodiscard]] std::expected<Ack, Refusal> read_ack(const http::RequestHead& head,
                                                   const Target& target, const StreamRules& rules);

// The stream that the head of an ingest request names.
[[nodiscard]] std::string_view stream_of(const http::RequestHead& head);

// What is kept of the head; of trace fields only what is well formed (trace.h). Views are borrowed
// from the arguments.
[[nodiscard]] journal::Metadata read_metadata(const http::RequestHead& head,
                                              std::string_view tenant, std::string_view stream,
                                              std::string_view peer);

inline constexpr std::string_view default_tenant = "default";  // Of requests without a key.

}  // namespace inlet::serve
