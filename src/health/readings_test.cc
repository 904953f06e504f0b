// Goal: a node's figures reach the rules, and those that say too little do not.
// Method: one node in good health, then one thing wrong with it at a time.

#include "health/readings.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace inlet::health {
namespace {

struct World {
  Interval minute{.length_us = 60'000'000};
  HostFigures host;
};

NodeState sound(World& world) {
  world.minute.totals[Flow::answers_2xx] = 1000;
  world.host.cpu =
      CpuShares{.user = 10, .nice = 0, .system = 5, .idle = 80, .iowait = 5, .steal = 0};
  world.host.memory = Memory{.total_bytes = 1000, .available_bytes = 700};
  world.host.disk = Space{.total_bytes = 1000, .free_bytes = 500};
  world.host.process.open_descriptors = 10;
  world.host.process.descriptors_max = 1000;
  return {.minute = world.minute,
          .host = world.host,
          .journal_used_bytes = 1,
          .journal_capacity_bytes = 1000,
          .journal_full_in_s = std::numeric_limits<double>::infinity(),
          .sinks = {{.name = "archive", .lag_s = 1, .silent_s = 1}},
          .client_memory_bytes = 1,
          .client_memory_max_bytes = 100};
}

Verdict judge_node(const std::function<void(NodeState&, World&)>& change) {
  World world;
  NodeState node = sound(world);
  change(node, world);
  return judge(readings_of(node));
}

TEST(Readings, a_sound_node_is_ok) {
  EXPECT_EQ(judge_node([](auto&, auto&) {}).level, Level::ok);
}

TEST(Readings, a_node_about_which_nothing_is_known_is_ok) {
  const Interval none;
  const HostFigures nothing;
  EXPECT_EQ(judge(readings_of({.minute = none, .host = nothing})).level, Level::ok);
}

TEST(Readings, two_failures_say_nothing_and_three_do) {
  const auto with_failures = [](std::uint64_t count) {
    return judge_node([count](NodeState&, World& world) {
      world.minute.totals[Flow::answers_2xx] = 0;
      world.minute.totals[Flow::answers_5xx] = count;
    });
  };
  EXPECT_EQ(with_failures(2).level, Level::ok);
  EXPECT_EQ(with_failures(3).level, Level::severe);
}

TEST(Readings, clients_errors_alone_never_make_a_node_bad) {
  const Verdict verdict = judge_node([](NodeState&, World& world) {
    world.minute.totals[Flow::answers_2xx] = 0;
    world.minute.totals[Flow::answers_4xx] = 5000;
  });
  EXPECT_EQ(verdict.level, Level::info);
}

TEST(Readings, an_empty_journal_is_not_asked_when_it_is_full) {
  const auto with_used = [](std::uint64_t used) {
    return judge_node([used](NodeState& node, World&) {
      node.journal_used_bytes = used;
      node.journal_full_in_s = 60;
    });
  };
  EXPECT_EQ(with_used(99).level, Level::ok);
  EXPECT_EQ(with_used(100).level, Level::severe);
}

struct Case {
  const char* name;
  std::function<void(NodeState&, World&)> change;
  Level level;
  const char* cause;
};

TEST(Readings, everything_that_can_be_wrong_is_told) {
  const std::vector<Case> cases = {
      {"refusing", [](NodeState& n, World&) { n.refusing = "stalled"; }, Level::severe,
       "the journal is stalled: records are refused"},
      {"latency", [](NodeState&, World& w) { w.minute.totals.request_latency.record(7'000'000); },
       Level::warning, "1 % of requests took 7 s or longer in the last minute"},
      {"commits", [](NodeState&, World& w) { w.minute.totals.commit_latency.record(150'000); },
       Level::info, "1 % of flushes took 0.15 s or longer in the last minute"},
      {"failed commits", [](NodeState&, World& w) { w.minute.totals[Flow::commits_failed] = 2; },
       Level::warning, "the disk refused 2 writes in the last minute"},
      {"journal", [](NodeState& n, World&) { n.journal_used_bytes = 860; }, Level::degraded,
       "journal 86 % full"},
      {"damage", [](NodeState& n, World&) { n.damaged_records = 4; }, Level::warning,
       "4 acknowledged records were found damaged on the disk"},
      {"lag", [](NodeState& n, World&) { n.sinks[0].lag_s = 400; }, Level::warning,
       "sink archive is 7 min behind"},
      {"failing",
       [](NodeState& n, World&) {
         n.sinks[0].failing_s = 7;
         n.sinks[0].error = "refused";
       },
       Level::warning, "sink archive has taken nothing for 7 s: refused"},
      {"silent", [](NodeState& n, World&) { n.sinks[0].silent_s = 125; }, Level::degraded,
       "the shipper of sink archive has not reported for 125 s"},
      {"dead", [](NodeState& n, World&) { n.sinks[0].dead_records_last_hour = 1; }, Level::info,
       "sink archive refused 1 records in the last hour"},
      {"disk", [](NodeState&, World& w) { w.host.disk->free_bytes = 30; }, Level::degraded,
       "disk 97 % full"},
      {"memory", [](NodeState&, World& w) { w.host.memory->available_bytes = 80; }, Level::warning,
       "memory 92 % used"},
      {"client memory", [](NodeState& n, World&) { n.client_memory_bytes = 85; }, Level::info,
       "memory for client data 85 % used"},
      {"cpu", [](NodeState&, World& w) { w.host.cpu->idle = 0; }, Level::info, "CPU 95 % busy"},
      {"descriptors", [](NodeState&, World& w) { w.host.process.open_descriptors = 900; },
       Level::warning, "90 % of file descriptors in use"},
      {"draining", [](NodeState& n, World&) { n.draining = true; }, Level::info,
       "draining: this node is about to leave"},
      {"keys", [](NodeState& n, World&) { n.keys_stale_s = 90; }, Level::warning,
       "the file of API keys cannot be read since 90 s; the keys before hold"},
      {"certificate", [](NodeState& n, World&) { n.certificates = {{"edge", 2.5}}; },
       Level::degraded, "certificate edge expires in 60 h"},
      {"healthd", [](NodeState& n, World&) { n.healthd_dropped_last_hour = 5; }, Level::info,
       "5 requests are missing in the healthd log of the last hour"},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.name);
    const Verdict verdict = judge_node(test.change);
    EXPECT_EQ(verdict.level, test.level);
    ASSERT_EQ(verdict.causes.size(), 1u);
    EXPECT_EQ(verdict.causes[0].text, test.cause);
  }
}

}  // namespace
}  // namespace inlet::health
