#include "ship/cloudwatch.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "ship/cloudwatch_form.h"

namespace inlet::ship {
namespace {

constexpr Microseconds tick_us = 100'000;              // Wishes are heard so fast.
constexpr Microseconds ask_timeout_us = 2'000'000;     // The node is this very machine.
constexpr Microseconds looks_apart_us = 1'000'000;     // And
constexpr Microseconds last_looks_apart_us = 250'000;  // while the node is leaving.
constexpr Microseconds leaves_within_us = 1'000'000;   // Or it does not leave at all.
constexpr Microseconds flush_deadline_us = 5'000'000;  // Of sending once it has left.
// The supervisor waits 2 s after SIGINT.
constexpr Microseconds last_ask_timeout_us = 500'000;
constexpr Microseconds stop_deadline_us = 1'000'000;
constexpr std::size_t status_bytes_max = 8U << 20;
constexpr std::size_t answer_bytes_max = 64U << 10;

std::string endpoint_of(const CloudWatchOptions& options) {
  const auto& variable = options.aws.variable;
  const std::string chosen =
      options.endpoint.empty() ? variable("AWS_ENDPOINT_URL_CLOUDWATCH") : options.endpoint;
  return aws::endpoint_url(chosen, "monitoring", options.aws.region, variable);
}

}  // namespace

CloudWatch::CloudWatch(Clock& clock, CloudWatchOptions options)
    : clock_(clock),
      options_(std::move(options)),
      report_(options_.report),
      node_({.connections_max = 1}),
      aws_(clock, options_.aws) {}

void CloudWatch::flush() {
  // A stop asked for before stays one.
  Wish expected = Wish::run;
  wish_.compare_exchange_strong(expected, Wish::flush);
}

void CloudWatch::stop() { wish_.store(Wish::stop); }

std::size_t CloudWatch::run() {
  while (wish_.load() == Wish::run) {
    look_if_due();
    send_if_due();
    wait();
  }
  look_to_the_end();
  send_the_rest();
  log_info("cloudwatch", "ended",
           {{"sent", report_.sent()}, {"dropped", report_.dropped()}, {"left", report_.waiting()}});
  return report_.waiting();
}

// At whole seconds and whole periods of the wall clock, and at once the first time.
void CloudWatch::look_if_due() {
  const Microseconds wall_us = clock_.wall_us();
  if (wall_us < next_look_us_ && next_look_us_ - wall_us <= looks_apart_us) return;
  const Microseconds asked_us = clock_.steady_us();
  const auto status = ask(ask_timeout_us);
  if (status) report_.look(*status, asked_us, clock_.steady_us(), clock_.wall_us());
  if (status.has_value() != node_answers_) {
    node_answers_ = status.has_value();
    if (status) log_info("cloudwatch", "the node answers: counting");
    if (!status) log_warn("cloudwatch", status.error().what);
  }
  const Microseconds period_us = options_.report.period_us;
  const Microseconds now_us = clock_.wall_us();
  if (next_look_us_ != 0 && now_us / period_us != period_) report_.close();
  period_ = now_us / period_us;
  next_look_us_ =
      std::min((now_us / looks_apart_us + 1) * looks_apart_us, (period_ + 1) * period_us);
}

// While the node is leaving.
void CloudWatch::look_to_the_end() {
  const Microseconds began_us = clock_.steady_us();
  for (Microseconds asked_us = began_us; asked_us - began_us < options_.leave_deadline_us;
       asked_us = clock_.steady_us()) {
    const auto status = ask(last_ask_timeout_us);
    if (!status) break;
    report_.look(*status, asked_us, clock_.steady_us(), clock_.wall_us());
    const bool leaves = status->draining || asked_us - began_us < leaves_within_us;
    if (wish_.load() == Wish::stop || !leaves) break;
    clock_.sleep(last_looks_apart_us);
  }
  report_.close();
}

void CloudWatch::send_the_rest() {
  const Microseconds began_us = clock_.steady_us();
  while (report_.waiting() > 0 && (under_way_ || report_.failures() == 0)) {
    const bool hurry = wish_.load() == Wish::stop;
    if (clock_.steady_us() - began_us > (hurry ? stop_deadline_us : flush_deadline_us)) return;
    send_if_due();
    wait();
  }
}

Result<NodeStatus> CloudWatch::ask(Microseconds timeout_us) {
  const std::uint64_t id = node_.start({.url = options_.status_url,
                                        .direct = true,
                                        .response_bytes_max = status_bytes_max,
                                        .connect_timeout_us = timeout_us,
                                        .timeout_us = timeout_us});
  const auto response = node_.finish(2 * timeout_us);
  if (!response) {
    node_.cancel(id);
    return fail(ErrorKind::retry, "the node does not answer");
  }
  if (response->fault != fetch::Fault::none) return fail(ErrorKind::retry, response->why);
  if (response->status != 200) {
    return fail(ErrorKind::retry,
                "the node answers " + std::to_string(response->status) + " for its status");
  }
  return read_node_status(response->body);
}

void CloudWatch::send_if_due() {
  const health::PutMetricDataRequest* const request = report_.take(clock_.steady_us());
  if (request == nullptr) return;
  under_way_ = aws_.start({.service = "monitoring",
                           .url = endpoint_of(options_) + "/",
                           .headers = {{"Content-Type", std::string(cloudwatch_form_type)}},
                           .body = put_metric_data_form(*request),
                           .response_bytes_max = answer_bytes_max,
                           .timeout_us = options_.timeout_us});
}

// A tick, or until an answer comes.
void CloudWatch::wait() {
  if (!under_way_) return clock_.sleep(tick_us);
  const auto reply = aws_.finish(tick_us);
  if (!reply || reply->id != *under_way_) return;
  under_way_.reset();
  report_.settle(*reply, clock_.steady_us());
}

}  // namespace inlet::ship
