#include "serve/intake.h"

#include "base/names.h"
#include "codec/decode.h"
#include "http/characters.h"
#include "serve/receipt.h"
#include "serve/trace.h"

namespace inlet::serve {
namespace {

constexpr std::string_view ingest_prefix = "/ingest/";

Refusal wrong_method(std::string_view allowed) {
  const std::string methods(allowed);
  return {405, "this path takes " + methods, "Allow: " + methods + "\r\n"};
}

bool is_read(std::string_view method) { return method == "GET" || method == "HEAD"; }

std::optional<Refusal> wrong_ingest(const http::RequestHead& head, const Target& target) {
  if (target.rule == nullptr) {
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
  if (head.content_length.value_or(0) > target.rule->body_bytes_max) {
    return Refusal{
        413, "the body may have at most " + std::to_string(target.rule->body_bytes_max) + " bytes"};
  }
  return std::nullopt;
}

}  // namespace

Target read_target(const http::RequestHead& head, const StreamRules& rules) {
  Target target;
  if (head.path.starts_with(ingest_prefix)) {
    target.route = Route::ingest;
    target.stream = stream_of(head);
    if (is_name(target.stream)) target.rule = &rules.of(target.stream);
  } else if (head.path.starts_with(receipts_prefix)) {
    target.route = Route::receipt;
    target.receipt_id = head.path.substr(receipts_prefix.size());
  } else if (head.path == "/v1/status") {
    target.route = Route::status;
  } else if (head.path == "/healthz") {
    target.route = Route::healthz;
  } else if (head.path == "/readyz") {
    target.route = Route::readyz;
  }
  return target;
}

std::optional<Refusal> wrong_request(const http::RequestHead& head, const Target& target) {
  if (head.expect_other) return Refusal{417, "the only expectation known here is 100-continue"};
  if (target.route == Route::unknown) return Refusal{404, "POST records to /ingest/{stream}"};
  if (target.route == Route::ingest) return wrong_ingest(head, target);
  return is_read(head.method) ? std::nullopt : std::optional(wrong_method("GET, HEAD"));
}

bool is_preflight(const http::RequestHead& head) {
  return head.method == "OPTIONS" && head.field("Origin") &&
         head.field("Access-Control-Request-Method");
}

std::expected<Ack, Refusal> read_ack(const http::RequestHead& head, const Target& target,
                                     const StreamRules& rules) {
  const auto asked = head.field("Inlet-Ack");
  if (!asked) return target.rule->ack;
  if (*asked == "disk") return Ack::disk;
  if (*asked != "replicated") {
    return std::unexpected(Refusal{400, "Inlet-Ack must be disk or replicated"});
  }
  if (matches_any(rules.replicated, target.stream)) return Ack::replicated;
  return std::unexpected(
      Refusal{400, rules.replicated.empty()
                       ? "Inlet-Ack: replicated needs a sink marked as replica; this node has none"
                       : "Inlet-Ack: replicated needs a stream that goes to the replica; this one "
                         "does not"});
}

std::string_view stream_of(const http::RequestHead& head) {
  return head.path.substr(ingest_prefix.size());
}

journal::Metadata read_metadata(const http::RequestHead& head, std::string_view tenant,
                                std::string_view stream, std::string_view peer) {
  journal::Metadata metadata{.tenant = tenant, .stream = stream, .peer = peer};
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
    }
  }
  const Trace trace = read_trace(head);
  metadata.trace_id = trace.of_record();
  metadata.request_id = trace.request_id;
  return metadata;
}

}  // namespace inlet::serve
