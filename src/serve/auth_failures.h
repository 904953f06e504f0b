// auth_failures: tells those who keep failing to slow down, per address, in fixed memory.
//
// Each address may fail `burst` times at once and once per `interval_us` from then on; a failure
// beyond is answered 429 with Retry-After instead of 401. A key that is right is never asked about
// here, so nobody is locked out by what others behind the same address do. Guessing is hopeless
// anyhow (160 bits); this keeps retry loops of misconfigured clients visible and cheap.
//
// An IPv6 address counts as its /64, which is what one customer is given. Where more addresses fail
// at the same time than there is room for, those that owe least are forgotten.
//
// Any thread, without locks: the state of an address is one word.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace inlet::serve {

struct AuthFailureOptions {
  std::uint32_t burst = 20;              // 1 to auth_failure_burst_max.
  Microseconds interval_us = 1'000'000;  // 1 ms to auth_failure_interval_us_max.
  std::size_t addresses = 8192;          // Remembered at once; 8 bytes each.
};
inline constexpr std::uint32_t auth_failure_burst_max = 10'000;
inline constexpr Microseconds auth_failure_interval_us_max = 3'600'000'000;

class AuthFailures {
 public:
  // `seed` is random, so that nobody can choose addresses that share a place.
  AuthFailures(AuthFailureOptions options, std::uint64_t seed);

  // That address failed. 0: answer 401. Else answer 429 and this Retry-After.
  [[nodiscard]] std::uint32_t retry_after_s(std::string_view peer, Microseconds steady_us);

 private:
  static constexpr std::size_t ways = 8;
  struct alignas(64) Set {
    std::atomic<std::uint64_t> slots[ways];
  };

  const std::uint64_t interval_ms_;
  const std::uint64_t tolerance_ms_;  // How far ahead of now an address may be.
  const std::uint64_t seed_;
  std::vector<Set> sets_;  // A power of two of them.
};

}  // namespace inlet::serve
