// window: what happened in the last ten seconds, minute or hour.
//
// Once a second the totals are looked at and the difference is kept: the last 60 as they are, the
// last hour folded by the minute. Of histograms only buckets that are not empty are kept, so a node
// at rest needs nearly nothing, and none more than window_bytes_max.
//
// Threads: tick() by one, over() by any.

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "health/totals.h"

namespace inlet::health {

inline constexpr std::size_t window_seconds_kept = 60;  // Ticks, to be precise.
inline constexpr std::size_t window_minutes_kept = 60;

class Window {
 public:
  // At about one-second steps; the first only sets the start. `steady_us` never goes back.
  void tick(Microseconds steady_us, const Totals& totals);

  // The newest ticks that together are at least so long, up to an hour: the interval says how long
  // it really is, which is shorter only if there is no more, and up to a minute longer where
  // minutes were folded.
  [[nodiscard]] Interval over(Microseconds length_us) const;

 private:
  struct BucketCount {
    std::uint32_t bucket;
    std::uint32_t count;  // Of a minute at most; more than 2^32 counts as 2^32 - 1.
  };
  struct Packed {
    std::vector<BucketCount> counts;
    std::uint64_t sum_us = 0;
  };
  struct Slot {
    Microseconds length_us = 0;
    std::array<std::uint64_t, flows> counts{};
    Packed request_latency;
    Packed commit_latency;
  };

  static Packed pack(const LatencyHistogram& histogram);
  static LatencyHistogram unpack(const Packed& packed);
  static Slot pack(const Interval& interval);
  static Interval unpack(const Slot& slot);

  mutable std::mutex mutex_;  // Guards all below.
  bool started_ = false;
  Microseconds last_us_ = 0;
  Totals last_;
  std::deque<Slot> seconds_;  // Newest at the back.
  Interval minute_;           // Being folded.
  std::deque<Slot> minutes_;
};

// The worst case: every bucket used in every slot.
inline constexpr std::size_t window_bytes_max =
    (window_seconds_kept + window_minutes_kept) * (2 * LatencyHistogram::buckets * 8 + 256) +
    sizeof(Window);
static_assert(window_bytes_max < (2U << 20));

}  // namespace inlet::health
