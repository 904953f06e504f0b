#include "top/poller.h"

#include <fmt/format.h>

namespace inlet::top {
namespace {

constexpr Microseconds patience_slack_us = 50'000;  // A timeout may come a little early.

std::string fault_text(const fetch::Response& response, Microseconds took_us) {
  switch (response.fault) {
    case fetch::Fault::resolve: return "the name is not known";
    case fetch::Fault::connect:
      return took_us + patience_slack_us < connect_timeout_us
                 ? "cannot connect"
                 : fmt::format("no connection within {} s", connect_timeout_us / 1'000'000);
    case fetch::Fault::tls: return "TLS failed, " + response.why;
    case fetch::Fault::interrupted:
      return took_us + patience_slack_us < answer_timeout_us
                 ? "the connection broke off"
                 : fmt::format("connected, but nothing came within {} s",
                               answer_timeout_us / 1'000'000);
    case fetch::Fault::answer:
    case fetch::Fault::none: return "what came is no answer of a node";
  }
  return {};
}

fetch::ClientOptions client_options(const PollerOptions& options) {
  fetch::ClientOptions out;
  out.connections_max = nodes_max;
  out.ca_file = options.ca_file;
  out.user_agent = "inlet-top";
  return out;
}

}  // namespace

Result<Answer> read_answer(const fetch::Response& response, Microseconds took_us,
                           bool keep_document) {
  if (response.fault != fetch::Fault::none) {
    return fail(ErrorKind::retry, fault_text(response, took_us));
  }
  if (response.status != 200) {
    return fail(ErrorKind::retry, fmt::format("answered {}, not a status", response.status));
  }
  auto status = parse_status(response.body);
  if (!status) return fail(ErrorKind::corrupt, "not a status: " + status.error().what);
  return Answer{.status = std::move(*status),
                .document = keep_document ? response.body : std::string()};
}

Poller::Poller(Clock& clock, const PollerOptions& options)
    : clock_(clock),
      keep_documents_(options.keep_documents),
      roster_(options.targets, options.interval_us),
      client_(client_options(options)) {}

bool Poller::turn(Microseconds wait_us) {
  bool came = false;
  ask();
  while (auto looked_up = lookup_.finish()) {
    roster_.looked_up(looked_up->name, looked_up->hosts, clock_.steady_us());
    ask();
    came = true;
  }
  while (const auto response = client_.finish(wait_us)) {
    take(*response);
    wait_us = 0;
    came = true;
  }
  return came;
}

void Poller::ask() {
  const Microseconds now_us = clock_.steady_us();
  for (const std::string& name : roster_.due_lookups(now_us)) lookup_.start(name);
  for (std::string& url : roster_.due_polls(now_us)) {
    fetch::Request request;
    request.url = url;
    request.headers = {{"Accept", "application/json"}};
    request.direct = true;
    request.response_bytes_max = status_bytes_max;
    request.connect_timeout_us = connect_timeout_us;
    request.timeout_us = answer_timeout_us;
    const std::uint64_t id = client_.start(std::move(request));
    questions_[id] = {.url = std::move(url), .asked_us = now_us};
  }
}

void Poller::take(const fetch::Response& response) {
  const auto found = questions_.find(response.id);
  if (found == questions_.end()) return;
  const Question question = std::move(found->second);
  questions_.erase(found);
  const Microseconds now_us = clock_.steady_us();
  auto answer = read_answer(response, now_us - question.asked_us, keep_documents_);
  roster_.answered(question.url, std::move(answer), now_us);
}

}  // namespace inlet::top
