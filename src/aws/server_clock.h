// server_clock: the time as the other side sees it: our clock, and how far it was found to be off.
//
// Requests are signed with a time, and refused if it is off by more than some minutes. A node whose
// clock is wrong must still deliver.
//
// One thread.

#pragma once

#include <cstdlib>

#include "base/time.h"

namespace inlet::aws {

class ServerClock {
 public:
  explicit ServerClock(Clock& clock) : clock_(clock) {}

  [[nodiscard]] Microseconds wall_us() { return clock_.wall_us() + skew_us_; }
  [[nodiscard]] Microseconds steady_us() { return clock_.steady_us(); }

  // What the other side said its time is. Small differences are the way's, and nothing is changed;
  // returns whether it was.
  bool correct(Microseconds said_us) {
    if (std::abs(said_us - wall_us()) <= tolerance_us) return false;
    skew_us_ = said_us - clock_.wall_us();
    return true;
  }

  static constexpr Microseconds tolerance_us = 300'000'000;

 private:
  Clock& clock_;
  Microseconds skew_us_ = 0;
};

}  // namespace inlet::aws
