// Goal: the fleet's figures are those of all its nodes' requests; no trouble of a node is hidden.
// Method: small fleets with the sums known; histograms against one that recorded everything.

#include "top/fleet.h"

#include <gtest/gtest.h>

#include "top/status_test.h"

namespace inlet::top {
namespace {

Fleet fleet_of(std::vector<Node> nodes) {
  return {.nodes = std::move(nodes), .steady_us = 60'000'000, .wall_us = 0};
}

TEST(Fleet, RatesAddUpAndPercentilesAreThoseOfAllRequests) {
  const Fleet fleet = fleet_of(
      {answering({.requests_per_s = 90, .buckets = "[[20,900]]"}, "a:1"),
       answering({.requests_per_s = 10, .failed = 50, .buckets = "[[20,90],[400,10]]"}, "b:1")});
  const Row row = summary_of(fleet, Window::seconds_10).row;
  ASSERT_TRUE(row.flows);
  EXPECT_DOUBLE_EQ(row.flows->requests_per_s, 100);
  EXPECT_DOUBLE_EQ(row.flows->answered_percent(5).value(), 5);
  health::LatencyHistogram::Counts counts{};
  counts[20] = 990;
  counts[400] = 10;
  const health::LatencyHistogram all(counts, 20);
  EXPECT_EQ(row.flows->latency.counts(), all.counts());
  for (const health::Quantile& quantile : health::quantiles) {
    EXPECT_EQ(row.flows->latency.percentile_us(quantile.percent),
              all.percentile_us(quantile.percent));
  }
}

TEST(Fleet, WhatRunsOutCountsAtItsWorstAndCpuIsTheMean) {
  const auto more = [](double percent, double full_in_s, double lag_s) {
    return fmt::format(
        R"("host":{{"cpu":{{"user":{0}}},"disk_used_percent":{0}}},"journal":{{"used_percent":{0},)"
        R"("full_in_s":{1}}},"sinks":[{{"name":"x","lag_s":0}},{{"name":"y","lag_s":{2}}}])",
        percent, full_in_s, lag_s);
  };
  Node unknowing = answering({}, "c:1");
  const Fleet fleet = fleet_of({answering({.more = more(10, 60, 5)}, "a:1"),
                                answering({.more = more(50, 600, 7)}, "b:1"), unknowing});
  const Gauges gauges = summary_of(fleet, Window::seconds_10).row.gauges;
  EXPECT_EQ(gauges.cpu_user, 30);
  EXPECT_EQ(gauges.disk_percent, 50);
  EXPECT_EQ(gauges.journal_percent, 50);
  EXPECT_EQ(gauges.full_in_s, 60);
  EXPECT_EQ(gauges.sink_lag_s, 7);
  EXPECT_FALSE(gauges.load1);
}

TEST(Fleet, AnEmptyJournalIsNotAskedWhenItWillBeFull) {
  for (const auto& [used, shown] : {std::pair{9.9, false}, {10.0, true}}) {
    const std::string more = fmt::format(R"("journal":{{"used_percent":{},"full_in_s":60}})", used);
    const Fleet fleet = fleet_of({answering({.more = more}, "a:1")});
    EXPECT_EQ(rows_of(fleet, Window::minute)[0].gauges.full_in_s.has_value(), shown) << used;
  }
}

TEST(Fleet, ASilentNodeMakesTheFleetSevereAndAddsNoFigures) {
  const std::string causes = R"([{"level":"Warning","text":"sink x is 340 s behind"}])";
  const Fleet fleet =
      fleet_of({answering({.name = "a", .level = "Warning", .causes = causes}, "a:1"),
                silent("b:1", "cannot connect", 48'000'000), answering({.name = "c"}, "c:1")});
  const Summary summary = summary_of(fleet, Window::minute);
  EXPECT_EQ(summary.row.level, health::Level::severe);
  EXPECT_EQ(summary.row.cause,
            "b:1: no answer: cannot connect, for 12 s; a: sink x is 340 s behind");
  EXPECT_EQ(summary.row.label, "3 nodes");
  EXPECT_DOUBLE_EQ(summary.row.flows->requests_per_s, 20);
  EXPECT_EQ(summary.silent, 1U);
  EXPECT_EQ(summary.answering[0], 1U);
  EXPECT_EQ(summary.answering[2], 1U);
  EXPECT_FALSE(is_well(fleet));
}

TEST(Fleet, WellMeansThatAllAnswerAndNoneIsSevere) {
  Node waiting;
  EXPECT_FALSE(is_well(fleet_of({})));
  EXPECT_FALSE(is_well(fleet_of({waiting})));
  EXPECT_FALSE(is_well(fleet_of({answering({.level = "Severe"}, "a:1")})));
  EXPECT_TRUE(is_well(fleet_of({answering({.level = "Degraded"}, "a:1")})));
}

TEST(Fleet, NodesOfOneNameAreToldApart) {
  const Fleet fleet = fleet_of({answering({.name = "n"}, "a:1"), answering({.name = "n"}, "b:1"),
                                answering({.name = "m"}, "c:1")});
  const auto rows = rows_of(fleet, Window::seconds_10);
  EXPECT_EQ(rows[0].label, "n@a:1");
  EXPECT_EQ(rows[1].label, "n@b:1");
  EXPECT_EQ(rows[2].label, "m");
}

TEST(Fleet, AWaitingFleetSaysSoAndClaimsNothing) {
  Node waiting;
  waiting.address = "a:1";
  const Row row = summary_of(fleet_of({waiting}), Window::seconds_10).row;
  EXPECT_EQ(status_word(row), "waiting");
  EXPECT_FALSE(row.flows);
  EXPECT_EQ(row.cause, "");
}

}  // namespace
}  // namespace inlet::top
