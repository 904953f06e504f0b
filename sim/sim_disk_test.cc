// Goal: the simulated disk does everything POSIX allows, and nothing it forbids.
// Method: each rule is one small story run over many seeds; every allowed outcome must be seen, no
// other may be. Then a long random story is checked against the rules byte by byte.

#include "sim/sim_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace inlet::sim {
namespace {

constexpr std::uint64_t seeds = 400;

std::string text_of(const SimDisk& disk, const std::string& path) {
  if (!disk.exists(path)) return "missing";
  const std::vector<std::byte> bytes = disk.contents(path);
  return std::string(as_text(bytes));
}

std::unique_ptr<File> open_file(SimDisk& disk, const std::string& path, OpenOptions options) {
  auto file = disk.open(path, options);
  EXPECT_TRUE(file.has_value()) << file.error().what;
  return std::move(*file);
}

void put(SimDisk& disk, const std::string& path, std::string_view text, Flush flush) {
  const auto file = open_file(disk, path, {.write = true, .create = true});
  ASSERT_TRUE(write_all(*file, as_bytes(text), 0, flush));
}

// Runs `story` on a fresh disk, loses power, and collects what `look` then sees, over all seeds.
template <typename Story, typename Look>
std::set<std::string> outcomes(Story story, Look look) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < seeds; seed++) {
    SimClock clock;
    SimDisk disk(clock, seed);
    EXPECT_TRUE(disk.make_directories("d/e"));
    story(disk);
    disk.crash(Crash::power);
    disk.restart();
    seen.insert(look(disk));
  }
  return seen;
}

using Seen = std::set<std::string>;

TEST(SimDisk, keeps_or_loses_a_name_until_its_directory_is_synced) {
  const auto look = [](SimDisk& disk) { return text_of(disk, "d/a"); };
  EXPECT_EQ(outcomes([](SimDisk& disk) { put(disk, "d/a", "x", Flush::yes); }, look),
            (Seen{"missing", "x"}));
  EXPECT_EQ(outcomes(
                [](SimDisk& disk) {
                  put(disk, "d/a", "x", Flush::yes);
                  ASSERT_TRUE(disk.sync_directory("d/e"));  // Another directory.
                },
                look),
            (Seen{"missing", "x"}));
  EXPECT_EQ(outcomes(
                [](SimDisk& disk) {
                  put(disk, "d/a", "x", Flush::yes);
                  ASSERT_TRUE(disk.sync_directory("d"));
                },
                look),
            (Seen{"x"}));
}

TEST(SimDisk, keeps_loses_or_shortens_what_was_written_but_not_flushed) {
  const auto unflushed = [](SimDisk& disk) {
    put(disk, "d/a", "old", Flush::yes);
    ASSERT_TRUE(disk.sync_directory("d"));
    put(disk, "d/a", "newer", Flush::no);
  };
  EXPECT_EQ(outcomes(unflushed, [](SimDisk& disk) { return text_of(disk, "d/a"); }),
            (Seen{"old", "new", std::string("old\0\0", 5), "newer"}));
}

TEST(SimDisk, keeps_what_sync_or_a_flushed_write_covered) {
  const auto look = [](SimDisk& disk) { return text_of(disk, "d/a"); };
  EXPECT_EQ(outcomes(
                [](SimDisk& disk) {
                  put(disk, "d/a", "older", Flush::no);
                  ASSERT_TRUE(disk.sync_directory("d"));
                  const auto file = open_file(disk, "d/a", {.write = true});
                  ASSERT_TRUE(file->sync());
                },
                look),
            (Seen{"older"}));
  // The flushed write covers its own bytes, not the earlier ones beside it.
  EXPECT_EQ(outcomes(
                [](SimDisk& disk) {
                  put(disk, "d/a", "....", Flush::yes);
                  ASSERT_TRUE(disk.sync_directory("d"));
                  const auto file = open_file(disk, "d/a", {.write = true});
                  ASSERT_TRUE(write_all(*file, as_bytes("abcd"), 0, Flush::no));
                  ASSERT_TRUE(write_all(*file, as_bytes("XY"), 1, Flush::yes));
                },
                look),
            (Seen{".XY.", "aXYd"}));
}

TEST(SimDisk, tears_an_unflushed_write_at_sectors_only) {
  std::set<std::string> patterns;
  const auto story = [](SimDisk& disk) {
    put(disk, "d/a", std::string(4 * sector_bytes, 'o'), Flush::yes);
    ASSERT_TRUE(disk.sync_directory("d"));
    put(disk, "d/a", std::string(4 * sector_bytes, 'n'), Flush::no);
  };
  const auto look = [](SimDisk& disk) {
    const std::string text = text_of(disk, "d/a");
    EXPECT_EQ(text.size(), 4 * sector_bytes);
    std::string pattern;
    for (std::size_t sector = 0; sector < 4; sector++) {
      const std::string piece = text.substr(sector * sector_bytes, sector_bytes);
      EXPECT_EQ(std::ranges::count(piece, piece[0]), std::ptrdiff_t{sector_bytes});
      pattern += piece[0];
    }
    return pattern;
  };
  EXPECT_EQ(outcomes(story, look).size(), 16U);  // Every mixture of old and new sectors.
}

TEST(SimDisk, leaves_garbage_in_a_torn_write_only_where_allowed) {
  const auto story = [](bool garbage) {
    return [garbage](SimDisk& disk) {
      disk.allow_garbage(garbage);
      put(disk, "d/a", std::string(8 * sector_bytes, 'o'), Flush::yes);
      ASSERT_TRUE(disk.sync_directory("d"));
      const auto file = open_file(disk, "d/a", {.write = true});
      const std::string fresh(4 * sector_bytes, 'n');
      ASSERT_TRUE(write_all(*file, as_bytes(fresh), 0, Flush::no));
    };
  };
  const auto look = [](SimDisk& disk) -> std::string {
    const std::string text = text_of(disk, "d/a");
    EXPECT_EQ(text.substr(4 * sector_bytes), std::string(4 * sector_bytes, 'o'));
    return text.find_first_not_of("on") == std::string::npos ? "clean" : "garbage";
  };
  EXPECT_EQ(outcomes(story(false), look), (Seen{"clean"}));
  EXPECT_EQ(outcomes(story(true), look), (Seen{"clean", "garbage"}));
}

TEST(SimDisk, decides_about_each_unflushed_write_on_its_own) {
  const auto story = [](SimDisk& disk) {
    put(disk, "d/a", std::string(2 * sector_bytes, '.'), Flush::yes);
    ASSERT_TRUE(disk.sync_directory("d"));
    const auto file = open_file(disk, "d/a", {.write = true});
    ASSERT_TRUE(write_all(*file, as_bytes("1"), 0, Flush::no));
    ASSERT_TRUE(write_all(*file, as_bytes("2"), sector_bytes, Flush::no));
  };
  const auto look = [](SimDisk& disk) {
    const std::string text = text_of(disk, "d/a");
    return std::string{text[0], text[sector_bytes]};
  };
  EXPECT_EQ(outcomes(story, look), (Seen{"..", "1.", ".2", "12"}));
}

TEST(SimDisk, does_a_rename_whole_or_not_at_all) {
  const auto look = [](SimDisk& disk) { return text_of(disk, "d/a") + "," + text_of(disk, "d/b"); };
  const auto story = [](bool synced) {
    return [synced](SimDisk& disk) {
      put(disk, "d/a", "new", Flush::yes);
      put(disk, "d/b", "old", Flush::yes);
      ASSERT_TRUE(disk.sync_directory("d"));
      ASSERT_TRUE(disk.rename("d/a", "d/b"));
      if (synced) {
        ASSERT_TRUE(disk.sync_directory("d"));
      }
    };
  };
  EXPECT_EQ(outcomes(story(false), look), (Seen{"new,old", "missing,new"}));
  EXPECT_EQ(outcomes(story(true), look), (Seen{"missing,new"}));
}

TEST(SimDisk, may_bring_a_removed_file_back_until_its_directory_is_synced) {
  const auto look = [](SimDisk& disk) { return text_of(disk, "d/a"); };
  const auto story = [](bool synced) {
    return [synced](SimDisk& disk) {
      put(disk, "d/a", "x", Flush::yes);
      ASSERT_TRUE(disk.sync_directory("d"));
      ASSERT_TRUE(disk.remove("d/a"));
      EXPECT_FALSE(disk.exists("d/a"));
      if (synced) {
        ASSERT_TRUE(disk.sync_directory("d"));
      }
    };
  };
  EXPECT_EQ(outcomes(story(false), look), (Seen{"missing", "x"}));
  EXPECT_EQ(outcomes(story(true), look), (Seen{"missing"}));
}

TEST(SimDisk, makes_directories_for_good_and_lists_names_in_order) {
  SimClock clock;
  SimDisk disk(clock, 1);
  ASSERT_TRUE(disk.make_directories("./x//y/"));
  put(disk, "x/b", "1", Flush::yes);
  put(disk, "x/a", "1", Flush::yes);
  EXPECT_EQ(*disk.list("x"), (std::vector<std::string>{"a", "b", "y"}));
  EXPECT_EQ(disk.list("nowhere").error().os, ENOENT);
  EXPECT_EQ(disk.open("nowhere/a", {.write = true, .create = true}).error().os, ENOENT);
  disk.crash(Crash::power);
  disk.restart();
  EXPECT_TRUE(disk.list("x/y").has_value());
}

// --- Failed flushes.

TEST(SimDisk, believes_a_later_flush_but_loses_what_a_failed_one_should_have_covered) {
  const auto story = [](SimDisk& disk) {
    put(disk, "d/a", std::string(1, '.'), Flush::yes);
    ASSERT_TRUE(disk.sync_directory("d"));
    const auto file = open_file(disk, "d/a", {.write = true});
    ASSERT_TRUE(write_all(*file, as_bytes("B"), 0, Flush::no));
    disk.inject({.on = Operation::flush, .times = 1});
    ASSERT_EQ(file->sync().error().os, EIO);
    ASSERT_TRUE(file->sync());  // "Succeeds",
    ASSERT_TRUE(write_all(*file, as_bytes("C"), 1, Flush::yes));
    ASSERT_EQ(text_of(disk, "d/a"), "BC");  // "is there",
  };
  EXPECT_EQ(outcomes(story, [](SimDisk& disk) { return text_of(disk, "d/a"); }),
            (Seen{".C", "BC"}));  // and may be gone.
}

TEST(SimDisk, abandons_a_flushed_write_whose_flush_failed) {
  const auto story = [](SimDisk& disk) {
    put(disk, "d/a", ".", Flush::yes);
    ASSERT_TRUE(disk.sync_directory("d"));
    const auto file = open_file(disk, "d/a", {.write = true});
    disk.inject({.on = Operation::flush, .times = 1});
    ASSERT_EQ(write_all(*file, as_bytes("B"), 0, Flush::yes).error().os, EIO);
    ASSERT_TRUE(file->sync());
  };
  EXPECT_EQ(outcomes(story, [](SimDisk& disk) { return text_of(disk, "d/a"); }), (Seen{".", "B"}));
}

TEST(SimDisk, covers_by_a_later_flush_what_a_failed_one_left_in_a_direct_file) {
  alignas(direct_alignment) static std::byte block[direct_alignment];
  const auto story = [](bool flushed_later) {
    return [flushed_later](SimDisk& disk) {
      const auto file = open_file(disk, "d/a", {.write = true, .create = true, .direct = true});
      ASSERT_TRUE(disk.sync_directory("d"));
      std::memset(block, '.', sizeof block);
      ASSERT_TRUE(write_all(*file, Bytes(block), 0, Flush::yes));
      std::memset(block, 'n', sizeof block);
      disk.inject({.on = Operation::flush, .times = 1});
      ASSERT_EQ(write_all(*file, Bytes(block), 0, Flush::yes).error().os, EIO);
      if (flushed_later) {
        ASSERT_TRUE(file->sync());
      }
    };
  };
  const auto look = [](SimDisk& disk) { return text_of(disk, "d/a").substr(0, 1); };
  EXPECT_EQ(outcomes(story(false), look), (Seen{".", "n"}));
  EXPECT_EQ(outcomes(story(true), look), (Seen{"n"}));
}

TEST(SimDisk, may_have_written_any_sector_of_a_failed_write) {
  const auto story = [](SimDisk& disk) {
    put(disk, "d/a", std::string(2 * sector_bytes, '.'), Flush::yes);
    ASSERT_TRUE(disk.sync_directory("d"));
    const auto file = open_file(disk, "d/a", {.write = true});
    disk.inject({.on = Operation::write});
    const std::string fresh(2 * sector_bytes, 'n');
    const auto failed = write_all(*file, as_bytes(fresh), 0, Flush::yes);
    ASSERT_EQ(failed.error().os, EIO);
    ASSERT_EQ(failed.error().kind, ErrorKind::retry);
  };
  const auto look = [](SimDisk& disk) {
    const std::string text = text_of(disk, "d/a");
    return std::string{text[0], text[sector_bytes]};
  };
  EXPECT_EQ(outcomes(story, look), (Seen{"..", "n.", ".n", "nn"}));
}

// --- Faults on demand.

TEST(SimDisk, strikes_the_calls_a_fault_names_and_no_others) {
  SimClock clock;
  SimDisk disk(clock, 1);
  disk.inject({.on = Operation::read, .path_part = "b", .skip = 1, .times = 2});
  put(disk, "a", "1", Flush::yes);
  put(disk, "b", "2", Flush::yes);
  const auto a = open_file(disk, "a", {});
  const auto b = open_file(disk, "b", {});
  std::byte byte;
  const auto read = [&](File& file) { return file.read_at(MutableBytes(&byte, 1), 0).has_value(); };
  std::vector<bool> answers;
  for (int call = 0; call < 4; call++) {
    EXPECT_TRUE(read(*a));
    answers.push_back(read(*b));
  }
  EXPECT_EQ(answers, (std::vector<bool>{true, false, false, true}));
  disk.inject({.on = Operation::open});
  EXPECT_FALSE(disk.open("a", {}).has_value());
  disk.clear_faults();
  EXPECT_TRUE(disk.open("a", {}).has_value());
}

TEST(SimDisk, writes_short_when_told_in_whole_blocks_of_a_direct_file) {
  std::set<std::size_t> lengths;
  for (std::uint64_t seed = 0; seed < seeds; seed++) {
    SimClock clock;
    SimDisk disk(clock, seed);
    const auto file = open_file(disk, "a", {.write = true, .create = true, .direct = true});
    disk.inject({.on = Operation::write, .os = 0, .short_write = true});
    alignas(direct_alignment) std::byte blocks[3 * direct_alignment] = {};
    const iovec part{blocks, sizeof blocks};
    const auto written = file->write_at(std::span(&part, 1), 0, Flush::yes);
    ASSERT_TRUE(written.has_value());
    lengths.insert(*written);
    EXPECT_EQ(*file->size(), *written);
  }
  EXPECT_EQ(lengths, (std::set<std::size_t>{direct_alignment, 2 * direct_alignment}));
}

TEST(SimDisk, stalls_on_the_clock) {
  SimClock clock;
  SimDisk disk(clock, 1);
  const Microseconds before = clock.steady_us();
  disk.inject({.on = Operation::flush, .os = 0, .stall_us = 5'000'000, .times = 1});
  put(disk, "a", "1", Flush::yes);
  put(disk, "a", "1", Flush::yes);
  EXPECT_EQ(clock.steady_us() - before, 5'000'000);
}

TEST(SimDisk, fills_up_with_a_short_write_and_then_no_space) {
  SimClock clock;
  SimDisk disk(clock, 1);
  disk.set_capacity(3 * 4096);
  const auto file = open_file(disk, "a", {.write = true, .create = true});
  std::vector<std::byte> bytes(2 * 4096 + 100);
  iovec part{bytes.data(), bytes.size()};
  EXPECT_EQ(*file->write_at(std::span(&part, 1), 0, Flush::yes), bytes.size());
  EXPECT_EQ(disk.space(".")->free_bytes, 0U);
  // The third block is already allocated: only what is behind it does not fit.
  EXPECT_EQ(*file->write_at(std::span(&part, 1), bytes.size(), Flush::yes), 4096U - 100U);
  const auto full = file->write_at(std::span(&part, 1), 3 * 4096, Flush::yes);
  EXPECT_EQ(full.error().os, ENOSPC);
  EXPECT_EQ(full.error().kind, ErrorKind::overload);
  EXPECT_EQ(*file->write_at(std::span(&part, 1), 0, Flush::yes), bytes.size());  // In place.
  EXPECT_EQ(disk.open("b", {.write = true, .create = true}).error().os, ENOSPC);
  ASSERT_TRUE(disk.remove("a"));
  EXPECT_EQ(disk.space(".")->free_bytes, 3U * 4096U);
}

TEST(SimDisk, refuses_every_change_while_read_only) {
  SimClock clock;
  SimDisk disk(clock, 1);
  put(disk, "a", "1", Flush::yes);
  const auto file = open_file(disk, "a", {.write = true});
  disk.set_read_only(true);
  EXPECT_EQ(write_all(*file, as_bytes("2"), 0, Flush::no).error().os, EROFS);
  EXPECT_EQ(disk.open("a", {.write = true}).error().os, EROFS);
  EXPECT_EQ(disk.open("b", {.write = true, .create = true}).error().os, EROFS);
  EXPECT_EQ(disk.rename("a", "b").error().os, EROFS);
  EXPECT_EQ(disk.remove("a").error().os, EROFS);
  EXPECT_EQ(disk.make_directories("c").error().os, EROFS);
  EXPECT_EQ(disk.lock("a").error().os, EROFS);
  EXPECT_TRUE(disk.open("a", {}).has_value());
}

// --- Crashes.

TEST(SimDisk, goes_down_during_the_chosen_change_and_stays_down_until_restart) {
  SimClock clock;
  SimDisk disk(clock, 1);
  put(disk, "a", "1", Flush::yes);
  const auto file = open_file(disk, "a", {.write = true});
  disk.crash_at(2, Crash::power);
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(file->sync().error().kind, ErrorKind::stopped);
  EXPECT_FALSE(disk.running());
  EXPECT_EQ(file->size().error().kind, ErrorKind::stopped);
  EXPECT_EQ(disk.open("a", {}).error().kind, ErrorKind::stopped);
  EXPECT_EQ(disk.list(".").error().kind, ErrorKind::stopped);
  disk.restart();
  EXPECT_EQ(file->size().error().kind, ErrorKind::stopped);  // Opened in an earlier life.
  EXPECT_TRUE(disk.list(".").has_value());
}

TEST(SimDisk, may_keep_lose_or_tear_the_write_during_which_power_goes) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < seeds; seed++) {
    SimClock clock;
    SimDisk disk(clock, seed);
    put(disk, "a", std::string(2 * sector_bytes, '.'), Flush::yes);
    ASSERT_TRUE(disk.sync_directory("."));
    const auto file = open_file(disk, "a", {.write = true});
    disk.crash_at(1, Crash::power);
    const std::string fresh(2 * sector_bytes, 'n');
    EXPECT_FALSE(write_all(*file, as_bytes(fresh), 0, Flush::yes));
    disk.restart();
    const std::string text = text_of(disk, "a");
    seen.insert(std::string{text[0], text[sector_bytes]});
  }
  EXPECT_EQ(seen, (Seen{"..", "n.", ".n", "nn"}));
}

TEST(SimDisk, keeps_everything_when_only_the_process_dies_but_part_of_its_last_write) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < seeds; seed++) {
    SimClock clock;
    SimDisk disk(clock, seed);
    put(disk, "a", std::string(2 * sector_bytes, '.'), Flush::no);
    const auto file = open_file(disk, "a", {.write = true});
    disk.crash_at(1, Crash::process);
    const std::string fresh(2 * sector_bytes, 'n');
    EXPECT_FALSE(write_all(*file, as_bytes(fresh), 0, Flush::no));
    disk.restart();
    const std::string text = text_of(disk, "a");
    seen.insert(std::string{text[0], text[sector_bytes]});
  }
  EXPECT_EQ(seen, (Seen{"..", "n.", "nn"}));
}

TEST(SimDisk, lets_go_of_locks_with_their_owner_and_with_a_crash) {
  SimClock clock;
  SimDisk disk(clock, 1);
  auto held = disk.lock("lock");
  ASSERT_TRUE(held.has_value());
  EXPECT_EQ(disk.lock("lock").error().kind, ErrorKind::reject);
  held->reset();
  auto again = disk.lock("lock");
  ASSERT_TRUE(again.has_value());
  disk.crash(Crash::process);
  disk.restart();
  auto after = disk.lock("lock");
  ASSERT_TRUE(after.has_value());
  again->reset();  // The dead owner's object must not free the new owner's lock.
  EXPECT_FALSE(disk.lock("lock").has_value());
}

TEST(SimDisk, counts_and_traces_changes_and_not_looks) {
  SimClock clock;
  SimDisk disk(clock, 1);
  ASSERT_TRUE(disk.make_directories("d"));
  put(disk, "d/a", "12", Flush::yes);
  std::ignore = disk.list("d");
  std::ignore = disk.open("d/a", {});
  ASSERT_TRUE(disk.rename("d/a", "d/b"));
  ASSERT_TRUE(disk.sync_directory("d"));
  EXPECT_EQ(disk.changes(), 5U);
  const std::vector<Step> trace = disk.trace();
  ASSERT_EQ(trace.size(), 5U);
  EXPECT_EQ(to_string(trace[2]), "write d/a [0, +2)");
  EXPECT_EQ(to_string(trace[4]), "flush directory d [0, +0)");
}

TEST(SimDisk, does_the_same_for_the_same_seed) {
  const auto run = [](std::uint64_t seed) {
    SimClock clock;
    SimDisk disk(clock, seed);
    for (int file = 0; file < 20; file++) {
      put(disk, std::to_string(file), std::string(3000, 'x'), Flush::no);
    }
    disk.crash(Crash::power);
    disk.restart();
    std::string all;
    for (const std::string& path : disk.paths()) all += path + text_of(disk, path);
    return all;
  };
  std::set<std::string> different;
  for (std::uint64_t seed = 0; seed < 20; seed++) {
    const std::string once = run(seed);
    EXPECT_EQ(once, run(seed)) << "seed " << seed;
    different.insert(once);
  }
  EXPECT_GT(different.size(), 10U);
}

TEST(SimDisk, damages_and_copies_a_disk_at_rest) {
  SimClock clock;
  SimDisk disk(clock, 1);
  put(disk, "a", std::string(5000, 'x'), Flush::no);
  const auto other = disk.copy(clock, 2);
  other->crash(Crash::power);
  other->restart();
  EXPECT_EQ(text_of(*other, "a"), std::string(5000, 'x'));
  other->flip_bit("a", 8);
  EXPECT_EQ(text_of(*other, "a")[1], 'y');
  other->zero_page("a", 0);
  EXPECT_EQ(text_of(*other, "a"), std::string(4096, '\0') + std::string(904, 'x'));
  other->truncate("a", 10);
  EXPECT_EQ(text_of(*other, "a").size(), 10U);
  EXPECT_EQ(text_of(disk, "a"), std::string(5000, 'x'));
}

TEST(SimDiskDeathTest, stops_at_direct_io_that_is_not_aligned) {
  SimClock clock;
  SimDisk disk(clock, 1);
  const auto file = open_file(disk, "a", {.write = true, .create = true, .direct = true});
  alignas(direct_alignment) std::byte block[2 * direct_alignment] = {};
  const Bytes whole(block, direct_alignment);
  EXPECT_DEATH(std::ignore = write_all(*file, whole, 512, Flush::no), "check failed");
  EXPECT_DEATH(std::ignore = write_all(*file, whole.first(100), 0, Flush::no), "check failed");
  EXPECT_DEATH(std::ignore = write_all(*file, Bytes(block + 64, direct_alignment), 0, Flush::no),
               "check failed");
  EXPECT_TRUE(write_all(*file, whole, 0, Flush::no));
}

// --- All rules together: single bytes of one file under random writes, flushes and crashes.

class RandomStory {
 public:
  explicit RandomStory(std::uint64_t seed) : random_(seed), disk_(clock_, seed) {
    put(disk_, "a", std::string(bytes, 0), Flush::yes);
    EXPECT_TRUE(disk_.sync_directory("."));
    possible_.assign(bytes, {0});
  }

  void run() {
    for (int life = 0; life < 5; life++) {
      auto file = open_file(disk_, "a", {.write = true});
      const std::uint64_t steps = random_.below(30);
      for (std::uint64_t step = 0; step < steps; step++) act(*file);
      file.reset();
      disk_.crash(Crash::power);
      disk_.restart();
      check();
    }
  }

 private:
  static constexpr std::uint64_t bytes = 4096;

  void act(File& file) {
    const std::uint64_t choice = random_.below(4);
    if (choice == 0) {
      EXPECT_TRUE(file.sync());
      for (auto& values : possible_) values = {values.back()};
      return;
    }
    const std::uint64_t offset = random_.below(bytes);
    const std::uint64_t length = 1 + random_.below(bytes - offset);
    const std::vector<std::byte> fresh(length, static_cast<std::byte>(++stamp_));
    const Flush flush = choice == 1 ? Flush::yes : Flush::no;
    EXPECT_TRUE(write_all(file, fresh, offset, flush));
    for (std::uint64_t at = offset; at < offset + length; at++) {
      if (flush == Flush::yes) possible_[at].clear();
      possible_[at].push_back(stamp_);
    }
  }

  // Each byte holds its flushed value or one written since, and from now on it is flushed.
  void check() {
    const std::vector<std::byte> found = disk_.contents("a");
    ASSERT_EQ(found.size(), bytes);
    for (std::uint64_t at = 0; at < bytes; at++) {
      const auto value = static_cast<unsigned char>(found[at]);
      ASSERT_TRUE(std::ranges::count(possible_[at], value) > 0) << "byte " << at;
      possible_[at] = {value};
    }
  }

  Random random_;
  SimClock clock_;
  SimDisk disk_;
  std::vector<std::vector<unsigned char>> possible_;  // Oldest, flushed value first.
  unsigned char stamp_ = 0;
};

TEST(SimDisk, never_leaves_a_byte_that_was_not_written_there_since_the_last_flush) {
  for (std::uint64_t seed = 0; seed < seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStory(seed).run();
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace inlet::sim
