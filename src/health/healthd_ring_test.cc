// Goal: every request pushed comes out once, whole or counted by status, and no push ever waits.
// Method: by example at the ring's ends, and a producer against a consumer at full speed.

#include "health/healthd_ring.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace inlet::health {
namespace {

HealthdEntry entry(Microseconds at_us, int status = 200) {
  return HealthdEntry::of(at_us, 100, status, "/ingest/web", "192.0.2.1");
}

TEST(HealthdEntry, keeps_path_without_query_and_client) {
  const auto one = HealthdEntry::of(7, 83'000, 201, "/ingest/web?key=abc", "192.0.2.1");
  EXPECT_EQ(one.path(), "/ingest/web");
  EXPECT_EQ(one.client(), "192.0.2.1");
  EXPECT_EQ(one.status, 201);
  EXPECT_EQ(one.took_us, 83'000u);
  EXPECT_EQ(one.at_us, 7);
}

TEST(HealthdEntry, cuts_a_long_path_and_leaves_out_an_address_that_does_not_fit) {
  const std::string path(1000, 'p');
  const std::string fits(healthd_text_bytes - healthd_path_bytes_max, 'c');
  EXPECT_EQ(HealthdEntry::of(0, 0, 200, path, fits).path().size(), healthd_path_bytes_max);
  EXPECT_EQ(HealthdEntry::of(0, 0, 200, path, fits).client(), fits);
  EXPECT_EQ(HealthdEntry::of(0, 0, 200, path, fits + "c").client(), "");
  const std::string ipv6 = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
  EXPECT_EQ(HealthdEntry::of(0, 0, 200, "/v1/logs", ipv6).client(), ipv6);
}

TEST(HealthdEntry, holds_times_and_statuses_within_their_range) {
  EXPECT_EQ(HealthdEntry::of(0, -5, 200, "", "").took_us, 0u);
  EXPECT_EQ(HealthdEntry::of(0, Microseconds{1} << 40, 200, "", "").took_us, 0xFFFFFFFFU);
  EXPECT_EQ(HealthdEntry::of(0, 0, 7, "", "").status, 100);
  EXPECT_EQ(HealthdEntry::of(0, 0, 9999, "", "").status, 599);
}

TEST(HealthdRing, asks_to_be_drained_once_it_is_half_full) {
  HealthdRing ring(8);
  std::vector<bool> asked;
  for (int i = 0; i < 8; i++) asked.push_back(ring.push(entry(i)));
  EXPECT_EQ(asked, (std::vector<bool>{false, false, false, true, false, false, false, false}));
}

TEST(HealthdRing, keeps_order_through_many_rounds) {
  HealthdRing ring(8);
  Microseconds pushed = 0;
  Microseconds taken = 0;
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < round % 9; i++) ring.push(entry(pushed++));
    ring.drain([&](const HealthdEntry& one) { EXPECT_EQ(one.at_us, taken++); });
  }
  EXPECT_EQ(taken, pushed);
}

TEST(HealthdRing, counts_by_status_what_finds_it_full) {
  HealthdRing ring(4);
  for (int i = 0; i < 4; i++) ring.push(entry(i));
  for (int i = 0; i < 3; i++) ring.push(entry(9, 200));
  ring.push(entry(9, 503));
  EXPECT_EQ(ring.take_crowded(200).count, 3u);
  EXPECT_EQ(ring.take_crowded(200).count, 0u);
  const Crowded failed = ring.take_crowded(503);
  EXPECT_EQ(failed.count, 1u);
  EXPECT_EQ(failed.took_us, 100u);
  EXPECT_EQ(ring.take_crowded(404).count, 0u);
  int taken = 0;
  ring.drain([&](const HealthdEntry&) { taken++; });
  EXPECT_EQ(taken, 4);
  ring.push(entry(10));
  ring.drain([&](const HealthdEntry& one) { EXPECT_EQ(one.at_us, 10); });
}

TEST(HealthdRing, loses_and_repeats_nothing_between_two_threads) {
  constexpr Microseconds pushes = 2'000'000;
  HealthdRing ring(256);
  std::jthread producer([&] {
    for (Microseconds i = 0; i < pushes; i++) ring.push(entry(i));
  });
  std::uint64_t taken = 0;
  std::uint64_t crowded = 0;
  Microseconds last = -1;
  while (taken + crowded < static_cast<std::uint64_t>(pushes)) {
    ring.drain([&](const HealthdEntry& one) {
      ASSERT_GT(one.at_us, last);
      ASSERT_EQ(one.path(), "/ingest/web");
      last = one.at_us;
      taken++;
    });
    crowded += ring.take_crowded(200).count;
  }
  EXPECT_EQ(taken + crowded, static_cast<std::uint64_t>(pushes));
}

}  // namespace
}  // namespace inlet::health
