// sim_clock: time that moves only when told to.
//
// sleep() returns at once and has moved both clocks on. Threads: any.

#pragma once

#include <atomic>

#include "base/time.h"

namespace inlet::sim {

class SimClock final : public Clock {
 public:
  Microseconds wall_us() override { return wall_us_; }
  Microseconds steady_us() override { return steady_us_; }
  void sleep(Microseconds duration) override { advance(duration); }

  void advance(Microseconds duration);
  // Jumps, also backwards; the steady clock does not notice.
  void set_wall(Microseconds wall_us) { wall_us_ = wall_us; }

 private:
  std::atomic<Microseconds> wall_us_{1'800'000'000'000'000};  // Some day in 2027.
  std::atomic<Microseconds> steady_us_{1'000'000};
};

}  // namespace inlet::sim
