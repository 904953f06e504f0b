#include "serve/token_bucket.h"

#include <algorithm>
#include <numeric>

namespace inlet::serve {
namespace {

constexpr std::uint64_t us_per_s = 1'000'000;  // 2^6 * 5^6
constexpr std::uint64_t ticks_per_us_max = 65'536;
constexpr std::int64_t ahead_ticks_max = std::int64_t{1} << 62;

// A unit is 1e6 / rate microseconds: with the fraction in lowest terms, p / q, a tick of 1 / q us
// measures both. The largest rate up to the one asked for that needs no finer tick.
std::uint64_t rate_with_ticks(std::uint64_t rate_per_s) {
  std::uint64_t best = 0;
  for (std::uint64_t twos = 1; twos <= 64; twos *= 2) {
    for (std::uint64_t divisor = twos; divisor <= us_per_s; divisor *= 5) {
      if (us_per_s % divisor != 0) break;
      const std::uint64_t rate = rate_per_s - rate_per_s % divisor;
      if (rate / std::gcd(rate, us_per_s) <= ticks_per_us_max) best = std::max(best, rate);
    }
  }
  return best;
}

}  // namespace

TokenBucket::TokenBucket(std::uint64_t rate_per_s, std::uint64_t burst, Microseconds now_us)
    : rate_per_s_(rate_with_ticks(std::min(rate_per_s, rate_per_s_max))),
      burst_(std::min(burst == 0 ? rate_per_s_ : burst, units_max)) {
  if (rate_per_s_ != 0) {
    const std::uint64_t common = std::gcd(rate_per_s_, us_per_s);
    ticks_per_us_ = rate_per_s_ / common;
    ticks_per_unit_ = us_per_s / common;
  }
  full_at_.store(ticks(now_us), std::memory_order_relaxed);
}

std::int64_t TokenBucket::ahead(std::uint64_t full_at, std::uint64_t now) const {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(full_at - now));
}

Microseconds TokenBucket::us_for(std::int64_t ticks) const {
  const auto each = static_cast<std::int64_t>(ticks_per_us_);
  return (ticks + each - 1) / each;
}

Microseconds TokenBucket::take(Microseconds now_us, std::uint64_t cost) {
  if (!limited()) return 0;
  const std::uint64_t now = ticks(now_us);
  const auto full = static_cast<std::int64_t>(burst_ * ticks_per_unit_);
  const auto needed = static_cast<std::int64_t>(std::min(cost, burst_) * ticks_per_unit_);
  const std::uint64_t taken = std::min(cost, units_max) * ticks_per_unit_;
  std::uint64_t full_at = full_at_.load(std::memory_order_relaxed);
  while (true) {
    const std::int64_t used = ahead(full_at, now);
    const std::int64_t lacking = used + needed - full;
    if (lacking > 0) return us_for(lacking);
    const std::uint64_t later = now + static_cast<std::uint64_t>(used) + taken;
    if (full_at_.compare_exchange_weak(full_at, later, std::memory_order_relaxed)) return 0;
  }
}

void TokenBucket::charge(Microseconds now_us, std::uint64_t cost) {
  if (!limited() || cost == 0) return;
  const std::uint64_t now = ticks(now_us);
  const auto taken = static_cast<std::int64_t>(std::min(cost, units_max) * ticks_per_unit_);
  std::uint64_t full_at = full_at_.load(std::memory_order_relaxed);
  while (true) {
    const std::int64_t used = std::min(ahead(full_at, now), ahead_ticks_max - taken);
    const std::uint64_t later = now + static_cast<std::uint64_t>(used + taken);
    if (full_at_.compare_exchange_weak(full_at, later, std::memory_order_relaxed)) return;
  }
}

void TokenBucket::give_back(std::uint64_t cost) {
  if (!limited()) return;
  full_at_.fetch_sub(std::min(cost, units_max) * ticks_per_unit_, std::memory_order_relaxed);
}

std::int64_t TokenBucket::level(Microseconds now_us) const {
  const std::int64_t used = ahead(full_at_.load(std::memory_order_relaxed), ticks(now_us));
  const auto each = static_cast<std::int64_t>(ticks_per_unit_);
  return static_cast<std::int64_t>(burst_) - (used + each - 1) / each;
}

Microseconds TokenBucket::full_in_us(Microseconds now_us) const {
  return us_for(ahead(full_at_.load(std::memory_order_relaxed), ticks(now_us)));
}

}  // namespace inlet::serve
