#include "ship/cloudwatch_report.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "ship/retry.h"

namespace inlet::ship {
namespace {

using health::Flow;
using health::LatencyHistogram;

constexpr RetryOptions retry{.base_us = 1'000'000, .cap_us = 60'000'000};
constexpr int status_forbidden = 403;
constexpr double rounding_s = 0.2;  // Of uptime_s, with some to spare.

bool has_fallen(const LatencyHistogram& before, const LatencyHistogram& now) {
  for (std::size_t i = 0; i < LatencyHistogram::buckets; i++) {
    if (now.counts()[i] < before.counts()[i]) return true;
  }
  return false;
}

// `passed_s` have passed at least.
bool is_same_life(const NodeStatus& before, const NodeStatus& now, double passed_s) {
  return now.uptime_s + rounding_s >= before.uptime_s + passed_s &&
         !has_fallen(before.totals.request_latency, now.totals.request_latency) &&
         !has_fallen(before.totals.commit_latency, now.totals.commit_latency);
}

// A permission may be given later; anything else that is refused will be refused again.
bool is_worth_repeating(const aws::Reply& reply) {
  return reply.verdict == aws::Verdict::throttled || reply.verdict == aws::Verdict::transient ||
         (reply.verdict == aws::Verdict::refused && reply.status == status_forbidden);
}

}  // namespace

CloudWatchReport::CloudWatchReport(CloudWatchReportOptions options)
    : options_(std::move(options)), random_(options_.seed) {}

void CloudWatchReport::look(const NodeStatus& status, Microseconds asked_us, Microseconds steady_us,
                            Microseconds wall_us) {
  if (last_) period_.merge(since_last(status, asked_us, steady_us));
  last_ = Look{status, steady_us, wall_us};
}

void CloudWatchReport::close() {
  if (period_.length_us <= 0) return;
  const NodeStatus& now = last_->status;
  const Microseconds middle_us =
      last_->wall_us - std::min(period_.length_us, options_.period_us) / 2;
  keep(health::put_metric_data(options_.what,
                               {.period = period_,
                                .host = now.host,
                                .level = now.level,
                                .journal_used_percent = now.journal_used_percent,
                                .journal_full_in_s = now.journal_full_in_s,
                                .sinks = now.sinks},
                               middle_us));
  period_ = {};
}

health::Interval CloudWatchReport::since_last(const NodeStatus& status, Microseconds asked_us,
                                              Microseconds steady_us) const {
  const auto passed_s = static_cast<double>(asked_us - last_->steady_us) / 1e6;
  health::Totals before = last_->status.totals;
  if (!is_same_life(last_->status, status, passed_s)) {
    // All it counted is new, but for what outlives it.
    health::Totals lasting;
    for (const Flow flow : {Flow::dead_records, Flow::network_in_bytes, Flow::network_out_bytes}) {
      lasting[flow] = before[flow];
    }
    before = lasting;
  }
  return health::between(before, status.totals, steady_us - last_->steady_us);
}

void CloudWatchReport::keep(std::vector<health::PutMetricDataRequest> requests) {
  std::ranges::move(requests, std::back_inserter(requests_));
  while (waiting() > cloudwatch_requests_kept) {
    requests_.pop_front();
    if (dropped_++ == 0) {
      log_warn("cloudwatch", "the oldest figures are dropped: too many wait to be sent",
               {{"kept", cloudwatch_requests_kept}});
    }
  }
}

const health::PutMetricDataRequest* CloudWatchReport::take(Microseconds steady_us) {
  if (in_hand_ || requests_.empty() || steady_us < not_before_us_) return nullptr;
  in_hand_ = std::move(requests_.front());
  requests_.pop_front();
  return &*in_hand_;
}

void CloudWatchReport::settle(const aws::Reply& reply, Microseconds steady_us) {
  CHECK(in_hand_);
  const bool done = reply.verdict == aws::Verdict::done;
  if (done != (failures_ == 0)) tell_change(done, reply.why);
  if (done) {
    failures_ = 0;
    sent_++;
  } else {
    failures_++;
    const auto outcome = reply.verdict == aws::Verdict::throttled ? sinks::Outcome::slow_down
                                                                  : sinks::Outcome::retry;
    not_before_us_ =
        steady_us + retry_wait_us(retry, outcome, failures_, reply.retry_after_us, random_());
    if (is_worth_repeating(reply)) {
      requests_.push_front(std::move(*in_hand_));
    } else {
      dropped_++;
    }
  }
  in_hand_.reset();
}

void CloudWatchReport::tell_change(bool done, const std::string& why) const {
  if (done) {
    log_info("cloudwatch", "figures are taken again",
             {{"waiting", requests_.size()}, {"dropped", dropped_}});
  } else {
    log_warn("cloudwatch", "figures are not taken", {{"why", why}, {"waiting", waiting()}});
  }
}

}  // namespace inlet::ship
