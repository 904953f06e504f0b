#include "health/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace inlet::health {
namespace {

constexpr Microseconds minute_us = 60'000'000;

// Adds the n-th second to a minute's gauges.
void fold(Gauges& minute, const Gauges& second, std::size_t n) {
  const auto worse = [](std::optional<double>& worst, const std::optional<double>& next) {
    if (next && (!worst || *next > *worst)) worst = next;
  };
  if (n == 1) {
    minute = second;
    return;
  }
  if (minute.cpu_percent && second.cpu_percent) {
    *minute.cpu_percent += (*second.cpu_percent - *minute.cpu_percent) / static_cast<double>(n);
  } else if (second.cpu_percent) {
    minute.cpu_percent = second.cpu_percent;
  }
  worse(minute.load1, second.load1);
  worse(minute.memory_percent, second.memory_percent);
  worse(minute.disk_percent, second.disk_percent);
  minute.journal_percent = std::max(minute.journal_percent, second.journal_percent);
  minute.sink_lag_s = std::max(minute.sink_lag_s, second.sink_lag_s);
  minute.level = std::max(minute.level, second.level);
}

void append_number(std::string& out, std::string_view name, const std::optional<double>& value) {
  if (!value || !std::isfinite(*value)) {
    fmt::format_to(std::back_inserter(out), R"("{}":null,)", name);
  } else {
    fmt::format_to(std::back_inserter(out), R"("{}":{:.2f},)", name, *value);
  }
}

}  // namespace

void Window::tick(Microseconds steady_us, const Totals& totals, Microseconds wall_us,
                  const Gauges& gauges) {
  const std::lock_guard lock(mutex_);
  if (started_) {
    CHECK(steady_us >= last_us_);
    const Interval second = between(last_, totals, steady_us - last_us_);
    seconds_.push_back(pack(second, wall_us, gauges));
    if (seconds_.size() > window_seconds_kept) seconds_.pop_front();
    minute_.merge(second);
    fold(minute_gauges_, gauges, ++minute_ticks_);
    if (minute_.length_us >= minute_us) {
      minutes_.push_back(pack(minute_, wall_us, minute_gauges_));
      if (minutes_.size() > window_minutes_kept) minutes_.pop_front();
      minute_ = {};
      minute_ticks_ = 0;
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

std::vector<Point> Window::seconds() const {
  const std::lock_guard lock(mutex_);
  return points(seconds_);
}

std::vector<Point> Window::minutes() const {
  const std::lock_guard lock(mutex_);
  return points(minutes_);
}

std::vector<Point> Window::points(const std::deque<Slot>& slots) const {
  std::vector<Point> out;
  out.reserve(slots.size());
  for (const Slot& slot : slots) out.push_back({slot.ended_us, unpack(slot), slot.gauges});
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

Window::Slot Window::pack(const Interval& interval, Microseconds ended_us, const Gauges& gauges) {
  return {.length_us = interval.length_us,
          .ended_us = ended_us,
          .gauges = gauges,
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

void append_json(std::string& out, const Point& point) {
  fmt::format_to(std::back_inserter(out), R"({{"at":{},"interval":)", point.ended_us / 1'000'000);
  append_json(out, point.interval);
  out += R"(,"gauges":{)";
  append_number(out, "cpu_percent", point.gauges.cpu_percent);
  append_number(out, "load1", point.gauges.load1);
  append_number(out, "memory_percent", point.gauges.memory_percent);
  append_number(out, "disk_percent", point.gauges.disk_percent);
  append_number(out, "journal_percent", point.gauges.journal_percent);
  append_number(out, "sink_lag_s", point.gauges.sink_lag_s);
  fmt::format_to(std::back_inserter(out), R"("level":{}}}}})",
                 static_cast<int>(point.gauges.level));
}

}  // namespace inlet::health
