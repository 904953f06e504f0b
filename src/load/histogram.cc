#include "load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace inlet::loader {

std::size_t Histogram::bucket_of(std::uint64_t value) {
  const auto width = static_cast<unsigned>(std::bit_width(value));
  const unsigned shift = width > precision_bits + 1 ? width - precision_bits - 1 : 0;
  return shift * buckets_per_octave + (value >> shift);
}

std::uint64_t Histogram::highest_in(std::size_t bucket) {
  if (bucket < 2 * buckets_per_octave) return bucket;
  const std::size_t shift = bucket / buckets_per_octave - 1;
  return ((bucket - shift * buckets_per_octave + 1) << shift) - 1;
}

void Histogram::record(Microseconds value_us) {
  const Microseconds value = std::clamp(value_us, Microseconds{0}, value_max_us);
  counts_[bucket_of(static_cast<std::uint64_t>(value))]++;
  count_++;
  min_us_ = std::min(min_us_, value);
  max_us_ = std::max(max_us_, value);
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < buckets; i++) counts_[i] += other.counts_[i];
  count_ += other.count_;
  min_us_ = std::min(min_us_, other.min_us_);
  max_us_ = std::max(max_us_, other.max_us_);
}

void Histogram::clear() { *this = Histogram(); }

Microseconds Histogram::percentile_us(double percent) const {
  if (count_ == 0) return 0;
  const double exact = std::ceil(percent / 100.0 * static_cast<double>(count_) - 1e-9);
  const auto rank =
      std::clamp<std::uint64_t>(exact < 1 ? 1 : static_cast<std::uint64_t>(exact), 1, count_);
  std::uint64_t passed = 0;
  std::size_t bucket = 0;
  while (passed + counts_[bucket] < rank) passed += counts_[bucket++];
  CHECK(bucket < buckets);
  return std::min(static_cast<Microseconds>(highest_in(bucket)), max_us_);
}

}  // namespace inlet::loader
