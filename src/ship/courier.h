// courier: brings one batch at a time to a sink, for as long as that takes. For work beside the
// shipper's: redrive and replay.
//
// Waits between attempts as the shipper does (retry.h). One thread.

#pragma once

#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/time.h"
#include "ship/retry.h"
#include "sinks/sink.h"

namespace inlet::ship {

using KeepGoing = std::function<bool()>;  // Asked at least every 50 ms; false: stop.

class Courier {
 public:
  // All outlive the courier. `on_wait` is told why a batch has to wait, each time.
  using OnWait = std::function<void(const std::string& why, Microseconds wait_us)>;
  Courier(Clock& clock, sinks::Sink& sink, RetryOptions retry, KeepGoing keep_going,
          OnWait on_wait);

  // The records the sink will never take, by sequence; empty if it was told to stop before the
  // batch was delivered.
  [[nodiscard]] std::optional<std::vector<sinks::Rejection>> deliver(const sinks::Batch& batch);

  [[nodiscard]] bool keep_going() const { return keep_going_(); }

 private:
  [[nodiscard]] std::optional<sinks::Delivery> attempt(const sinks::Batch& batch);
  [[nodiscard]] bool wait(Microseconds wait_us);

  Clock& clock_;
  sinks::Sink& sink_;
  const RetryOptions retry_;
  const KeepGoing keep_going_;
  const OnWait on_wait_;
  std::mt19937_64 random_;
};

}  // namespace inlet::ship
