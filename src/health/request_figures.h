// request_figures: what one event loop counts of the requests it answered.
//
// One per loop, written by that loop only, read by any thread.

#pragma once

#include <array>
#include <cstddef>

#include "health/latency_histogram.h"

namespace inlet::health {

struct alignas(64) RequestFigures {
  // Answers by the first digit of their status; [0] is any that is none.
  std::array<Counter, 6> answers;
  LatencyRecorder latency;

  void answered(int status, Microseconds took_us) {
    const int first = status / 100;
    answers[first >= 1 && first <= 5 ? static_cast<std::size_t>(first) : 0].add();
    latency.record(took_us);
  }
};

}  // namespace inlet::health
