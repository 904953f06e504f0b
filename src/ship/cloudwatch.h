// cloudwatch: tells CloudWatch how a node does, by PutMetricData, for where no agent reads its log.
//
// A process of its own beside serve, which makes no outgoing connection: it asks the node's admin
// listener once a second, as anybody could, and sends what cloudwatch_report.h makes of it. What
// is wrong here (no credentials, no way out, no permission) costs figures and nothing else.
//
// Threads: run() is one's; flush() and stop() may be called from any.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "aws/client.h"
#include "base/time.h"
#include "fetch/client.h"
#include "ship/cloudwatch_report.h"

namespace inlet::ship {

struct CloudWatchOptions {
  std::string status_url;  // "http://127.0.0.1:8081/status.json"
  CloudWatchReportOptions report;
  std::string endpoint;  // "": AWS_ENDPOINT_URL_CLOUDWATCH, AWS_ENDPOINT_URL, the region's.
  aws::ClientOptions aws;
  Microseconds timeout_us = 10'000'000;         // Of a request to CloudWatch.
  Microseconds leave_deadline_us = 60'000'000;  // From flush() to the end of the node.
};

inline constexpr Microseconds cloudwatch_period_min_us = 1'000'000;
inline constexpr Microseconds cloudwatch_period_max_us = 3'600'000'000;

class CloudWatch {
 public:
  // `clock` outlives it.
  CloudWatch(Clock& clock, CloudWatchOptions options);

  // Until told to end. Returns how many requests were left unsent.
  std::size_t run();

  // The node is about to leave: look on until it is gone, send the rest, end. If CloudWatch takes
  // nothing at that time, the rest is given up: leaving is not to wait for figures.
  void flush();
  // Look once more, try once to send what there is, end.
  void stop();

 private:
  enum class Wish : unsigned char { run, flush, stop };

  void look_if_due();
  void look_to_the_end();
  void send_the_rest();
  [[nodiscard]] Result<NodeStatus> ask(Microseconds timeout_us);
  void send_if_due();
  void wait();

  Clock& clock_;
  const CloudWatchOptions options_;
  CloudWatchReport report_;
  fetch::Client node_;
  aws::Client aws_;
  std::atomic<Wish> wish_{Wish::run};
  static_assert(std::atomic<Wish>::is_always_lock_free);

  // run()'s.
  Microseconds next_look_us_ = 0;  // On the wall clock.
  std::int64_t period_ = 0;        // Of the last look, since 1970.
  bool node_answers_ = false;
  std::optional<std::uint64_t> under_way_;
};

}  // namespace inlet::ship
