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
#include <optional>
#include <string>
#include <vector>

#include "health/status_rules.h"
#include "health/totals.h"

namespace inlet::health {

inline constexpr std::size_t window_seconds_kept = 60;  // Ticks, to be precise.
inline constexpr std::size_t window_minutes_kept = 60;

// What does not flow: how things stood. Empty: it could not be read.
struct Gauges {
  std::optional<double> cpu_percent;  // Without waiting for the disk.
  std::optional<double> load1;
  std::optional<double> memory_percent;
  std::optional<double> disk_percent;
  double journal_percent = 0;
  double sink_lag_s = 0;  // Of the sink furthest behind.
  Level level = Level::ok;
};

// A second, or a minute: then its CPU is the mean and all else the worst of its seconds.
struct Point {
  Microseconds ended_us;  // On the wall clock.
  Interval interval;
  Gauges gauges;
};

class Window {
 public:
  // At about one-second steps; the first only sets the start. `steady_us` never goes back.
  void tick(Microseconds steady_us, const Totals& totals, Microseconds wall_us = 0,
            const Gauges& gauges = {});

  // The newest ticks that together are at least so long, up to an hour: the interval says how long
  // it really is, which is shorter only if there is no more, and up to a minute longer where
  // minutes were folded.
  [[nodiscard]] Interval over(Microseconds length_us) const;

  // All that is kept, oldest first; of minutes, those that are over.
  [[nodiscard]] std::vector<Point> seconds() const;
  [[nodiscard]] std::vector<Point> minutes() const;

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
    Microseconds ended_us = 0;
    Gauges gauges;
    std::array<std::uint64_t, flows> counts{};
    Packed request_latency;
    Packed commit_latency;
  };

  static Packed pack(const LatencyHistogram& histogram);
  static LatencyHistogram unpack(const Packed& packed);
  static Slot pack(const Interval& interval, Microseconds ended_us, const Gauges& gauges);
  static Interval unpack(const Slot& slot);
  [[nodiscard]] std::vector<Point> points(const std::deque<Slot>& slots) const;

  mutable std::mutex mutex_;  // Guards all below.
  bool started_ = false;
  Microseconds last_us_ = 0;
  Totals last_;
  std::deque<Slot> seconds_;  // Newest at the back.
  Interval minute_;           // Being folded.
  Gauges minute_gauges_;
  std::size_t minute_ticks_ = 0;
  std::deque<Slot> minutes_;
};

// The worst case: every bucket used in every slot.
inline constexpr std::size_t window_bytes_max =
    (window_seconds_kept + window_minutes_kept) * (2 * LatencyHistogram::buckets * 8 + 512) +
    sizeof(Window);
static_assert(window_bytes_max < (2U << 20));

// `{"at":1763892000,"interval":{…},"gauges":{"cpu_percent":…,"load1":…,"memory_percent":…,
//   "disk_percent":…,"journal_percent":…,"sink_lag_s":…,"level":0}}`: seconds since 1970 at its
// end; what could not be read is null; levels count from Ok.
void append_json(std::string& out, const Point& point);

}  // namespace inlet::health
