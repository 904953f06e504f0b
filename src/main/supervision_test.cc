// Goal: what ends is started again exactly when it should be; a reload touches only what changed.
// Method: the restart table over every combination of its inputs; reloads one change at a time.

#include "main/supervision.h"

#include <gtest/gtest.h>

namespace inlet::main {
namespace {

TEST(Backoff, doubles_to_its_most_and_starts_over_after_a_long_life) {
  Backoff backoff;
  Microseconds expected_us = restart_delay_min_us;
  for (int i = 0; i < 12; i++) {
    EXPECT_EQ(backoff.next(0), expected_us);
    expected_us = std::min(2 * expected_us, restart_delay_max_us);
  }
  EXPECT_EQ(backoff.next(alive_long_enough_us - 1), restart_delay_max_us);
  EXPECT_EQ(backoff.next(alive_long_enough_us), restart_delay_min_us);
  EXPECT_EQ(backoff.next(0), 2 * restart_delay_min_us);
}

TEST(AfterExit, every_combination_has_the_answer_the_rules_give) {
  for (const Role role : {Role::serve, Role::ship, Role::report, Role::logs}) {
    for (const Phase phase : {Phase::running, Phase::serve_draining, Phase::ships_draining,
                              Phase::emptying, Phase::logs_draining, Phase::stopping}) {
      for (const Intent intent : {Intent::run, Intent::restart, Intent::stop}) {
        for (const Ending ending : {Ending::fine, Ending::left_behind, Ending::fault}) {
          const bool stopped = phase == Phase::stopping || intent == Intent::stop;
          const bool ship = role == Role::ship;
          const bool lasts = ship || role == Role::logs;
          const bool door_closes = !lasts && phase != Phase::running;
          const bool settled =
              (phase == Phase::logs_draining && ending != Ending::fault) ||
              (ship && phase == Phase::ships_draining && ending != Ending::fault) ||
              (ship && phase == Phase::emptying && ending == Ending::fine);
          const bool emptied = settled && intent == Intent::run;
          const Next next = after_exit({role, phase, intent, ending});
          if (stopped || door_closes || emptied) {
            EXPECT_EQ(next, Next::gone);
          } else {
            EXPECT_EQ(next, intent == Intent::restart ? Next::start_now : Next::start_later);
          }
        }
      }
    }
  }
}

TEST(ClassifyStatus, tells_a_signal_and_each_exit_code_apart) {
  EXPECT_EQ(classify_status(0), Ending::fine);
  EXPECT_EQ(classify_status(3 << 8), Ending::left_behind);
  EXPECT_EQ(classify_status(1 << 8), Ending::fault);
  EXPECT_EQ(classify_status(2 << 8), Ending::fault);
  EXPECT_EQ(classify_status(15), Ending::fault);
}

Config base() {
  Config config;
  config.data = std::string("data");
  config.journal.path = std::string("data/journal");
  config.server.listen = {"127.0.0.1", 1};
  config.sinks = {SinkConfig{.name = "archive"}, SinkConfig{.name = "lake"}};
  return config;
}

// The plan from base() to what `change` makes of it.
template <typename Change>
Reload plan_after(Change change) {
  Config after = base();
  change(after);
  return plan_reload(base(), after);
}

TEST(PlanReload, does_nothing_when_nothing_changed) {
  EXPECT_EQ(plan_reload(base(), base()), Reload{});
}

TEST(PlanReload, restarts_one_ship_when_one_sink_changed) {
  Reload expected;
  expected.restart = {"lake"};
  EXPECT_EQ(plan_after([](Config& c) { c.sinks[1].batch_bytes = 9; }), expected);
}

TEST(PlanReload, starts_and_stops_ships_and_tells_serve_which_cursors_count) {
  Reload expected;
  expected.serve = true;
  expected.start = {"mirror"};
  expected.stop = {"lake"};
  EXPECT_EQ(plan_after([](Config& c) { c.sinks[1].name = std::string("mirror"); }), expected);
}

TEST(PlanReload, leaves_everybody_else_alone_when_the_archive_of_logs_changes) {
  const auto with = [](const char* place) {
    Config config = base();
    config.log.directory = std::string("logs");
    config.log.archive = std::string(place);
    return config;
  };
  Reload expected;
  EXPECT_EQ(plan_reload(with("kept"), with("kept")), expected);
  expected.logs = Change::start;
  EXPECT_EQ(plan_reload(with(""), with("kept")), expected);
  expected.logs = Change::stop;
  EXPECT_EQ(plan_reload(with("kept"), with("")), expected);
  expected.logs = Change::restart;
  EXPECT_EQ(plan_reload(with("kept"), with("elsewhere")), expected);
}

TEST(PlanReload, refuses_another_directory_of_logs) {
  const Reload plan = plan_after([](Config& c) { c.log.directory = std::string("logs"); });
  EXPECT_NE(plan.refusal.find("log.directory"), std::string::npos);
}

TEST(PlanReload, restarts_serve_alone_when_only_the_door_changed) {
  Reload expected;
  expected.serve = true;
  EXPECT_EQ(plan_after([](Config& c) { c.server.max_body_bytes = 9; }), expected);
  expected.ingest_listener = true;
  EXPECT_EQ(plan_after([](Config& c) { c.server.listen.port = 2; }), expected);
  expected.ingest_listener = false;
  expected.admin_listener = true;
  EXPECT_EQ(plan_after([](Config& c) { c.server.admin = Address{"127.0.0.1", 2}; }), expected);
}

TEST(PlanReload, restarts_everything_that_reads_what_changed_for_all) {
  Reload expected;
  expected.serve = true;
  expected.restart = {"archive", "lake"};
  EXPECT_EQ(plan_after([](Config& c) { c.log.level = LogLevel::debug; }), expected);
  EXPECT_EQ(plan_after([](Config& c) { c.node.name = std::string("other"); }), expected);
  EXPECT_EQ(plan_after([](Config& c) { c.streams.resize(1); }), expected);
  EXPECT_EQ(plan_after([](Config& c) { c.server.flush_deadline_us = 9; }), expected);
}

TEST(PlanReload, touches_what_reports_to_cloudwatch_only_for_what_it_reads) {
  Reload expected;
  expected.report = true;
  EXPECT_EQ(plan_after([](Config& c) { c.cloudwatch.put = true; }), expected);
  Config before = base();
  before.cloudwatch.put = true;
  Config after = before;
  after.cloudwatch.region = std::string("eu-west-1");
  EXPECT_EQ(plan_reload(before, after), expected);
  EXPECT_EQ(plan_reload(before, base()), expected);
  after = before;
  after.server.max_body_bytes = 9;
  EXPECT_FALSE(plan_reload(before, after).report);
  after.server.admin = Address{"127.0.0.1", 2};
  EXPECT_TRUE(plan_reload(before, after).report);
}

TEST(PlanReload, refuses_to_leave_a_journal_behind) {
  const Reload plan = plan_after([](Config& c) { c.journal.path = std::string("elsewhere"); });
  EXPECT_FALSE(plan.refusal.empty());
  EXPECT_FALSE(plan.serve);
}

}  // namespace
}  // namespace inlet::main
