// totals: what a node has counted since it started, and what happened between two looks at it.
//
// Whoever collects (serve) fills Totals; window.h, the status rules and the CloudWatch writers live
// on differences of two. Pure; one thread each.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "health/latency_histogram.h"
#include "health/request_figures.h"

namespace inlet::health {

// What flows: counts that only go up.
enum class Flow : std::uint8_t {
  answers_2xx,
  answers_3xx,
  answers_4xx,
  answers_5xx,
  records,            // Acknowledged.
  body_bytes,         // Of those.
  received_bytes,     // Read from clients.
  commits,            // Flushed writes.
  commits_failed,     //
  dead_records,       // Set aside by all sinks.
  network_in_bytes,   // Of the host's interfaces,
  network_out_bytes,  // but the loopback.
};
inline constexpr std::size_t flows = 12;

struct Totals {
  std::array<std::uint64_t, flows> counts{};
  LatencyHistogram request_latency;
  LatencyHistogram commit_latency;

  [[nodiscard]] std::uint64_t& operator[](Flow flow) {
    return counts[static_cast<std::size_t>(flow)];
  }
  [[nodiscard]] std::uint64_t operator[](Flow flow) const {
    return counts[static_cast<std::size_t>(flow)];
  }

  // Adds one loop's share of answers and latency.
  void add(const RequestFigures& loop);
  void merge(const Totals& other);
};

struct Interval {
  Microseconds length_us = 0;
  Totals totals;

  [[nodiscard]] std::uint64_t operator[](Flow flow) const { return totals[flow]; }
  [[nodiscard]] std::uint64_t requests() const;
  // Per second; 0 for an interval of no length.
  [[nodiscard]] double rate(Flow flow) const;
  [[nodiscard]] double request_rate() const;
  void merge(const Interval& later);
};

// What happened between two looks, the earlier `length_us` before the later. A count that fell (an
// interface went away, a sink started anew) counts as nothing.
[[nodiscard]] Interval between(const Totals& earlier, const Totals& later, Microseconds length_us);

// `{"length_s":10.0,"requests":…,"requests_per_s":…,"2xx":…,"3xx":…,"4xx":…,"5xx":…,
//   "records":…,"body_bytes":…,"received_bytes":…,"commits":…,"network_in_bytes":…,
//   "network_out_bytes":…,
//   "records_per_s":…,"body_bytes_per_s":…,"received_bytes_per_s":…,"commits_per_s":…,
//   "commits_failed":…,"dead_records":…,"network_in_bytes_per_s":…,"network_out_bytes_per_s":…,
//   "latency_us":{…},"commit_latency_us":{…}}`, the last two as in latency_histogram.h.
void append_json(std::string& out, const Interval& interval);

}  // namespace inlet::health
