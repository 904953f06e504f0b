#include "serve/admin.h"

#include <algorithm>

#include "base/names.h"
#include "serve/dashboard.h"
#include "serve/metrics.h"

namespace inlet::serve {
namespace {

constexpr std::string_view json = "application/json";

}  // namespace

http::HeadAction Admin::on_head(const http::RequestHead& head) {
  if (head.method != "GET" && head.method != "HEAD") {
    return answer_problem(405, "this path takes GET, HEAD", "Allow: GET, HEAD\r\n");
  }
  if (head.path == "/metrics") {
    const health::Exposition format = health::negotiate(head.field("Accept").value_or(""));
    return answer(200, health::content_type(format), metrics_text(context_.node, format),
                  "Vary: Accept\r\n");
  }
  if (head.path == "/status.json") {
    return answer(200, json, status_json(context_.node), origin_lines(head));
  }
  if (head.path == "/history.json") {
    return answer(200, json, history_json(context_.node), origin_lines(head));
  }
  if (head.path == "/keys.json") return answer(200, json, keys_json(context_.node));
  if (const Asset* const asset = find_asset(head.path)) {
    answer_asset(connection_, head, *asset);
    return http::HeadAction::answered();
  }
  if (head.path.starts_with(receipts_prefix)) {
    return open_receipt(head.path.substr(receipts_prefix.size()));
  }
  const bool ready_asked = head.path == "/readyz";
  if (!ready_asked && head.path != "/healthz") {
    return answer_problem(
        404,
        "there is /, /metrics, /status.json, /history.json, /keys.json, /receipts/{id}, /healthz "
        "and /readyz");
  }
  const journal::Admission admission = context_.node.door.journal->admission();
  if (admission != journal::Admission::open) {
    return answer_problem(503, std::string("the journal is ") + std::string(name_of(admission)));
  }
  if (ready_asked && context_.node.door.draining)
    return answer_problem(503, "this node is draining");
  return answer(200, json, "{\"status\":\"ok\"}\n");
}

// So that the dashboard of one node may show the others too.
std::string Admin::origin_lines(const http::RequestHead& head) const {
  const auto origin = head.field("Origin");
  if (context_.origins.empty() || !origin) return {};
  if (std::ranges::find(context_.origins, *origin) == context_.origins.end()) {
    return "Vary: Origin\r\n";
  }
  return std::string("Access-Control-Allow-Origin: ")
      .append(*origin)
      .append("\r\nVary: Origin\r\n");
}

http::HeadAction Admin::open_receipt(std::string_view id) {
  const auto parsed = parse_record_id(id);
  if (!parsed) {
    const ReceiptAnswer malformed = malformed_answer();
    return answer(malformed.status, malformed.content_type, malformed.body, malformed.extra_lines);
  }
  question_ = {*parsed, "", 0};
  return http::HeadAction::take_body(0);
}

void Admin::on_body(Bytes) {
  question_.next_sequence = context_.node.door.journal->status().next_sequence;
  context_.node.door.receipts->ask(static_cast<unsigned>(connection_.loop_index()), question_,
                                   [this](const ReceiptAnswer& found) {
                                     answer(found.status, found.content_type, found.body,
                                            found.extra_lines);
                                   });
}

http::HeadAction Admin::answer(int status, std::string_view content_type, std::string_view body,
                               std::string_view extra_lines) {
  connection_.respond(
      {.status = status, .content_type = content_type, .body = body, .extra_lines = extra_lines});
  return http::HeadAction::answered();
}

http::HeadAction Admin::answer_problem(int status, std::string_view detail,
                                       std::string_view extra_lines) {
  return answer(status, http::problem_content_type, http::problem_json(status, detail),
                extra_lines);
}

}  // namespace inlet::serve
