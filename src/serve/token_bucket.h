// token_bucket: so many units a second, and a burst at once; one atomic word, any thread.
//
// The generic cell rate algorithm (ITU-T I.371, annex A): kept is the one moment at which the
// bucket is full again. Time is counted in ticks of which a microsecond and a unit are both whole
// numbers, so nothing is ever rounded away and nothing drifts.
//
// Invariants:
//   - over any interval T at most burst + rate * T units are taken and kept, and what one cost
//     above the burst was above it.
//   - a refused cost succeeds at the moment that was told and not before, if nobody else takes any.
//
// A cost above the burst is let through when the bucket is full and leaves a debt.

#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace inlet::serve {

class TokenBucket {
 public:
  static constexpr std::uint64_t rate_per_s_max = 65'536'000'000;
  static constexpr std::uint64_t units_max = std::uint64_t{1} << 40;  // Burst, or one cost.

  // Starts full. rate_per_s 0: no limit. burst 0: what comes in in one second.
  TokenBucket(std::uint64_t rate_per_s, std::uint64_t burst, Microseconds now_us);
  TokenBucket(const TokenBucket&) = delete;
  TokenBucket& operator=(const TokenBucket&) = delete;

  // 0: taken. Else nothing was taken, and this many microseconds have to pass.
  [[nodiscard]] Microseconds take(Microseconds now_us, std::uint64_t cost);
  // Takes what was used already, if need be as a debt.
  void charge(Microseconds now_us, std::uint64_t cost);
  // Undoes a take() or a charge(), best at once: what has come in again meanwhile is not undone.
  void give_back(std::uint64_t cost);

  // Units there are; negative: a debt.
  [[nodiscard]] std::int64_t level(Microseconds now_us) const;
  [[nodiscard]] Microseconds full_in_us(Microseconds now_us) const;

  [[nodiscard]] bool limited() const { return rate_per_s_ != 0; }
  // As asked for, but above 65,536/s rounded down to what has an exact tick: by 31 millionths at
  // most.
  [[nodiscard]] std::uint64_t rate_per_s() const { return rate_per_s_; }
  [[nodiscard]] std::uint64_t burst() const { return burst_; }

 private:
  [[nodiscard]] std::uint64_t ticks(Microseconds now_us) const {
    return static_cast<std::uint64_t>(now_us) * ticks_per_us_;
  }
  // How far ahead of now the moment is at which the bucket is full.
  [[nodiscard]] std::int64_t ahead(std::uint64_t full_at, std::uint64_t now) const;
  [[nodiscard]] Microseconds us_for(std::int64_t ticks) const;

  std::uint64_t rate_per_s_;
  std::uint64_t burst_;
  std::uint64_t ticks_per_us_ = 1;
  std::uint64_t ticks_per_unit_ = 1;
  // Modulo 2^64: idle for less than four years is told from busy.
  std::atomic<std::uint64_t> full_at_;
};

}  // namespace inlet::serve
