// Goal: a cursor never skips a record, whatever happens to its disk.
// Method: random saves with crashes and faults at random changes against a list of the states
// saved; then damage of every kind to a cursor at rest.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "journal/cursor.h"
#include "sim/seeds.h"
#include "sim/sim_disk.h"

namespace inlet::journal {
namespace {

using sim::Crash;
using sim::Operation;
using sim::Random;
using sim::SimClock;
using sim::SimDisk;

constexpr std::uint64_t seeds_default = 1000;
constexpr std::size_t seeds_that_tell = 30;
const std::string directory = "j";
const std::string sink = "archive";
const std::string path = "j/cursors/archive.cursor";

// The n-th state a shipper would save.
CursorState state_number(std::uint64_t n) {
  return {.journal_id = 7,
          .next = {.segment = 1 + n / 100, .offset = 4096 * n, .sequence = 1 + 3 * n},
          .planned_ends = {},
          .records_delivered = 3 * n,
          .bytes_delivered = 1000 * n,
          .records_rejected = n / 7,
          .records_lost = n / 9,
          .saved_us = static_cast<Microseconds>(n)};
}

class CursorRun {
 public:
  explicit CursorRun(std::uint64_t seed) : random_(seed), disk_(clock_, seed) {}

  void run() {
    for (int life = 0; life < 6; life++) {
      if (random_.chance(0.8)) {
        disk_.crash_at(1 + random_.below(20), random_.chance(0.7) ? Crash::power : Crash::process);
      }
      live();
      if (testing::Test::HasFatalFailure()) return;
      disk_.crash(Crash::power);
      disk_.restart();
      disk_.clear_faults();
    }
    live();
  }

 private:
  void live() {
    auto cursor = Cursor::open(disk_, directory, sink);
    if (!disk_.running()) return;
    ASSERT_TRUE(cursor.has_value()) << cursor.error().what;
    recall((*cursor)->state());
    const std::uint64_t saves = random_.below(12);
    for (std::uint64_t save = 0; save < saves && disk_.running(); save++) {
      if (random_.chance(0.2)) fault();
      tried_++;
      if ((*cursor)->save(state_number(tried_))) saved_ = tried_;
      disk_.clear_faults();
      note_durable();
    }
  }

  void fault() {
    constexpr std::array kinds = {Operation::flush, Operation::write};
    disk_.inject({.on = kinds[random_.below(kinds.size())], .times = 1});
  }

  // The cursor stands at the last save that succeeded, or at a later one that was tried.
  void recall(const CursorState& state) {
    ASSERT_GE(state.next.sequence, durable_);
    if (state == CursorState{}) {
      ASSERT_EQ(saved_, 0U);
      return;
    }
    const std::uint64_t n = (state.next.sequence - 1) / 3;
    ASSERT_EQ(state, state_number(n)) << "altered";
    ASSERT_GE(n, saved_);
    ASSERT_LE(n, tried_);
    saved_ = n;  // What a shipper was told once must hold.
  }

  void note_durable() {
    if (!disk_.running()) return;
    const auto view = read_cursor(disk_, directory, sink);
    ASSERT_TRUE(view.has_value());
    ASSERT_TRUE(view->has_value());
    ASSERT_LE((*view)->durable_sequence, state_number(saved_).next.sequence);
    durable_ = std::max(durable_, (*view)->durable_sequence);
  }

  Random random_;
  SimClock clock_;
  SimDisk disk_;
  std::uint64_t tried_ = 0;
  std::uint64_t saved_ = 0;
  std::uint64_t durable_ = 1;  // serve may have recycled everything before this.
};

TEST(CursorModel, stands_where_the_last_save_left_it_through_crashes_and_faults) {
  set_log_level(LogLevel::off);
  for (const std::uint64_t seed : sim::seeds_to_run("cursor", seeds_default)) {
    SCOPED_TRACE(sim::replay_command(seed));
    CursorRun(seed).run();
    if (testing::Test::HasFatalFailure()) return;
  }
}

// --- Damage at rest.

void damage(SimDisk& disk, Random& random) {
  const std::uint64_t bytes = disk.contents(path).size();
  switch (random.below(3)) {
    case 0: disk.flip_bit(path, random.below(bytes * 8)); return;
    case 1: disk.zero_page(path, random.below(bytes / 4096)); return;
    default: disk.truncate(path, random.below(bytes));
  }
}

TEST(CursorModel, goes_back_at_most_but_never_forward_when_damaged) {
  set_log_level(LogLevel::off);
  constexpr std::uint64_t saves = 5;
  SimClock clock;
  SimDisk whole(clock, 1);
  {
    auto cursor = Cursor::open(whole, directory, sink);
    ASSERT_TRUE(cursor.has_value());
    for (std::uint64_t n = 1; n <= saves; n++) ASSERT_TRUE((*cursor)->save(state_number(n)));
  }
  std::uint64_t went_back = 0;
  const auto seeds = sim::seeds_to_run("cursor_damage", seeds_default);
  for (const std::uint64_t seed : seeds) {
    SCOPED_TRACE(sim::replay_command(seed));
    const auto disk = whole.copy(clock, seed);
    Random random(seed);
    damage(*disk, random);
    const auto view = read_cursor(*disk, directory, sink);
    ASSERT_TRUE(view && *view);
    ASSERT_LE((*view)->durable_sequence, state_number(saves).next.sequence);
    const auto cursor = Cursor::open(*disk, directory, sink);
    ASSERT_TRUE(cursor.has_value()) << cursor.error().what;
    const CursorState& state = (*cursor)->state();
    const bool expected =
        state == state_number(saves) || state == state_number(saves - 1) || state == CursorState{};
    ASSERT_TRUE(expected) << "altered: next sequence " << state.next.sequence;
    went_back += state == state_number(saves) ? 0 : 1;
    ASSERT_TRUE((*cursor)->save(state_number(saves + 1)));
    EXPECT_EQ((*cursor)->state(), state_number(saves + 1));
  }
  // A few seeds prove nothing about how often damage matters.
  if (seeds.size() >= seeds_that_tell) {
    EXPECT_GT(went_back, seeds.size() / 10);
  }
}

}  // namespace
}  // namespace inlet::journal
