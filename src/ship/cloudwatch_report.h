// cloudwatch_report: looks at a node made into periods, and periods kept until CloudWatch has them.
//
// What a node counted between two looks at it belongs to the period under way; the first look is
// only where counting begins. Looks come often, so a node that dies takes the figures of a moment
// with it and not those of a period. A period carries the time of its middle, so that it counts for
// the minute it was in although it is sent when that is over.
//
// CloudWatch takes figures up to two weeks late ("Publish custom metrics", CloudWatch User Guide),
// so an outage leaves no hole as long as it fits in what is kept. It cannot tell a repeat: figures
// whose answer was lost on its way are counted twice.
//
// Invariants:
//   - requests are sent in the order of time, one at a time, each until it is taken or refused.
//   - at most cloudwatch_requests_kept wait; then the oldest are dropped, and counted.
//
// It sends nothing itself: take() says what to send, settle() what came of it. One thread.

#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "aws/client.h"
#include "base/time.h"
#include "health/put_metric_data.h"
#include "ship/cloudwatch_status.h"

namespace inlet::ship {

// Six hours of minutes, some 10 KiB each.
inline constexpr std::size_t cloudwatch_requests_kept = 360;

struct CloudWatchReportOptions {
  health::EmfOptions what;
  Microseconds period_us = 60'000'000;
  std::uint64_t seed = 0;
};

class CloudWatchReport {
 public:
  explicit CloudWatchReport(CloudWatchReportOptions options);

  // What the node said when it was asked at `asked_us` and answered by `steady_us`, which is now.
  void look(const NodeStatus& status, Microseconds asked_us, Microseconds steady_us,
            Microseconds wall_us);

  // Ends the period under way; one without a second look stays empty and is not reported.
  void close();

  // What to send now, until it is settled; nullptr: nothing, not yet, or one is being sent.
  [[nodiscard]] const health::PutMetricDataRequest* take(Microseconds steady_us);
  void settle(const aws::Reply& reply, Microseconds steady_us);

  [[nodiscard]] std::size_t waiting() const { return requests_.size() + (in_hand_ ? 1 : 0); }
  [[nodiscard]] std::uint64_t failures() const { return failures_; }  // In a row.
  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  struct Look {
    NodeStatus status;
    Microseconds steady_us;
    Microseconds wall_us;
  };

  [[nodiscard]] health::Interval since_last(const NodeStatus& status, Microseconds asked_us,
                                            Microseconds steady_us) const;
  void keep(std::vector<health::PutMetricDataRequest> requests);
  void tell_change(bool done, const std::string& why) const;

  const CloudWatchReportOptions options_;
  std::mt19937_64 random_;
  std::optional<Look> last_;
  health::Interval period_;
  std::deque<health::PutMetricDataRequest> requests_;  // Oldest first.
  std::optional<health::PutMetricDataRequest> in_hand_;
  std::uint64_t failures_ = 0;  // In a row.
  Microseconds not_before_us_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace inlet::ship
