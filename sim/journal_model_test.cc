// Goal: no acknowledged record is ever lost, altered, repeated or reordered by the journal, and
// nothing a crash leaves behind keeps it from opening.
// Method: the real journal on a simulated disk against a list of what it acknowledged
// (journal_world.h): every short sequence of events, a crash at every single change of a fixed run,
// and long random runs from seeds.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/log.h"
#include "sim/journal_world.h"
#include "sim/seeds.h"

namespace inlet::sim {
namespace {

constexpr std::uint64_t seeds_default = 1000;
constexpr std::uint64_t small_bytes = 300;
constexpr std::uint64_t large_bytes = 200'000;
constexpr std::uint64_t largest_bytes = 440'000;  // body_bytes_max() of a 1 MiB segment, nearly.

enum class Event : unsigned char {
  append_small,
  append_large,
  commit,
  power_cut,
  kill,
  ship_all,
  fail_flush,
  short_write,
  fill_disk,
};
constexpr std::array names = {"append small", "append large", "commit",      "power cut", "kill",
                              "ship all",     "fail flush",   "short write", "fill disk"};

void crash_and_open(JournalWorld& world, Crash how) {
  world.disk().clear_faults();
  world.crash(how);
  world.open();
}

void happen(JournalWorld& world, Event event) {
  switch (event) {
    case Event::append_small: return world.append(small_bytes);
    case Event::append_large: return world.append(large_bytes);
    case Event::commit: return world.commit();
    case Event::power_cut: return crash_and_open(world, Crash::power);
    case Event::kill: return crash_and_open(world, Crash::process);
    case Event::ship_all:
      world.commit();
      world.ship(1000);
      world.ship(0);  // Both slots of the cursor must have passed a record.
      return world.keep_house();
    case Event::fail_flush:
      return world.disk().inject({.on = Operation::flush, .path_part = "segment", .times = 1});
    case Event::short_write:
      return world.disk().inject({.on = Operation::write,
                                  .os = 0,
                                  .short_write = true,
                                  .path_part = "segment",
                                  .times = 1});
    case Event::fill_disk:
      return world.disk().set_capacity(1);  // Less than is used: nothing new fits.
  }
}

std::string told(const std::vector<Event>& story) {
  std::string text;
  for (const Event event : story) {
    text += std::string(text.empty() ? "" : ", ") + names[static_cast<std::size_t>(event)];
  }
  return text;
}

// --- (a) Every sequence of up to four events.

class AllStories {
 public:
  AllStories() : empty_(1) {
    empty_.open();
    empty_.close();
  }

  void tell(std::vector<Event>& story, std::size_t length) {
    if (story.size() == length) {
      play(story);
      return;
    }
    for (std::size_t event = 0; event < names.size(); event++) {
      story.push_back(static_cast<Event>(event));
      tell(story, length);
      story.pop_back();
      if (testing::Test::HasFailure()) return;
    }
  }

  std::size_t played = 0;

 private:
  void play(const std::vector<Event>& story) {
    JournalWorld world(++played, empty_);
    world.open();
    for (const Event event : story) happen(world, event);
    crash_and_open(world, Crash::power);
    EXPECT_EQ(world.complaints(), std::vector<std::string>{}) << told(story);
  }

  JournalWorld empty_;
};

TEST(JournalModel, keeps_its_promise_through_every_sequence_of_four_events) {
  set_log_level(LogLevel::off);
  AllStories all;
  std::vector<Event> story;
  all.tell(story, 4);  // Shorter ones are beginnings of these.
  EXPECT_EQ(all.played, 9U * 9U * 9U * 9U);
}

// --- (b) A crash at every change of one run.

// Fills several segments, ships, recycles, meets a failed flush and a short write.
void fixed_run(JournalWorld& world) {
  const auto up = [&] { return world.is_open() && world.disk().running(); };
  world.open();
  for (int round = 0; round < 12 && up(); round++) {
    for (int record = 0; record < 3; record++) world.append(small_bytes << record);
    if (round % 2 == 1) world.append(large_bytes);
    if (round == 4) happen(world, Event::fail_flush);
    if (round == 7) happen(world, Event::short_write);
    world.commit();
    if (up() && round % 4 == 3) world.ship(7);
    if (up() && round % 4 == 3) world.keep_house();
  }
}

std::uint64_t changes_of_fixed_run() {
  JournalWorld world(1);
  fixed_run(world);
  EXPECT_EQ(world.complaints(), std::vector<std::string>{});
  EXPECT_GT(world.acknowledged(), 30U);
  EXPECT_GT(world.refused(), 0U);
  return world.disk().changes();
}

void crash_fixed_run_at(std::uint64_t change, Crash how, std::uint64_t seed) {
  JournalWorld world(seed);
  world.disk().crash_at(change, how);
  fixed_run(world);
  world.disk().crash(how);  // Another seed may have come to its end with fewer changes.
  world.bury();
  world.disk().clear_faults();
  world.open();
  world.append(small_bytes);
  world.commit();
  world.ship(1000);
  crash_and_open(world, Crash::power);
  ASSERT_EQ(world.complaints(), std::vector<std::string>{})
      << "crash at change " << change << (how == Crash::power ? ", power" : ", process")
      << ", seed " << seed;
}

TEST(JournalModel, survives_a_crash_at_every_change_of_a_run) {
  set_log_level(LogLevel::off);
  constexpr std::uint64_t seeds_each = 5;
  const std::uint64_t changes = changes_of_fixed_run();
  ASSERT_GT(changes, 50U);
  for (std::uint64_t change = 2; change <= changes; change++) {
    for (std::uint64_t seed = 1; seed <= seeds_each; seed++) {
      crash_fixed_run_at(change, Crash::power, seed);
      crash_fixed_run_at(change, Crash::process, seed);
      if (testing::Test::HasFailure()) return;
    }
  }
}

// --- (c) Long random runs.

class RandomRun {
 public:
  explicit RandomRun(std::uint64_t seed) : world_(seed, options(seed)), random_(seed ^ 0xB01D) {
    world_.disk().allow_garbage(seed % 2 == 0);
  }

  void run() {
    const std::uint64_t lives = 2 + random_.below(5);
    for (std::uint64_t life = 0; life < lives; life++) {
      live();
      heal();
      if (world_.is_open() && random_.chance(0.2)) world_.close();
      const bool ended_well = !world_.is_open() && world_.disk().running();
      if (ended_well && random_.chance(0.5)) continue;
      world_.disk().crash(draw_crash());
      world_.bury();
    }
    world_.open();
    world_.compare();
  }

  [[nodiscard]] const JournalWorld& world() const { return world_; }

 private:
  static WorldOptions options(std::uint64_t seed) {
    return {.bytes_max = (seed % 3 == 0 ? 6U : 16U) << 20, .direct = seed % 4 != 0};
  }

  [[nodiscard]] Crash draw_crash() { return random_.chance(0.7) ? Crash::power : Crash::process; }

  void heal() {
    world_.disk().clear_faults();
    world_.disk().set_capacity(0);
  }

  void live() {
    if (random_.chance(0.7)) {
      // Often early, where the journal opens, and often late.
      const std::uint64_t reach = random_.chance(0.4) ? 12 : 120;
      world_.disk().crash_at(1 + random_.below(reach), draw_crash());
    }
    world_.open();
    const std::uint64_t steps = random_.below(60);
    for (std::uint64_t step = 0; step < steps; step++) {
      if (!world_.is_open() || !world_.disk().running()) return;
      act();
    }
    look_once_more();
  }

  // A commit mark that could not be written is made good by the next commit that succeeds.
  void look_once_more() {
    heal();
    const std::size_t before = world_.acknowledged();
    if (world_.is_open() && world_.disk().running()) world_.append(small_bytes);
    if (world_.is_open() && world_.disk().running()) world_.commit();
    if (world_.acknowledged() > before && world_.disk().running()) world_.compare();
  }

  void act() {
    const std::uint64_t choice = random_.below(100);
    if (choice < 40) return append();
    if (choice < 70) return world_.commit();
    if (choice < 77) return world_.ship(random_.below(20));
    if (choice < 80) return world_.ship(random_.below(50), JournalWorld::Sink::down);
    if (choice < 86) return world_.keep_house();
    if (choice < 88) return world_.clock().advance(2'000'000);
    if (choice < 91) return happen(world_, Event::fill_disk);
    if (choice < 95) return heal();
    fault();
  }

  void append() {
    const std::uint64_t kind = random_.below(10);
    if (kind < 7) return world_.append(random_.below(3000));
    if (kind < 9) return world_.append(random_.below(70'000));
    world_.append(random_.below(largest_bytes));
  }

  void fault() {
    Fault fault{.on = random_.chance(0.5) ? Operation::flush : Operation::write};
    if (fault.on == Operation::write && random_.chance(0.5)) {
      fault.os = 0;
      fault.short_write = true;
    } else if (random_.chance(0.2)) {
      fault.os = ENOSPC;
    }
    fault.times = random_.chance(0.7) ? 1 : Fault::for_ever;
    fault.probability = random_.chance(0.7) ? 1 : 0.3;
    world_.disk().inject(fault);
  }

  JournalWorld world_;
  Random random_;
};

TEST(JournalModel, keeps_its_promise_through_random_runs) {
  set_log_level(LogLevel::off);
  std::uint64_t acknowledged = 0;
  std::uint64_t refused = 0;
  for (const std::uint64_t seed : seeds_to_run("journal", seeds_default)) {
    RandomRun run(seed);
    run.run();
    acknowledged += run.world().acknowledged();
    refused += run.world().refused();
    ASSERT_EQ(run.world().complaints(), std::vector<std::string>{})
        << run.world().story() << replay_command(seed);
  }
  fmt::print("{} records acknowledged, {} refused\n", acknowledged, refused);
  EXPECT_GT(acknowledged, 0U);
}

}  // namespace
}  // namespace inlet::sim
