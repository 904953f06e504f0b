// Goal: the judgement is total and in its order; what is told about waiting is true; a flood is cut
//   to exactly its limit and hurts no one else; whatever a request held is given back.
// Method: the table walked over every combination of facts against its definition; virtual time;
//   two tenants side by side; visits ended in every way; threads on one tenant.

#include "serve/tenant.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "base/limits.h"

namespace inlet::serve {
namespace {

constexpr Microseconds us_per_s = 1'000'000;
constexpr Microseconds start_us = 5'000'000'000;
constexpr std::uint64_t journal_capacity = 1'000'000;
constexpr std::uint64_t memory_capacity = 1'000'000;
constexpr std::uint64_t large_body = 100'000;

NodeFacts calm_node(std::uint32_t active = 2) {
  return {
      .journal_bytes = journal_capacity, .memory_bytes = memory_capacity, .active_tenants = active};
}

std::string lines(const Judgement& judgement) {
  std::array<char, judgement_lines_bytes_max> room;
  return std::string(write_lines(judgement, room));
}

class TenantTest : public testing::Test {
 protected:
  Tenant make(const TenantLimits& limits) { return {"acme", 1, limits, start_us, active_}; }

  std::atomic<std::uint32_t> active_{0};
};

TEST(Judge, takes_the_first_row_that_applies_in_every_combination_of_facts) {
  for (unsigned bits = 0; bits < 256; bits++) {
    const bool too_large = (bits & 1) != 0;
    const bool pressed = (bits & 2) != 0;
    const bool over_journal = (bits & 4) != 0;
    const bool contested = (bits & 8) != 0;
    const bool over_memory = (bits & 16) != 0;
    const bool busy = (bits & 32) != 0;
    const bool no_requests = (bits & 64) != 0;
    const bool no_bytes = (bits & 128) != 0;
    const TenantLimits limits{.body_bytes_max = too_large ? large_body - 1 : large_body,
                              .requests_in_flight_max = 3,
                              .journal_share = 0.25,
                              .memory_share = 0.25};
    const TenantFacts tenant{.undelivered_bytes = journal_capacity / 4 + (over_journal ? 1 : 0),
                             .held_bytes = memory_capacity / 4 - large_body + (over_memory ? 1 : 0),
                             .in_flight = busy ? 3U : 2U,
                             .requests_wait_us = no_requests ? 1'500'000 : 0,
                             .bytes_wait_us = no_bytes ? 2'000'001 : 0};
    NodeFacts node = calm_node();
    node.journal_pressed = pressed;
    node.memory_used = memory_capacity / 2 + (contested ? 1 : 0);
    const Judgement judgement = judge(limits, tenant, large_body, node);
    Refused due = Refused::none;
    if (no_bytes) due = Refused::bytes;
    if (no_requests) due = Refused::requests;
    if (busy) due = Refused::in_flight;
    if (contested && over_memory) due = Refused::memory_share;
    if (pressed && over_journal) due = Refused::journal_share;
    if (too_large) due = Refused::body_too_large;
    EXPECT_EQ(judgement.reason, due) << bits;
    EXPECT_EQ(judgement.status(), due == Refused::none             ? 200
                                  : due == Refused::body_too_large ? 413
                                                                   : 429);
    EXPECT_EQ(judgement.retry_after_s > 0, judgement.status() == 429) << bits;
    EXPECT_EQ(describe(due).empty(), due == Refused::none);
    if (due == Refused::requests) {
      EXPECT_EQ(judgement.retry_after_s, 2U);
    }
    if (due == Refused::bytes) {
      EXPECT_EQ(judgement.retry_after_s, 3U);
    }
  }
}

TEST(Judge, without_limits_refuses_nothing_while_the_node_has_room) {
  const TenantFacts tenant{
      .undelivered_bytes = UINT32_MAX, .held_bytes = UINT32_MAX, .in_flight = 9};
  EXPECT_TRUE(judge({}, tenant, std::nullopt, calm_node()).ok());
  EXPECT_TRUE(judge({}, tenant, large_body, calm_node()).ok());
}

TEST(Judge, shares_are_equal_parts_of_the_active_tenants_and_never_less_than_a_twentieth) {
  EXPECT_EQ(share_of(0, 0), 1);
  EXPECT_EQ(share_of(0, 1), 1);
  EXPECT_EQ(share_of(0, 4), 0.25);
  EXPECT_EQ(share_of(0, 20), share_min);
  EXPECT_EQ(share_of(0, 10'000), share_min);
  EXPECT_EQ(share_of(0.01, 1), 0.01);
  EXPECT_EQ(share_of(1, 100), 1);
}

TEST(Judge, who_is_alone_is_refused_by_no_share) {
  NodeFacts node = calm_node(1);
  node.journal_pressed = true;
  node.memory_used = memory_capacity;
  const TenantFacts tenant{.undelivered_bytes = 2 * journal_capacity,
                           .held_bytes = memory_capacity};
  EXPECT_TRUE(judge({}, tenant, large_body, node).ok());
  node.active_tenants = 2;
  EXPECT_EQ(judge({}, tenant, large_body, node).reason, Refused::journal_share);
  node.journal_pressed = false;
  EXPECT_EQ(judge({}, tenant, large_body, node).reason, Refused::memory_share);
}

TEST(Judge, small_bodies_need_no_memory_that_is_shared_and_unknown_ones_do) {
  NodeFacts node = calm_node();
  node.memory_used = memory_capacity;
  const TenantFacts tenant{.held_bytes = memory_capacity};
  EXPECT_TRUE(judge({}, tenant, 0, node).ok());
  EXPECT_TRUE(judge({}, tenant, limits::read_buffer_bytes_small, node).ok());
  EXPECT_EQ(judge({}, tenant, limits::read_buffer_bytes_small + 1, node).reason,
            Refused::memory_share);
  EXPECT_EQ(judge({}, tenant, std::nullopt, node).reason, Refused::memory_share);
}

TEST(Judge, tells_when_the_tenant_will_be_inside_its_share_or_the_journal_has_room) {
  NodeFacts node = calm_node();
  node.journal_pressed = true;
  node.journal_used = 900'000;
  const TenantFacts tenant{.undelivered_bytes = 600'000};  // 100,000 too many.
  const auto wait_s = [&] { return judge({}, tenant, 1, node).retry_after_s; };
  EXPECT_EQ(wait_s(), 30U);  // Nothing drains: nobody knows.
  node.drain_bytes_per_s = 10'000;
  node.journal_relief = 900'000;
  EXPECT_EQ(wait_s(), 15U);  // Two of three bytes that drain are the tenant's.
  node.journal_relief = 50'001;
  EXPECT_EQ(wait_s(), 6U);
  node.journal_relief = 0;
  EXPECT_EQ(wait_s(), 1U);
  node.journal_relief = UINT32_MAX;
  node.drain_bytes_per_s = 1;
  EXPECT_EQ(wait_s(), 300U);
}

TEST(Judge, the_lines_say_what_the_draft_asks_for_and_fit_for_the_largest_numbers) {
  EXPECT_EQ(lines({}), "");
  EXPECT_EQ(lines({.quota = {.limit = 10, .remaining = 3, .reset_s = 2}}),
            "RateLimit-Limit: 10\r\nRateLimit-Remaining: 3\r\nRateLimit-Reset: 2\r\n");
  EXPECT_EQ(lines({.reason = Refused::journal_share, .retry_after_s = 7}), "Retry-After: 7\r\n");
  EXPECT_EQ(lines({.reason = Refused::requests,
                   .retry_after_s = UINT32_MAX,
                   .quota = {UINT64_MAX, UINT64_MAX, UINT64_MAX}})
                .size(),
            std::string("Retry-After: 4294967295\r\n").size() +
                std::string("RateLimit-Limit: \r\nRateLimit-Remaining: \r\nRateLimit-Reset: \r\n")
                    .size() +
                60);
}

TEST_F(TenantTest, a_flood_of_ten_times_the_limit_gets_exactly_its_limit_and_true_waits) {
  Tenant tenant = make({.requests_per_s = 100, .requests_burst = 20});
  constexpr int seconds = 60;
  std::uint64_t stored = 0;
  std::uint64_t refused = 0;
  for (Microseconds at_us = 0; at_us < seconds * us_per_s; at_us += 1000) {
    Visit visit;
    const Judgement judgement = visit.begin(tenant, 10, calm_node(), start_us + at_us);
    if (judgement.ok()) {
      stored++;
      visit.body_came(10, start_us + at_us);
      visit.stored(128, 1);
    } else {
      refused++;
      EXPECT_EQ(judgement.status(), 429);
      EXPECT_EQ(judgement.retry_after_s, 1U);
      EXPECT_EQ(judgement.quota.limit, 20U);
      EXPECT_EQ(judgement.quota.remaining, 0U);
      EXPECT_EQ(judgement.quota.reset_s, 1U);
    }
  }
  EXPECT_EQ(stored, 20U + 100 * seconds - 1);  // The last token comes with the next minute.
  const TenantFigures figures = tenant.figures();
  EXPECT_EQ(figures.of(Count::records), stored);
  EXPECT_EQ(figures.of(Count::bytes), 10 * stored);
  EXPECT_EQ(figures.of(Count::refused_requests), refused);
  EXPECT_EQ(figures.requests_in_flight, 0U);
  EXPECT_EQ(figures.undelivered_bytes, 128 * stored);
  EXPECT_EQ(figures.last_stored_us, 1);
}

TEST_F(TenantTest, who_waits_as_long_as_told_is_let_in_and_a_second_less_is_too_early) {
  Tenant tenant = make({.bytes_per_s = 1000, .bytes_burst = 10'000});
  Visit first;
  ASSERT_TRUE(first.begin(tenant, 10'000, calm_node(), start_us).ok());
  Visit second;
  const Judgement judgement = second.begin(tenant, 4'500, calm_node(), start_us);
  ASSERT_EQ(judgement.reason, Refused::bytes);
  EXPECT_EQ(lines(judgement),
            "Retry-After: 5\r\nRateLimit-Limit: 10000\r\nRateLimit-Remaining: 0\r\n"
            "RateLimit-Reset: 5\r\n");
  const auto at = [&](std::uint32_t seconds) {
    return start_us + static_cast<Microseconds>(seconds) * us_per_s;
  };
  EXPECT_FALSE(second.begin(tenant, 4'500, calm_node(), at(judgement.retry_after_s - 1)).ok());
  EXPECT_TRUE(second.begin(tenant, 4'500, calm_node(), at(judgement.retry_after_s)).ok());
}

TEST_F(TenantTest, what_is_refused_for_its_bytes_costs_no_request) {
  Tenant tenant = make({.requests_per_s = 2, .bytes_per_s = 10});
  Visit first;
  ASSERT_TRUE(first.begin(tenant, 10, calm_node(), start_us).ok());
  for (int i = 0; i < 5; i++) {
    Visit refused;
    EXPECT_EQ(refused.begin(tenant, 10, calm_node(), start_us).reason, Refused::bytes);
  }
  Visit second;
  EXPECT_TRUE(second.begin(tenant, 0, calm_node(), start_us).ok());
}

TEST_F(TenantTest, a_body_of_unknown_length_is_charged_when_it_has_come) {
  Tenant tenant = make({.bytes_per_s = 1000});
  Visit chunked;
  ASSERT_TRUE(chunked.begin(tenant, std::nullopt, calm_node(), start_us).ok());
  chunked.body_came(5000, start_us);
  Visit next;
  const Judgement judgement = next.begin(tenant, std::nullopt, calm_node(), start_us);
  EXPECT_EQ(judgement.reason, Refused::bytes);
  EXPECT_EQ(judgement.retry_after_s, 5U);  // 4000 owed, one wanted.
  EXPECT_TRUE(next.begin(tenant, std::nullopt, calm_node(), start_us + 5 * us_per_s).ok());
}

TEST_F(TenantTest, what_failed_on_our_side_costs_nothing_and_what_the_client_did_wrong_does) {
  Tenant tenant = make({.requests_per_s = 1, .bytes_per_s = 10});
  {
    Visit visit;
    ASSERT_TRUE(visit.begin(tenant, 10, calm_node(), start_us).ok());
    visit.body_came(10, start_us);
    visit.refused(503);
  }
  {
    Visit visit;
    ASSERT_TRUE(visit.begin(tenant, 10, calm_node(), start_us).ok());
    visit.body_came(10, start_us);
    visit.refused(422);
  }
  Visit visit;
  EXPECT_EQ(visit.begin(tenant, 0, calm_node(), start_us).reason, Refused::requests);
  const TenantFigures figures = tenant.figures();
  EXPECT_EQ(figures.of(Count::refused_5xx), 1U);
  EXPECT_EQ(figures.of(Count::refused_4xx), 1U);
  EXPECT_EQ(figures.of(Count::refused_requests), 1U);
}

TEST_F(TenantTest, every_request_is_counted_once_however_it_ends) {
  Tenant tenant = make({.requests_per_s = 5});
  for (int i = 0; i < 6; i++) {
    Visit visit;
    if (!visit.begin(tenant, 10, calm_node(), start_us).ok()) continue;
    if (i == 0) visit.stored(64, 1);
    if (i == 1) visit.duplicate();
    if (i == 2) visit.refused(400);
    if (i == 3) visit.refused(422);
  }
  const TenantFigures figures = tenant.figures();
  EXPECT_EQ(figures.of(Count::records), 1U);
  EXPECT_EQ(figures.of(Count::duplicates), 1U);
  EXPECT_EQ(figures.of(Count::refused_4xx), 2U);
  EXPECT_EQ(figures.of(Count::unfinished), 1U);
  EXPECT_EQ(figures.of(Count::refused_requests), 1U);
  static_assert(count_names[static_cast<std::size_t>(Count::refused_5xx)] == "5xx");
  static_assert(count_names[static_cast<std::size_t>(first_refusal)] == "requests");
}

TEST_F(TenantTest, says_of_two_limits_the_one_that_is_nearer) {
  Tenant tenant = make({.requests_per_s = 10, .bytes_per_s = 1000});
  Visit small;
  EXPECT_EQ(lines(small.begin(tenant, 1, calm_node(), start_us)),
            "RateLimit-Limit: 10\r\nRateLimit-Remaining: 9\r\nRateLimit-Reset: 1\r\n");
  Visit large;
  EXPECT_EQ(lines(large.begin(tenant, 899, calm_node(), start_us)),
            "RateLimit-Limit: 1000\r\nRateLimit-Remaining: 100\r\nRateLimit-Reset: 1\r\n");
}

TEST_F(TenantTest, no_more_requests_are_under_way_than_may_be) {
  Tenant tenant = make({.requests_in_flight_max = 2});
  Visit first;
  Visit second;
  Visit third;
  EXPECT_TRUE(first.begin(tenant, 1, calm_node(), start_us).ok());
  EXPECT_TRUE(second.begin(tenant, 1, calm_node(), start_us).ok());
  EXPECT_EQ(third.begin(tenant, 1, calm_node(), start_us).reason, Refused::in_flight);
  first.end();
  first.end();  // Again: nothing.
  EXPECT_TRUE(third.begin(tenant, 1, calm_node(), start_us).ok());
  EXPECT_EQ(tenant.figures().requests_in_flight, 2U);
}

TEST_F(TenantTest, slow_bodies_hold_no_more_than_their_share_while_memory_is_contested) {
  Tenant slow = make({});
  Tenant other = make({});
  NodeFacts node = calm_node(2);
  std::deque<Visit> bodies;
  while (bodies.size() < 100) {
    Visit& visit = bodies.emplace_back();
    if (!visit.begin(slow, large_body, node, start_us).ok()) break;
    ASSERT_TRUE(visit.hold(large_body, node));
    node.memory_used += large_body;
  }
  // Half the memory is not contested, one more makes it so.
  EXPECT_EQ(slow.figures().held_bytes, 6 * large_body);
  Visit& one = bodies.front();
  EXPECT_FALSE(one.hold(2 * large_body, node));
  EXPECT_TRUE(one.hold(large_body, node));
  EXPECT_EQ(slow.figures().held_bytes, 6 * large_body);
  Visit mine;
  EXPECT_TRUE(mine.begin(other, large_body, node, start_us).ok());
  EXPECT_TRUE(mine.hold(large_body, node));
  bodies.clear();
  EXPECT_EQ(slow.figures().held_bytes, 0U);
  EXPECT_EQ(slow.figures().requests_in_flight, 0U);
  EXPECT_EQ(other.figures().held_bytes, large_body);
}

TEST_F(TenantTest, a_tenant_is_active_while_it_sends_or_has_undelivered_records) {
  Tenant tenant = make({});
  tenant.turn(start_us, 1);
  EXPECT_EQ(active_, 0U);
  {
    Visit visit;
    ASSERT_TRUE(visit.begin(tenant, 1, calm_node(), start_us).ok());
    EXPECT_EQ(active_, 1U);
    visit.stored(100, 1);
  }
  const Microseconds later_us = start_us + 61 * us_per_s;
  tenant.turn(later_us, 1);
  EXPECT_EQ(active_, 1U);
  EXPECT_EQ(tenant.settle_fresh(), 100U);
  EXPECT_EQ(tenant.settle_fresh(), 0U);
  EXPECT_EQ(tenant.undelivered_bytes(), 100U);
  tenant.delivered(100);
  tenant.turn(later_us, 1);
  EXPECT_EQ(active_, 0U);
  tenant.add_settled(5);  // Found in the journal.
  tenant.turn(later_us, 1);
  EXPECT_EQ(active_, 1U);
}

TEST_F(TenantTest, counts_of_today_begin_at_midnight) {
  constexpr Microseconds day_us = 86'400 * us_per_s;
  Tenant tenant = make({});
  tenant.count(Count::records, 3);
  tenant.turn(start_us, 20'000 * day_us - 1);
  EXPECT_EQ(tenant.figures().today[0], 3U);
  tenant.turn(start_us, 20'000 * day_us);
  EXPECT_EQ(tenant.figures().today[0], 0U);
  tenant.count(Count::records, 2);
  tenant.turn(start_us, 20'001 * day_us - 1);
  EXPECT_EQ(tenant.figures().today[0], 2U);
  EXPECT_EQ(tenant.figures().of(Count::records), 5U);
}

TEST_F(TenantTest, a_body_may_be_as_large_as_stream_and_tenant_say) {
  const Tenant bounded = make({.body_bytes_max = 5});
  EXPECT_EQ(bounded.body_bytes_max(100), 5U);
  EXPECT_EQ(bounded.body_bytes_max(3), 3U);
  EXPECT_EQ(make({}).body_bytes_max(100), 100U);
}

TEST_F(TenantTest, threads_on_one_tenant_leave_nothing_behind) {
  Tenant tenant = make({.requests_per_s = 1'000'000});
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> stored{0};
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200'000; round++) {
        Visit visit;
        const NodeFacts node = calm_node();
        if (!visit.begin(tenant, 10, node, start_us + round).ok()) continue;
        if (round % 3 == 0) (void)visit.hold(1000, node);
        visit.body_came(10, start_us + round);
        if (round % 7 == 0) {
          visit.refused(503);
        } else {
          visit.stored(64, round);
          stored++;
        }
      }
      done = true;
    });
  }
  const auto started = std::chrono::steady_clock::now();
  std::uint64_t settled = 0;
  while (!done) settled += tenant.settle_fresh();
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - started;
  std::printf("%.0f ns a visit, all threads together\n", took.count() / 600'000);
  settled += tenant.settle_fresh();
  const TenantFigures figures = tenant.figures();
  EXPECT_EQ(figures.of(Count::records), stored);
  EXPECT_EQ(settled, 64 * stored);
  EXPECT_EQ(figures.undelivered_bytes, settled);
  EXPECT_EQ(figures.requests_in_flight, 0U);
  EXPECT_EQ(figures.held_bytes, 0U);
  EXPECT_EQ(active_, 1U);
}

}  // namespace
}  // namespace inlet::serve
