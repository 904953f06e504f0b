// histogram: counts of durations in buckets that grow with the value, for exact merging.
//
// A bucket holds the whole microseconds above its lower bound, up to and with its upper bound.
// Values up to 2^(precision_bits + 1) have a bucket each (0 shares that of 1); above, each power of
// two has 2^precision_bits buckets. A percentile is the upper bound of the bucket it falls into: at
// most 1/2^precision_bits above the true value and never below it.
//
// Invariant: merging histograms gives what recording all their values in one would have given,
// whatever the order. Fixed size, no allocation.
//
// One thread.

#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/time.h"

namespace inlet {

template <unsigned precision_bits, unsigned value_bits>
class Histogram {
 public:
  static constexpr Microseconds value_max_us = Microseconds{1} << value_bits;
  static constexpr std::size_t buckets_per_octave = std::size_t{1} << precision_bits;
  static constexpr std::size_t buckets = (value_bits - precision_bits + 1) * buckets_per_octave;
  using Counts = std::array<std::uint64_t, buckets>;

  // Values outside 0..value_max_us count as the nearer end.
  static constexpr std::size_t bucket_of(Microseconds value_us) {
    const Microseconds value = std::clamp(value_us, Microseconds{1}, value_max_us) - 1;
    const auto below = static_cast<std::uint64_t>(value);
    const auto width = static_cast<unsigned>(std::bit_width(below));
    const unsigned shift = width > precision_bits + 1 ? width - precision_bits - 1 : 0;
    return shift * buckets_per_octave + (below >> shift);
  }
  static constexpr Microseconds highest_in(std::size_t bucket) {
    if (bucket < 2 * buckets_per_octave) return static_cast<Microseconds>(bucket + 1);
    const std::size_t shift = bucket / buckets_per_octave - 1;
    return static_cast<Microseconds>((bucket - shift * buckets_per_octave + 1) << shift);
  }
  static constexpr Microseconds lowest_in(std::size_t bucket) {
    return bucket == 0 ? 0 : highest_in(bucket - 1) + 1;
  }

  Histogram() = default;
  // Of values counted elsewhere: the least and the greatest are known to their bucket's bounds.
  Histogram(const Counts& counts, std::uint64_t sum_us) : counts_(counts), sum_us_(sum_us) {
    find_ends();
  }

  void record(Microseconds value_us) {
    const Microseconds value = std::clamp(value_us, Microseconds{0}, value_max_us);
    counts_[bucket_of(value)]++;
    count_++;
    sum_us_ += static_cast<std::uint64_t>(value);
    min_us_ = std::min(min_us_, value);
    max_us_ = std::max(max_us_, value);
  }

  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < buckets; i++) counts_[i] += other.counts_[i];
    count_ += other.count_;
    sum_us_ += other.sum_us_;
    min_us_ = std::min(min_us_, other.min_us_);
    max_us_ = std::max(max_us_, other.max_us_);
  }

  // What was recorded since this histogram was `earlier`.
  [[nodiscard]] Histogram since(const Histogram& earlier) const {
    Histogram out;
    for (std::size_t i = 0; i < buckets; i++) {
      CHECK(counts_[i] >= earlier.counts_[i]);
      out.counts_[i] = counts_[i] - earlier.counts_[i];
    }
    out.sum_us_ = sum_us_ - earlier.sum_us_;
    out.find_ends();
    return out;
  }

  void clear() { *this = Histogram(); }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t sum_us() const { return sum_us_; }
  [[nodiscard]] Microseconds min_us() const { return count_ == 0 ? 0 : min_us_; }
  [[nodiscard]] Microseconds max_us() const { return max_us_; }
  [[nodiscard]] const Counts& counts() const { return counts_; }

  // How many values do not exceed `value_us`; exact if that is some bucket's upper bound.
  [[nodiscard]] std::uint64_t count_up_to(Microseconds value_us) const {
    std::uint64_t passed = 0;
    for (std::size_t i = 0; i <= bucket_of(value_us); i++) passed += counts_[i];
    return passed;
  }

  // The smallest recorded value that `percent` of all values do not exceed; 0 if there are none.
  [[nodiscard]] Microseconds percentile_us(double percent) const {
    if (count_ == 0) return 0;
    const double exact = std::ceil(percent / 100.0 * static_cast<double>(count_) - 1e-9);
    const auto rank =
        std::clamp<std::uint64_t>(exact < 1 ? 1 : static_cast<std::uint64_t>(exact), 1, count_);
    std::uint64_t passed = 0;
    std::size_t bucket = 0;
    while (passed + counts_[bucket] < rank) passed += counts_[bucket++];
    CHECK(bucket < buckets);
    return std::min(highest_in(bucket), max_us_);
  }

  bool operator==(const Histogram&) const = default;

 private:
  void find_ends() {
    for (std::size_t i = 0; i < buckets; i++) {
      if (counts_[i] == 0) continue;
      if (count_ == 0) min_us_ = lowest_in(i);
      count_ += counts_[i];
      max_us_ = highest_in(i);
    }
  }

  Counts counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_us_ = 0;
  Microseconds min_us_ = value_max_us;
  Microseconds max_us_ = 0;
};

}  // namespace inlet
