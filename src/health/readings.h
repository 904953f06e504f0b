// readings: figures of a node made into what the status rules judge.
//
// Here is decided when a figure says too little to be judged (a share of two requests, the time
// until an empty journal is full). Pure; any thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "health/host_figures.h"
#include "health/status_rules.h"
#include "health/totals.h"

namespace inlet::health {

struct SinkState {
  std::string name;
  double lag_s = 0;
  std::optional<double> silent_s;        // Empty: its shipper never wrote a status.
  std::optional<double> failing_s = {};  // Empty: its last attempt did not fail.
  std::string error = {};                // Of that attempt.
  std::uint64_t dead_records_last_hour = 0;
};

struct CertificateState {
  std::string name;
  double days_left;
};

struct NodeState {
  const Interval& minute;
  const HostFigures& host;
  std::string refusing = {};                     // "": records are taken; else why not: "full".
  std::uint64_t journal_used_bytes = 0;          // Undelivered.
  std::uint64_t journal_capacity_bytes = 0;      //
  std::optional<double> journal_full_in_s = {};  // Empty or infinite: it does not fill.
  std::uint64_t damaged_records = 0;
  std::vector<SinkState> sinks = {};
  std::uint64_t client_memory_bytes = 0;
  std::uint64_t client_memory_max_bytes = 0;
  bool draining = false;
  std::optional<double> keys_stale_s = {};  // Empty: the keys are fresh, or there are none.
  std::vector<CertificateState> certificates = {};
  std::uint64_t healthd_dropped_last_hour = 0;
};

// 0 of nothing.
[[nodiscard]] double percent_of(std::uint64_t part, std::uint64_t whole);

[[nodiscard]] std::vector<Reading> readings_of(const NodeState& node);

}  // namespace inlet::health
