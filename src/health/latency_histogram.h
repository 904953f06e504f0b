// latency_histogram: how long things took, counted by one thread and read by any.
//
// 896 buckets from 1 us to 71 minutes, each at most 1/32 wide (base/histogram.h): 7 KiB. Recording
// is two plain increments. Snapshots of several recorders, and of several nodes, merge exactly.

#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/counter.h"
#include "base/histogram.h"

namespace inlet::health {

using LatencyHistogram = Histogram<5, 32>;

// One writer.
class alignas(64) LatencyRecorder {
 public:
  void record(Microseconds took_us) {
    counts_[LatencyHistogram::bucket_of(took_us)].add();
    if (took_us > 0) sum_us_.add(static_cast<std::uint64_t>(took_us));
  }

  // Values recorded meanwhile are in it or not. Any thread.
  [[nodiscard]] LatencyHistogram snapshot() const;

 private:
  std::array<Counter, LatencyHistogram::buckets> counts_;
  Counter sum_us_;
};
static_assert(sizeof(LatencyRecorder) <= 8192);

// What health views show.
struct Quantile {
  std::string_view name;
  double percent;
};
inline constexpr std::array<Quantile, 8> quantiles = {{{"p10", 10},
                                                       {"p50", 50},
                                                       {"p75", 75},
                                                       {"p85", 85},
                                                       {"p90", 90},
                                                       {"p95", 95},
                                                       {"p99", 99},
                                                       {"p99.9", 99.9}}};

// The bounds of the Prometheus histogram: two in each power of two from 64 us to 67 s. All are
// bounds of our buckets, so that what is counted below them is exact.
inline constexpr unsigned first_bound_bits = 6;
inline constexpr unsigned last_bound_bits = 26;
inline constexpr auto latency_bounds_us = [] {
  std::array<Microseconds, 2 * (last_bound_bits - first_bound_bits) + 1> bounds{};
  for (std::size_t i = 0; i < bounds.size(); i++) {
    const Microseconds octave = Microseconds{1} << (first_bound_bits + i / 2);
    bounds[i] = i % 2 == 0 ? octave : octave + octave / 2;
  }
  return bounds;
}();

// `{"count":3,"sum_us":12,"p10":…,…,"p99.9":…,"buckets":[[4,3]]}`: microseconds; the pairs are the
// number and the count of each bucket that is not empty, from which others merge exactly.
void append_json(std::string& out, const LatencyHistogram& histogram);

}  // namespace inlet::health
