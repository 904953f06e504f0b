// pacing: when requests should leave, independent of how the server is doing.
//
// Poisson spacing is what many independent clients look like; even spacing is kinder and shows the
// server alone. The schedule depends on rate and seed only, so a run can be repeated.
//
// One thread.

#pragma once

#include <cstdint>
#include <random>

#include "base/time.h"

namespace inlet::loader {

enum class Pacing : unsigned char { poisson, even };

class Pacer {
 public:
  struct Options {
    double rate_per_s;  // Above 0.
    Pacing pacing = Pacing::poisson;
    std::uint64_t seed = 0;
  };
  explicit Pacer(Options options);

  // When the next request is due, from the start of the schedule. Never goes back.
  [[nodiscard]] Microseconds next();

 private:
  const double interval_us_;
  const Pacing pacing_;
  std::mt19937_64 random_;
  double at_us_ = 0;
};

}  // namespace inlet::loader
