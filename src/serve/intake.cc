#include "serve/intake.h"

#include "base/names.h"
#include "codec/decode.h"
#include "http/characters.h"

namespace inlet::serve {
namespace {

constexpr std::string_view ingest_prefix = "/ingest/";

Refusal wrong_method(std::string_view allowed) {
  const std::string methods(allowed);
  return {405, "this path takes " + methods, "Allow: " + methods + "\r\n"};
}

bool is_read(std::string_view method) { return method == "GET" || method == "HEAD"; }

Request read_ingest(const http::RequestHead& head, const StreamRules& rules) {
  const std::string_view stream = stream_of(head);
  if (!is_name(stream)) {
    return Refusal{404, "a stream name is 1 to 64 of a-z 0-9 _ . -, the first a letter or digit"};
  }
  if (head.method != "POST") return wrong_method("POST");
  if (!head.content_length && !head.chunked) {
    return Refusal{411, "send Content-Length or Transfer-Encoding: chunked"};
  }
  const auto encoding = codec::parse_encoding(head.field("Content-Encoding").value_or(""));
  if (encoding == codec::Encoding::unknown) {
    return Refusal{415, "Content-Encoding must be gzip, zstd, deflate or none",
                   "Accept-Encoding: gzip, zstd, deflate\r\n"};
  }
  const StreamRule& rule = rules.of(stream);
  if (head.content_length.value_or(0) > rule.body_bytes_max) {
    return Refusal{413,
                   "the body may have at most " + std::to_string(rule.body_bytes_max) + " bytes"};
  }
  Ack ack = rule.ack;
  if (const auto asked = head.field("Inlet-Ack")) {
    if (*asked != "disk" && *asked != "replicated") {
      return Refusal{400, "Inlet-Ack must be disk or replicated"};
    }
    ack = *asked == "disk" ? Ack::disk : Ack::replicated;
    if (ack == Ack::replicated && !matches_any(rules.replicated, stream)) {
      return Refusal{400, rules.replicated.empty()
                              ? "Inlet-Ack: replicated needs a sink marked as replica; this node "
                                "has none"
                              : "Inlet-Ack: replicated needs a stream that goes to the replica; "
                                "this one does not"};
    }
  }
  return Ingest{stream, &rule, ack};
}

}  // namespace

Request read_request(const http::RequestHead& head, const StreamRules& rules) {
  if (head.expect_other) return Refusal{417, "the only expectation known here is 100-continue"};
  if (head.path.starts_with(ingest_prefix)) return read_ingest(head, rules);
  if (head.path == "/healthz") {
    if (!is_read(head.method)) return wrong_method("GET, HEAD");
    return Healthz{};
  }
  if (head.path == "/readyz") {
    if (!is_read(head.method)) return wrong_method("GET, HEAD");
    return Readyz{};
  }
  return Refusal{404, "POST records to /ingest/{stream}"};
}

std::string_view stream_of(const http::RequestHead& head) {
  return head.path.substr(ingest_prefix.size());
}

journal::Metadata read_metadata(const http::RequestHead& head, std::string_view stream,
                                std::string_view peer) {
  journal::Metadata metadata{.tenant = default_tenant, .stream = stream, .peer = peer};
  for (const http::Field& field : head.fields()) {
    const auto is = [&](std::string_view name) {
      return field.name.size() == name.size() && http::equals_ignoring_case(field.name, name);
    };
    if (is("content-type")) {
      metadata.content_type = field.value;
    } else if (is("content-encoding")) {
      if (field.value != "identity") metadata.content_encoding = field.value;
    } else if (is("idempotency-key")) {
      metadata.idempotency_key = field.value;
    } else if (is("traceparent") || (metadata.trace_id.empty() && is("x-amzn-trace-id")) ||
               (metadata.trace_id.empty() && is("x-request-id"))) {
      metadata.trace_id = field.value;
    }
  }
  return metadata;
}

}  // namespace inlet::serve
