// time: the seam for clocks. Time is passed in, never looked up, so that tests can set it.
//
// wall_us() labels records and paths; it may jump. steady_us() measures durations and deadlines; it
// never goes back. Both in microseconds. Threads: any.

#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

namespace inlet {

using Microseconds = std::int64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Microseconds wall_us() = 0;    // Since 1970-01-01 UTC.
  [[nodiscard]] virtual Microseconds steady_us() = 0;  // Since an arbitrary start.
  virtual void sleep(Microseconds duration) = 0;
};

class SystemClock final : public Clock {
 public:
  Microseconds wall_us() override { return since_epoch(std::chrono::system_clock::now()); }
  Microseconds steady_us() override { return since_epoch(std::chrono::steady_clock::now()); }
  void sleep(Microseconds duration) override {
    std::this_thread::sleep_for(std::chrono::microseconds(duration));
  }

 private:
  template <typename TimePoint>
  static Microseconds since_epoch(TimePoint at) {
    return std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
  }
};

}  // namespace inlet
