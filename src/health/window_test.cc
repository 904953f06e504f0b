// Goal: views of the last seconds, minute and hour say what happened in them, no more and no less.
// Method: totals that grow by known amounts at known times, against sums done here.

#include "health/window.h"

#include <gtest/gtest.h>

#include <memory>

#include "health/json_reader_test.h"

namespace inlet::health {
namespace {

constexpr Microseconds second_us = 1'000'000;

struct Node {
  Totals totals;
  Window window;
  Microseconds now_us = 5 * second_us;

  Node() { window.tick(now_us, totals); }

  // A second in which so many requests were answered, each in `took_us`.
  void pass_second(std::uint64_t requests, Microseconds took_us = 1000) {
    totals[Flow::answers_2xx] += requests;
    for (std::uint64_t i = 0; i < requests; i++) totals.request_latency.record(took_us);
    now_us += second_us;
    window.tick(now_us, totals);
  }
};

TEST(Window, is_empty_before_two_looks) {
  Window window;
  EXPECT_EQ(window.over(10 * second_us).length_us, 0);
  Totals totals;
  totals[Flow::records] = 1000;  // From before we looked.
  window.tick(0, totals);
  const Interval none = window.over(10 * second_us);
  EXPECT_EQ(none[Flow::records], 0u);
  EXPECT_EQ(none.rate(Flow::records), 0);
  EXPECT_EQ(none.request_rate(), 0);
}

TEST(Window, forgets_what_is_older_than_asked) {
  const auto node = std::make_unique<Node>();
  for (int i = 0; i < 100; i++) node->pass_second(7, 50'000);
  for (int i = 0; i < 10; i++) node->pass_second(3, 200);
  const Interval ten = node->window.over(10 * second_us);
  EXPECT_EQ(ten.length_us, 10 * second_us);
  EXPECT_EQ(ten.requests(), 30u);
  EXPECT_DOUBLE_EQ(ten.request_rate(), 3);
  EXPECT_EQ(ten.totals.request_latency.count(), 30u);
  EXPECT_LT(ten.totals.request_latency.percentile_us(99.9), 210);
  EXPECT_EQ(ten.totals.request_latency.sum_us(), 30u * 200);
  const Interval minute = node->window.over(60 * second_us);
  EXPECT_EQ(minute.requests(), 50u * 7 + 10u * 3);
  EXPECT_GE(minute.totals.request_latency.percentile_us(50), 50'000);
}

TEST(Window, the_last_hour_is_whole_to_a_minute) {
  const auto node = std::make_unique<Node>();
  for (int i = 0; i < 3 * 3600 + 17; i++) node->pass_second(2);
  const Interval hour = node->window.over(3600 * second_us);
  EXPECT_GE(hour.length_us, 3600 * second_us);
  EXPECT_LE(hour.length_us, 3660 * second_us);
  EXPECT_EQ(hour.requests(), static_cast<std::uint64_t>(2 * hour.length_us / second_us));
  EXPECT_DOUBLE_EQ(hour.request_rate(), 2);
}

TEST(Window, a_young_node_says_how_short_its_hour_is) {
  const auto node = std::make_unique<Node>();
  for (int i = 0; i < 90; i++) node->pass_second(1);
  const Interval hour = node->window.over(3600 * second_us);
  EXPECT_EQ(hour.length_us, 90 * second_us);
  EXPECT_EQ(hour.requests(), 90u);
}

TEST(Window, rates_are_right_when_ticks_come_late) {
  const auto node = std::make_unique<Node>();
  node->totals[Flow::records] += 100;
  node->now_us += 25 * second_us;
  node->window.tick(node->now_us, node->totals);
  const Interval ten = node->window.over(10 * second_us);
  EXPECT_EQ(ten.length_us, 25 * second_us);
  EXPECT_DOUBLE_EQ(ten.rate(Flow::records), 4);
}

TEST(Window, a_count_that_falls_counts_as_nothing) {
  const auto node = std::make_unique<Node>();
  node->totals[Flow::network_in_bytes] = 500;
  node->pass_second(0);
  node->totals[Flow::network_in_bytes] = 20;  // An interface went away.
  node->pass_second(0);
  node->totals[Flow::network_in_bytes] = 30;
  node->pass_second(0);
  EXPECT_EQ(node->window.over(2 * second_us)[Flow::network_in_bytes], 10u);
}

TEST(Totals, add_up_the_loops) {
  const auto loops = std::make_unique<RequestFigures[]>(2);
  loops[0].answered(200, 10);
  loops[0].answered(204, 20);
  loops[0].answered(503, 30);
  loops[1].answered(404, 40);
  loops[1].answered(301, 50);
  loops[1].answered(777, 60);
  Totals totals;
  totals.add(loops[0]);
  totals.add(loops[1]);
  EXPECT_EQ(totals[Flow::answers_2xx], 2u);
  EXPECT_EQ(totals[Flow::answers_3xx], 1u);
  EXPECT_EQ(totals[Flow::answers_4xx], 1u);
  EXPECT_EQ(totals[Flow::answers_5xx], 1u);
  EXPECT_EQ(totals.request_latency.count(), 6u);
  EXPECT_EQ(totals.request_latency.sum_us(), 210u);
  EXPECT_EQ(loops[1].answers[0].get(), 1u);
}

TEST(Interval, its_json_has_what_views_show) {
  const auto node = std::make_unique<Node>();
  node->totals[Flow::answers_5xx] = 2;
  node->totals.commit_latency.record(300);
  node->pass_second(8, 1000);
  std::string text;
  append_json(text, node->window.over(10 * second_us));
  const JsonValue json = parse_json(text);
  EXPECT_EQ(json.at("length_s").number, 1);
  EXPECT_EQ(json.at("requests").number, 10);
  EXPECT_EQ(json.at("requests_per_s").number, 10);
  EXPECT_EQ(json.at("5xx").number, 2);
  EXPECT_EQ(json.at("latency_us").at("count").number, 8);
  EXPECT_EQ(json.at("commit_latency_us").at("p50").number, 304);  // Of 297 to 304.
}

TEST(Window, points_are_seconds_and_minutes_oldest_first) {
  Window window;
  Totals totals;
  window.tick(0, totals);
  for (int i = 1; i <= 150; i++) {
    totals[Flow::answers_2xx] += static_cast<std::uint64_t>(i);
    window.tick(i * second_us, totals, (1000 + i) * second_us,
                {.cpu_percent = i % 2 == 0 ? 10.0 : 30.0,
                 .journal_percent = static_cast<double>(i % 60),
                 .level = i == 30 ? Level::severe : Level::ok});
  }
  const auto seconds = window.seconds();
  ASSERT_EQ(seconds.size(), window_seconds_kept);
  EXPECT_EQ(seconds.front().ended_us, 1091 * second_us);
  EXPECT_EQ(seconds.back().ended_us, 1150 * second_us);
  EXPECT_EQ(seconds.back().interval.requests(), 150u);
  const auto minutes = window.minutes();
  ASSERT_EQ(minutes.size(), 2u);
  EXPECT_EQ(minutes[0].ended_us, 1060 * second_us);
  EXPECT_EQ(minutes[0].interval.requests(), 60u * 61 / 2);
  EXPECT_EQ(minutes[0].gauges.level, Level::severe);
  EXPECT_EQ(minutes[1].gauges.level, Level::ok);
  EXPECT_DOUBLE_EQ(minutes[1].gauges.journal_percent, 59);
  EXPECT_DOUBLE_EQ(*minutes[1].gauges.cpu_percent, 20);
  EXPECT_FALSE(minutes[1].gauges.load1.has_value());
}

TEST(Window, a_point_is_json_with_null_for_what_is_not_known) {
  std::string text;
  append_json(text, Point{.ended_us = 1'763'892'000'500'000,
                          .interval = {},
                          .gauges = {.cpu_percent = 12.5, .level = Level::warning}});
  EXPECT_TRUE(text.starts_with(R"({"at":1763892000,"interval":{"length_s":0.0,)")) << text;
  EXPECT_TRUE(text.ends_with(
      R"("gauges":{"cpu_percent":12.50,"load1":null,"memory_percent":null,"disk_percent":null,)"
      R"("journal_percent":0.00,"sink_lag_s":0.00,"level":2}})"))
      << text;
}

}  // namespace
}  // namespace inlet::health
