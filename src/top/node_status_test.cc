// Goal: a status is read as the node meant it, and a document that is none is refused whole.
// Method: what this version of the health room writes is read back; documents with one thing wrong;
// documents cut and changed at random.

#include "top/node_status.h"

#include <gtest/gtest.h>

#include <random>

#include "health/totals.h"
#include "top/status_test.h"

namespace inlet::top {
namespace {

std::string problem(const std::string& json) {
  const auto status = parse_status(json);
  return status ? "" : status.error().what;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST(NodeStatus, AnIntervalIsReadAsTheHealthRoomWritesIt) {
  health::Interval interval{.length_us = 10'000'000};
  interval.totals[health::Flow::answers_2xx] = 900;
  interval.totals[health::Flow::answers_5xx] = 100;
  interval.totals[health::Flow::body_bytes] = 1'000'000;
  for (Microseconds us = 1; us < 5'000'000; us = us * 5 / 4 + 1) {
    interval.totals.request_latency.record(us);
    interval.totals.commit_latency.record(us / 2);
  }
  std::string json = R"({"schema":2,"node":"n","health":{"level":"Info","causes":[]},"last_10s":)";
  health::append_json(json, interval);
  json += R"(,"last_minute":{}})";
  const auto status = parse_status(json);
  ASSERT_TRUE(status) << status.error().what;
  const Flows& flows = status->last_10s;
  EXPECT_EQ(flows.latency.counts(), interval.totals.request_latency.counts());
  EXPECT_EQ(flows.latency.sum_us(), interval.totals.request_latency.sum_us());
  EXPECT_EQ(flows.commit_latency.counts(), interval.totals.commit_latency.counts());
  EXPECT_DOUBLE_EQ(flows.requests_per_s, 100);
  EXPECT_DOUBLE_EQ(flows.body_bytes_per_s, 100'000);
  EXPECT_DOUBLE_EQ(flows.answered_percent(5).value(), 10);
  EXPECT_EQ(status->level, health::Level::info);
  EXPECT_FALSE(status->last_minute.answered_percent(2));
}

TEST(NodeStatus, GaugesThatAreAbsentStayAbsent) {
  Sample sample;
  sample.more =
      R"("host":{"load":null,"cpu":null,"cpus":2,"disk_used_percent":-3,"memory_bytes":1e300},)"
      R"("journal":{"used_percent":12.5,"full_in_s":null},"sinks":[{"name":"a","lag_s":1.5}],)"
      R"("tenants":[{"name":"t","records":7}],"keys":{"stale":true,"reason":"gone"})";
  const NodeStatus status = status_of(sample);
  EXPECT_FALSE(status.host.load1 || status.host.cpu_user || status.journal.full_in_s);
  EXPECT_FALSE(status.host.disk_used_percent || status.host.memory_bytes);
  EXPECT_EQ(status.host.cpus, 2);
  EXPECT_EQ(status.journal.used_percent, 12.5);
  ASSERT_EQ(status.sinks.size(), 1U);
  EXPECT_EQ(status.sinks[0].lag_s, 1.5);
  EXPECT_EQ(status.tenants.at(0).records, 7);
  EXPECT_EQ(status.keys_stale, 1);
}

TEST(NodeStatus, WhatIsWrongIsNamedWithItsPlace) {
  const std::string good = document_of({});
  EXPECT_EQ(problem(good), "");
  EXPECT_EQ(problem("{"), "it is not JSON");
  EXPECT_EQ(problem(""), "it is not JSON");
  EXPECT_EQ(problem("7"), "it is not a JSON object");
  EXPECT_EQ(problem("{}"), "it has no schema: this is no status of Inlet");
  EXPECT_EQ(problem(replaced(good, R"("schema":2)", R"("schema":3)")),
            "its schema is 3, ours is 2: another version of Inlet");
  EXPECT_EQ(problem(replaced(good, R"("health")", R"("wealth")")), "health is missing");
  EXPECT_EQ(problem(replaced(good, R"("Ok")", R"("Great")")), "health.level is not a level");
  EXPECT_EQ(problem(replaced(good, "12.5", R"("12.5")")), "journal.used_percent is not a number");
  EXPECT_EQ(problem(replaced(good, R"("node-a")", "7")), "node is no text");
  EXPECT_EQ(problem(replaced(good, R"("causes":[])", R"("causes":{})")),
            "health.causes is not a list");
  EXPECT_EQ(problem(replaced(good, R"("causes":[])", R"("causes":[1])")),
            "health.causes holds no objects");
}

TEST(NodeStatus, AHistogramThatCouldNotBeMergedIsRefused) {
  for (const std::string_view buckets :
       {"[[896,1]]", "[[-1,1]]", "[[1]]", "[[1,2,3]]", "[7]", "[[2,1],[1,1]]", "[[1,1],[1,1]]",
        "[[1,1.5]]", "[[1,1099511627777]]", "[[1,-1]]", "{}"}) {
    Sample sample;
    sample.buckets = buckets;
    EXPECT_NE(problem(document_of(sample)), "") << buckets;
  }
}

TEST(NodeStatus, SizeDepthAndListsAreBounded) {
  const std::string good = document_of({});
  EXPECT_EQ(problem(good + std::string(status_bytes_max, ' ')), "the document is too large");
  EXPECT_NE(problem(replaced(
                good, R"("causes":[])",
                R"("x":)" + std::string(50, '[') + std::string(50, ']') + R"(,"causes":[])")),
            "");
  Sample sample;
  sample.more = R"("tenants":[{})";
  for (std::size_t i = 0; i < list_entries_max; i++) sample.more += ",{}";
  sample.more += "]";
  EXPECT_EQ(problem(document_of(sample)), "tenants is too long");
}

TEST(NodeStatus, NoDocumentWhateverItsDamageStopsTheProgram) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string good =
      document_of({.more = R"("sinks":[{"name":"a","lag_s":1}],"tenants":[])"});
  std::size_t refused = 0;
  for (int round = 0; round < 20'000; round++) {
    std::string text = good;
    for (int i = 0; i < 3; i++) {
      constexpr std::string_view bytes = "0123456789-.eE{}[]\":,ntf \xff";
      text[random() % text.size()] = bytes[random() % bytes.size()];
    }
    if (random() % 4 == 0) text.resize(random() % text.size());
    auto status = parse_status(text);
    if (!status) {
      refused++;
      continue;
    }
    status->last_10s.merge(status->last_minute);  // Must hold its invariants.
    static_cast<void>(status->last_10s.latency.percentile_us(99));
  }
  EXPECT_GT(refused, 1'000U);
}

}  // namespace
}  // namespace inlet::top
