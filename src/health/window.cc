#include "health/window.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace inlet::health {
namespace {

constexpr Microseconds minute_us = 60'000'000;

}  // namespace

void Window::tick(Microseconds steady_us, const Totals& totals) {
  const std::lock_guard lock(mutex_);
  if (started_) {
    CHECK(steady_us >= last_us_);
    const Interval second = between(last_, totals, steady_us - last_us_);
    seconds_.push_back(pack(second));
    if (seconds_.size() > window_seconds_kept) seconds_.pop_front();
    minute_.merge(second);
    if (minute_.length_us >= minute_us) {
      minutes_.push_back(pack(minute_));
      if (minutes_.size() > window_minutes_kept) minutes_.pop_front();
      minute_ = {};
    }
  }
  started_ = true;
  last_us_ = steady_us;
  last_ = totals;
}

Interval Window::over(Microseconds length_us) const {
  const std::lock_guard lock(mutex_);
  Interval out;
  const auto add_newest = [&](const std::deque<Slot>& slots) {
    for (auto slot = slots.rbegin(); slot != slots.rend() && out.length_us < length_us; slot++) {
      out.merge(unpack(*slot));
    }
  };
  if (length_us <= minute_us) {
    add_newest(seconds_);
  } else {
    out = minute_;
    add_newest(minutes_);
  }
  return out;
}

Window::Packed Window::pack(const LatencyHistogram& histogram) {
  Packed out{.sum_us = histogram.sum_us()};
  const auto used = std::ranges::count_if(histogram.counts(), [](auto n) { return n != 0; });
  out.counts.reserve(static_cast<std::size_t>(used));
  for (std::size_t i = 0; i < LatencyHistogram::buckets; i++) {
    const std::uint64_t count = histogram.counts()[i];
    if (count == 0) continue;
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
    out.counts.push_back(
        {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(std::min(count, most))});
  }
  return out;
}

LatencyHistogram Window::unpack(const Packed& packed) {
  LatencyHistogram::Counts counts{};
  for (const BucketCount& entry : packed.counts) counts[entry.bucket] = entry.count;
  return {counts, packed.sum_us};
}

Window::Slot Window::pack(const Interval& interval) {
  return {.length_us = interval.length_us,
          .counts = interval.totals.counts,
          .request_latency = pack(interval.totals.request_latency),
          .commit_latency = pack(interval.totals.commit_latency)};
}

Interval Window::unpack(const Slot& slot) {
  return {.length_us = slot.length_us,
          .totals = {.counts = slot.counts,
                     .request_latency = unpack(slot.request_latency),
                     .commit_latency = unpack(slot.commit_latency)}};
}

}  // namespace inlet::health
