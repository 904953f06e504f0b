// random: the one source of chance in the simulated world, the same on every machine for a seed.
//
// The standard library's distributions may differ between implementations; a seed in seeds.txt must
// mean the same run everywhere. One thread.

#pragma once

#include <cstdint>

#include "base/check.h"

namespace inlet::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // SplitMix64.
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    return mixed ^ (mixed >> 31);
  }

  // Uniform in [0, end).
  std::uint64_t below(std::uint64_t end) {
    CHECK(end > 0);
    return next() % end;
  }

  bool chance(double probability) {
    return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
  }

 private:
  std::uint64_t state_;
};

}  // namespace inlet::sim
