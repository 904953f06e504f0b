// Goal: an address may fail a few times at once and then at a fixed rate; others are not concerned;
//   memory is fixed.
// Method: time by hand, the reference a counter of tokens; many addresses and threads.

#include "serve/auth_failures.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>

namespace inlet::serve {
namespace {

constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds start_us = 12'345 * second_us;

// How many failures in a row are answered 401.
int allowed(AuthFailures& failures, std::string_view peer, Microseconds at_us) {
  int count = 0;
  while (failures.retry_after_s(peer, at_us) == 0) count++;
  return count;
}

TEST(AuthFailures, a_burst_is_allowed_then_one_a_second) {
  AuthFailures failures({}, 1);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us), 20);
  EXPECT_EQ(failures.retry_after_s("192.0.2.1", start_us), 1U);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us + second_us - 1'000), 0);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us + second_us), 1);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us + 6 * second_us), 5);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us + 3600 * second_us), 20);
}

TEST(AuthFailures, what_retry_after_says_is_enough) {
  AuthFailures failures({.burst = 3, .interval_us = 90 * second_us}, 1);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us), 3);
  const std::uint32_t wait_s = failures.retry_after_s("192.0.2.1", start_us + second_us / 2);
  EXPECT_EQ(wait_s, 90U);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us + second_us / 2 + wait_s * second_us), 1);
}

TEST(AuthFailures, a_burst_of_one_is_one) {
  AuthFailures failures({.burst = 1}, 1);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us), 1);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us + 10 * second_us), 1);
}

TEST(AuthFailures, other_addresses_are_not_concerned) {
  AuthFailures failures({}, 1);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us), 20);
  for (const char* peer : {"192.0.2.2", "2001:db8::1", "local", "unknown", ""}) {
    EXPECT_EQ(allowed(failures, peer, start_us), 20) << peer;
  }
}

TEST(AuthFailures, an_ipv6_network_of_one_customer_is_one_address) {
  AuthFailures failures({}, 1);
  EXPECT_EQ(allowed(failures, "2001:db8:1:2::1", start_us), 20);
  EXPECT_EQ(allowed(failures, "2001:db8:1:2:ffff::9", start_us), 0);
  EXPECT_EQ(allowed(failures, "2001:db8:1:3::1", start_us), 20);
}

TEST(AuthFailures, an_address_of_any_length_is_only_text) {
  AuthFailures failures({}, 1);
  EXPECT_EQ(allowed(failures, std::string(10'000, 'x'), start_us), 20);
}

TEST(AuthFailures, those_who_owe_most_are_remembered_when_many_fail) {
  AuthFailures failures({.addresses = 64}, 1);
  EXPECT_EQ(allowed(failures, "192.0.2.1", start_us), 20);
  for (int i = 0; i < 10'000; i++) {
    const std::string peer = fmt::format("10.1.{}.{}", i / 250, i % 250);
    EXPECT_EQ(failures.retry_after_s(peer, start_us), 0U);
  }
  EXPECT_EQ(failures.retry_after_s("192.0.2.1", start_us), 1U);
}

// The reference holds tokens in microseconds; the table counts whole milliseconds, as time here.
TEST(AuthFailures, random_times_are_judged_as_by_a_bucket_of_tokens) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  AuthFailures failures({.burst = 5, .interval_us = 200'000}, seed);
  Microseconds tokens_us = 5 * 200'000;
  Microseconds at_us = start_us;
  for (int i = 0; i < 100'000; i++) {
    const Microseconds passed_us = static_cast<Microseconds>(random() % 400) * 1'000;
    at_us += passed_us;
    tokens_us = std::min<Microseconds>(5 * 200'000, tokens_us + passed_us);
    const bool allow = tokens_us >= 200'000;
    if (allow) tokens_us -= 200'000;
    ASSERT_EQ(failures.retry_after_s("192.0.2.1", at_us) == 0, allow) << i;
  }
}

TEST(AuthFailures, threads_together_get_no_more_than_one_would) {
  AuthFailures failures({.burst = 1'000, .interval_us = 3'600 * second_us}, 1);
  std::atomic<int> passed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10'000; j++) {
        passed += failures.retry_after_s("192.0.2.1", start_us) == 0 ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(passed, 1'000);
}

}  // namespace
}  // namespace inlet::serve
