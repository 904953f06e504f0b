// Goal: a bucket lets through what its limit says, to the unit, over any time; a wait it tells is
//   the true one; threads lose and gain nothing.
// Method: virtual time; random arrivals checked against the bound over all intervals; every wait
//   tried one microsecond early and on time; a day of steady flow counted; threads on one clock.

#include "serve/token_bucket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace inlet::serve {
namespace {

constexpr Microseconds us_per_s = 1'000'000;
constexpr Microseconds start_us = 123'456'789;

unsigned test_seed() {
  const unsigned seed = std::random_device()();
  std::printf("seed %u\n", seed);
  return seed;
}

TEST(TokenBucket, without_a_rate_nothing_is_limited) {
  TokenBucket bucket(0, 0, start_us);
  EXPECT_FALSE(bucket.limited());
  for (int i = 0; i < 1000; i++) EXPECT_EQ(bucket.take(start_us, 1'000'000), 0);
  bucket.charge(start_us, 1'000'000);
  bucket.give_back(5);
  EXPECT_EQ(bucket.take(start_us, 1), 0);
}

TEST(TokenBucket, starts_full_and_without_a_burst_of_its_own_holds_one_second) {
  TokenBucket bucket(3, 0, start_us);
  EXPECT_EQ(bucket.level(start_us), 3);
  for (int i = 0; i < 3; i++) EXPECT_EQ(bucket.take(start_us, 1), 0);
  EXPECT_EQ(bucket.level(start_us), 0);
  EXPECT_EQ(bucket.take(start_us, 1), 333'334);
  EXPECT_EQ(bucket.full_in_us(start_us), us_per_s);
  EXPECT_EQ(bucket.level(start_us + us_per_s / 2), 1);
}

TEST(TokenBucket, is_never_fuller_than_its_burst_however_long_it_was_idle) {
  TokenBucket bucket(1000, 10, start_us);
  const Microseconds later_us = start_us + 366LL * 86'400 * us_per_s;
  EXPECT_EQ(bucket.level(later_us), 10);
  for (int i = 0; i < 10; i++) EXPECT_EQ(bucket.take(later_us, 1), 0);
  EXPECT_GT(bucket.take(later_us, 1), 0);
}

TEST(TokenBucket, a_cost_above_the_burst_needs_a_full_bucket_and_leaves_a_debt) {
  TokenBucket bucket(100, 50, start_us);
  EXPECT_EQ(bucket.take(start_us, 1), 0);
  const Microseconds wait_us = bucket.take(start_us, 200);
  EXPECT_EQ(wait_us, 10'000);
  EXPECT_EQ(bucket.take(start_us + wait_us, 200), 0);
  EXPECT_EQ(bucket.level(start_us + wait_us), -150);
  EXPECT_EQ(bucket.take(start_us + wait_us, 1), 1'510'000);
}

TEST(TokenBucket, what_is_given_back_was_never_taken_and_makes_no_more_of_it) {
  TokenBucket bucket(10, 10, start_us);
  EXPECT_EQ(bucket.take(start_us, 7), 0);
  bucket.give_back(7);
  EXPECT_EQ(bucket.level(start_us), 10);
  EXPECT_EQ(bucket.take(start_us, 4), 0);
  bucket.give_back(4);
  bucket.give_back(4);  // One too many, and still no more than the burst.
  EXPECT_EQ(bucket.level(start_us), 10);
}

TEST(TokenBucket, a_debt_has_an_end_even_if_everything_is_charged_at_once) {
  TokenBucket bucket(1, 1, start_us);
  for (int i = 0; i < 100; i++) bucket.charge(start_us, UINT64_MAX);
  EXPECT_LT(bucket.level(start_us), 0);
  EXPECT_GT(bucket.take(start_us, 1), 0);
  EXPECT_EQ(bucket.take(start_us + bucket.full_in_us(start_us), 1), 0);
}

TEST(TokenBucket, a_rate_is_kept_as_it_is_or_rounded_down_by_31_millionths_at_most) {
  std::mt19937_64 random(test_seed());
  for (std::uint64_t rate = 1; rate <= 65'536; rate++) {
    ASSERT_EQ(TokenBucket(rate, 1, 0).rate_per_s(), rate);
  }
  for (int i = 0; i < 20'000; i++) {
    const std::uint64_t rate = 1 + random() % (TokenBucket::rate_per_s_max >> (random() % 20));
    const std::uint64_t kept = TokenBucket(rate, 1, 0).rate_per_s();
    ASSERT_LE(kept, rate);
    ASSERT_LE(static_cast<double>(rate - kept), 31e-6 * static_cast<double>(rate)) << rate;
  }
  EXPECT_EQ(TokenBucket(UINT64_MAX, 0, 0).rate_per_s(), TokenBucket::rate_per_s_max);
}

TEST(TokenBucket, over_a_day_of_demand_it_lets_through_exactly_what_the_rate_says) {
  for (const std::uint64_t rate : {1U, 3U, 7U, 33U, 1009U}) {
    TokenBucket bucket(rate, rate, 0);
    std::uint64_t taken = 0;
    Microseconds now_us = 0;
    const Microseconds end_us = 86'400 * us_per_s / static_cast<Microseconds>(rate);
    while (now_us <= end_us) {
      const Microseconds wait_us = bucket.take(now_us, 1);
      if (wait_us == 0) taken++;
      now_us += wait_us;
    }
    const std::uint64_t due = rate + static_cast<std::uint64_t>(end_us) * rate / us_per_s;
    EXPECT_EQ(taken, due) << rate;
  }
}

struct Taken {
  Microseconds at_us;
  std::uint64_t cost;
};

// Over every interval [i, j] of what was let through.
void expect_within(const TokenBucket& bucket, const std::vector<Taken>& taken) {
  const auto rate = static_cast<__int128>(bucket.rate_per_s());
  for (std::size_t i = 0; i < taken.size(); i++) {
    __int128 sum = 0;
    for (std::size_t j = i; j < taken.size(); j++) {
      sum += taken[j].cost;
      const __int128 came = rate * (taken[j].at_us - taken[i].at_us);
      const std::uint64_t above =
          taken[j].cost > bucket.burst() ? taken[j].cost - bucket.burst() : 0;
      ASSERT_LE((sum - bucket.burst() - above) * us_per_s, came) << i << ".." << j;
    }
  }
}

TEST(TokenBucket, over_any_interval_no_more_is_taken_than_burst_and_rate_allow) {
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 200; round++) {
    const std::uint64_t rate = 1 + random() % (std::uint64_t{1} << (random() % 34));
    const std::uint64_t burst = 1 + random() % (2 * rate);
    TokenBucket bucket(rate, burst, start_us);
    Microseconds now_us = start_us;
    std::vector<Taken> taken;
    for (int i = 0; i < 400; i++) {
      now_us += static_cast<Microseconds>(random() % 3 == 0 ? random() % us_per_s : random() % 100);
      const std::uint64_t cost = random() % 20 == 0 ? burst + random() % burst : random() % burst;
      const Microseconds wait_us = bucket.take(now_us, cost);
      if (wait_us == 0) {
        taken.push_back({now_us, cost});
        continue;
      }
      ASSERT_GT(bucket.take(now_us + wait_us - 1, cost), 0) << "came early";
      ASSERT_EQ(bucket.take(now_us + wait_us, cost), 0) << "did not come when it said";
      now_us += wait_us;
      taken.push_back({now_us, cost});
    }
    expect_within(bucket, taken);
  }
}

TEST(TokenBucket, works_the_same_when_its_time_wraps_around) {
  // The ticks pass 2^64 in the middle of this.
  const Microseconds wrap_us =
      static_cast<Microseconds>((std::uint64_t{1} << 63) / 65'521 * 2) - us_per_s;
  TokenBucket bucket(65'521, 10, wrap_us);
  Microseconds now_us = wrap_us;
  std::uint64_t taken = 0;
  while (now_us <= wrap_us + 2 * us_per_s) {
    const Microseconds wait_us = bucket.take(now_us, 1);
    if (wait_us == 0) taken++;
    now_us += wait_us;
  }
  EXPECT_EQ(taken, 10U + 2 * 65'521U);
}

TEST(TokenBucket, many_threads_take_together_exactly_what_one_could) {
  constexpr std::uint64_t rate = 10'007;
  constexpr std::uint64_t burst = 500;
  constexpr Microseconds end_us = 3 * us_per_s;
  TokenBucket bucket(rate, burst, 0);
  std::atomic<Microseconds> now_us{0};
  std::atomic<std::uint64_t> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      while (true) {
        const Microseconds at_us = now_us.fetch_add(7);
        if (at_us > end_us) return;
        const std::uint64_t cost = 1 + static_cast<std::uint64_t>(at_us) % 3;
        if (bucket.take(at_us, cost) == 0) taken += cost;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::uint64_t due = burst + rate * end_us / us_per_s;
  EXPECT_LE(taken, due);
  EXPECT_GE(taken + 4 + burst / 10, due);  // The demand was more than that all the time.
}

TEST(TokenBucket, what_many_threads_take_charge_and_give_back_adds_up) {
  TokenBucket bucket(1'000'000, 1'000'000, start_us);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&bucket] {
      for (int round = 0; round < 20'000; round++) {
        if (bucket.take(start_us, 3) == 0) bucket.give_back(2);
        bucket.charge(start_us, 5);
        bucket.give_back(5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bucket.level(start_us), 1'000'000 - 4 * 20'000);
}

}  // namespace
}  // namespace inlet::serve
