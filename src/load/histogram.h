// histogram: counts of durations in buckets that grow with the value, for exact merging.
//
// Values below 256 us have a bucket each; above, each power of two has 128 buckets, so a percentile
// is at most 1/128 (0.8 %) above the true value and never below it. Fixed size, no allocation.
//
// One thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace inlet::loader {

class Histogram {
 public:
  static constexpr Microseconds value_max_us = (Microseconds{1} << 36) - 1;  // 19 hours.

  // Values outside 0..value_max_us count as the nearer end.
  void record(Microseconds value_us);
  void merge(const Histogram& other);
  void clear();

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Microseconds min_us() const { return count_ == 0 ? 0 : min_us_; }
  [[nodiscard]] Microseconds max_us() const { return max_us_; }

  // The smallest recorded value that `percent` of all values do not exceed; 0 if there are none.
  [[nodiscard]] Microseconds percentile_us(double percent) const;

 private:
  static constexpr unsigned precision_bits = 7;
  static constexpr std::size_t buckets_per_octave = std::size_t{1} << precision_bits;
  static constexpr std::size_t buckets = (36 - precision_bits + 1) * buckets_per_octave;

  static std::size_t bucket_of(std::uint64_t value);
  static std::uint64_t highest_in(std::size_t bucket);

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
  Microseconds min_us_ = value_max_us;
  Microseconds max_us_ = 0;
};

}  // namespace inlet::loader
