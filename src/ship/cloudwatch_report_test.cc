// Goal: every count is told once, at the time it was counted, through restarts of the node and
// outages of CloudWatch; what waits is bounded.
// Method: looks and answers in an order the test makes; the counts in the requests are added up.

#include "ship/cloudwatch_report.h"

#include <gtest/gtest.h>

#include <random>

namespace inlet::ship {
namespace {

using aws::Verdict;
using health::Flow;

constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds wall0_us = 1'763'892'000 * second_us;

// A node and the reports about it, second by second.
struct World {
  explicit World(Microseconds period_us = 60 * second_us)
      : report({.what = {.metric_namespace = "Inlet", .node = "a"}, .period_us = period_us}) {}

  void pass(double seconds) {
    steady_us += static_cast<Microseconds>(seconds * 1e6);
    status.uptime_s += seconds;
  }
  void serve(std::uint64_t requests) {
    status.totals[Flow::answers_2xx] += requests;
    status.totals[Flow::records] += requests;
    for (std::uint64_t i = 0; i < requests; i++) status.totals.request_latency.record(1000);
  }
  void look() { report.look(status, steady_us, steady_us, wall0_us + steady_us); }
  void restart() {
    const std::uint64_t dead = status.totals[Flow::dead_records];
    const std::uint64_t network = status.totals[Flow::network_in_bytes];
    status = {};
    status.totals[Flow::dead_records] = dead;
    status.totals[Flow::network_in_bytes] = network;
  }
  void answer(Verdict verdict, int code = 0) {
    report.settle({.verdict = verdict, .status = code, .why = "as the test says"}, steady_us);
  }

  CloudWatchReport report;
  NodeStatus status{.uptime_s = 5};
  Microseconds steady_us = 0;
};

double told(const health::PutMetricDataRequest& request, std::string_view metric) {
  for (const health::MetricDatum& datum : request.metrics) {
    if (datum.name == metric) return datum.values.sum;
  }
  ADD_FAILURE() << "no " << metric;
  return 0;
}

TEST(CloudWatchReport, tells_what_came_since_the_first_look_in_the_middle_of_its_period) {
  World world;
  world.serve(100);
  world.look();
  world.report.close();
  EXPECT_EQ(world.report.take(world.steady_us), nullptr);
  for (int i = 0; i < 60; i++) {
    world.pass(1);
    world.serve(2);
    world.look();
  }
  world.report.close();
  const auto* request = world.report.take(world.steady_us);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(told(*request, "Requests"), 120);
  EXPECT_EQ(told(*request, "RecordsStored"), 120);
  EXPECT_NEAR(told(*request, "Latency"), 120 * 0.001, 120 * 0.001 / 32);
  EXPECT_EQ(request->timestamp_us, wall0_us + 30 * second_us);
  EXPECT_EQ(world.report.take(world.steady_us), nullptr);  // One at a time.
  world.answer(Verdict::done);
  EXPECT_EQ(world.report.waiting(), 0u);
  EXPECT_EQ(world.report.sent(), 1u);
}

TEST(CloudWatchReport, dates_a_period_that_was_long_in_its_last_part) {
  World world(10 * second_us);
  world.look();
  world.pass(300);
  world.serve(1);
  world.look();
  world.report.close();
  EXPECT_EQ(world.report.take(world.steady_us)->timestamp_us, wall0_us + 295 * second_us);
}

TEST(CloudWatchReport, counts_a_new_life_of_the_node_from_its_beginning) {
  World world;
  world.serve(50);
  world.status.totals[Flow::dead_records] = 9;
  world.status.totals[Flow::network_in_bytes] = 1'000'000;
  world.look();
  world.pass(1);
  world.serve(5);
  world.look();
  world.restart();
  world.pass(1);
  world.serve(70);  // More than it had, so that no count fell.
  world.status.totals[Flow::dead_records] += 2;
  world.status.totals[Flow::network_in_bytes] += 10;
  world.look();
  world.restart();
  world.pass(1);
  world.serve(3);
  world.look();
  world.report.close();
  const auto* request = world.report.take(world.steady_us);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(told(*request, "Requests"), 5 + 70 + 3);
  EXPECT_EQ(told(*request, "DeadRecords"), 2);  // They outlive serve,
  EXPECT_EQ(told(*request, "NetworkIn"), 10);   // as these do.
}

TEST(CloudWatchReport, takes_no_slow_answer_for_a_new_life) {
  World world;
  world.serve(50);
  world.look();
  world.pass(1);
  world.serve(5);
  // Asked in time, the answer lies around for a while.
  world.report.look(world.status, world.steady_us, world.steady_us + 2 * second_us, wall0_us);
  world.report.close();
  EXPECT_EQ(told(*world.report.take(world.steady_us), "Requests"), 5);
}

TEST(CloudWatchReport, survives_histograms_that_fell_in_a_life_that_seems_the_same) {
  World world;
  world.serve(10);
  world.look();
  world.pass(1);
  world.status.totals.request_latency = {};
  world.status.totals.request_latency.record(7);
  world.look();
  world.report.close();
  EXPECT_NEAR(told(*world.report.take(world.steady_us), "Latency"), 7e-6, 1e-9);
}

TEST(CloudWatchReport, repeats_what_may_work_later_and_drops_what_never_will) {
  struct Case {
    Verdict verdict;
    int status;
    bool repeated;
  };
  for (const Case& one :
       {Case{Verdict::transient, 0, true}, Case{Verdict::transient, 500, true},
        Case{Verdict::throttled, 429, true}, Case{Verdict::refused, 403, true},
        Case{Verdict::refused, 400, false}, Case{Verdict::too_large, 413, false}}) {
    World world;
    world.look();
    world.pass(1);
    world.look();
    world.report.close();
    ASSERT_NE(world.report.take(world.steady_us), nullptr);
    world.answer(one.verdict, one.status);
    EXPECT_EQ(world.report.waiting(), one.repeated ? 1u : 0u) << one.status;
    EXPECT_EQ(world.report.dropped(), one.repeated ? 0u : 1u) << one.status;
    EXPECT_EQ(world.report.failures(), 1u);
    world.pass(120);
    EXPECT_EQ(world.report.take(world.steady_us) != nullptr, one.repeated);
  }
}

TEST(CloudWatchReport, waits_longer_with_each_failure_and_as_long_as_it_is_asked_to) {
  World world;
  world.look();
  world.pass(1);
  world.look();
  world.report.close();
  for (int i = 0; i < 20; i++) {
    ASSERT_NE(world.report.take(world.steady_us), nullptr);
    world.answer(Verdict::transient);
    world.pass(61);  // The longest wait.
  }
  ASSERT_NE(world.report.take(world.steady_us), nullptr);
  world.report.settle(
      {.verdict = Verdict::throttled, .status = 503, .retry_after_us = 90 * second_us},
      world.steady_us);
  world.pass(89);
  EXPECT_EQ(world.report.take(world.steady_us), nullptr);
  world.pass(3);
  EXPECT_NE(world.report.take(world.steady_us), nullptr);
}

TEST(CloudWatchReport, keeps_the_newest_through_a_long_outage_and_sends_them_in_order) {
  World world(second_us);
  world.look();
  constexpr std::size_t more = 25;
  for (std::size_t i = 1; i <= cloudwatch_requests_kept + more; i++) {
    world.pass(1);
    world.serve(i);
    world.look();
    world.report.close();
    if (world.report.take(world.steady_us) != nullptr) world.answer(Verdict::transient);
    ASSERT_LE(world.report.waiting(), cloudwatch_requests_kept);
  }
  EXPECT_EQ(world.report.dropped(), more);
  world.pass(61);
  for (std::size_t i = more + 1; i <= cloudwatch_requests_kept + more; i++) {
    const auto* request = world.report.take(world.steady_us);
    ASSERT_NE(request, nullptr);
    EXPECT_EQ(told(*request, "Requests"), static_cast<double>(i));
    world.answer(Verdict::done);
  }
  EXPECT_EQ(world.report.waiting(), 0u);
}

TEST(CloudWatchReport, loses_no_count_whatever_happens) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const auto chance = [&](int of) { return random() % static_cast<unsigned>(of) == 0; };
  World world(10 * second_us);
  world.look();
  double expected = 0;
  double seen = 0;
  const auto send = [&] {
    const auto* request = world.report.take(world.steady_us);
    if (request == nullptr) return;
    const double requests = told(*request, "Requests");
    if (chance(3)) return world.answer(Verdict::transient);
    seen += requests;
    world.answer(Verdict::done);
  };
  for (int i = 0; i < 3000; i++) {
    world.pass(1);
    const std::uint64_t requests = random() % 40;
    world.serve(requests);
    expected += static_cast<double>(requests);
    world.look();
    if (chance(10)) world.report.close();
    send();
    if (chance(50)) world.restart();
  }
  world.report.close();
  while (world.report.waiting() > 0) {
    world.pass(61);
    send();
  }
  EXPECT_EQ(seen, expected);
}

}  // namespace
}  // namespace inlet::ship
