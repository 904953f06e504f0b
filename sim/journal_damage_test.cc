// Goal: bytes that rot on a disk at rest cost at most the records they were part of. No altered
// record is delivered, every loss is reported, and the journal opens and goes on.
// Method: one journal of several segments; for each seed a copy of it with one flipped bit, zeroed
// page or truncation in a segment or the commit mark, read back with and without opening it.
// Frames overlapping the damage are found by a scan of the undamaged files.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "journal/format.h"
#include "sim/journal_world.h"
#include "sim/seeds.h"

namespace inlet::sim {
namespace {

constexpr std::uint64_t seeds_default = 1000;

// Where an acknowledged record stands.
struct Place {
  std::string path;
  std::uint64_t begin;
  std::uint64_t end;
  std::uint64_t sequence;
};

struct Damaged {
  std::string path;
  std::uint64_t begin;
  std::uint64_t end;
  std::string what;
};

class DamagedJournal : public testing::Test {
 protected:
  DamagedJournal() : sound_(1) {
    set_log_level(LogLevel::off);
    sound_.open();
    for (int record = 0; record < 90; record++) {
      sound_.append(record % 6 == 5 ? 150'000 : 100 + 97 * static_cast<std::uint64_t>(record));
      if (record % 4 == 3) sound_.commit();
      sound_.keep_house();
    }
    sound_.ship(5);
    sound_.close();
    for (const std::string& path : sound_.disk().paths()) {
      if (path.find("/segment-") != std::string::npos) scan(path);
    }
  }

  void scan(const std::string& path) {
    const std::vector<std::byte> bytes = sound_.disk().contents(path);
    std::uint64_t used = 0;
    for (std::uint64_t at = 0; at + journal::frame_header_bytes <= bytes.size();
         at += limits::frame_alignment) {
      const auto header = journal::decode_frame_header(Bytes(bytes).subspan(at));
      if (!header) continue;
      used = at + header->frame_bytes();
      if (header->type != journal::FrameType::record) continue;
      places_.push_back(
          {path, at, at + journal::frame_header_bytes + header->payload_bytes, header->sequence});
    }
    if (used > 0) segments_.push_back({path, 0, used, "used"});
  }

  [[nodiscard]] Damaged damage_segment(SimDisk& disk, Random& random) const {
    const Damaged& segment = segments_[random.below(segments_.size())];
    switch (random.below(8)) {
      case 0: {
        const std::uint64_t size = random.below(segment.end);
        disk.truncate(segment.path, size);
        return {segment.path, size, UINT64_MAX, fmt::format("cut at {}", size)};
      }
      case 1:
      case 2: {
        const std::uint64_t page = random.below(segment.end / 4096);
        disk.zero_page(segment.path, page);
        return {segment.path, page * 4096, page * 4096 + 4096, fmt::format("page {} zeroed", page)};
      }
      default: {
        const std::uint64_t at = byte_to_flip(segment, random);
        disk.flip_bit(segment.path, at * 8 + random.below(8));
        return {segment.path, at, at + 1, fmt::format("a bit of byte {} flipped", at)};
      }
    }
  }

  // Headers are small: aim at them half of the time.
  [[nodiscard]] std::uint64_t byte_to_flip(const Damaged& segment, Random& random) const {
    if (random.chance(0.1)) return random.below(64);
    if (random.chance(0.5)) return random.below(segment.end);
    while (true) {
      const Place& place = places_[random.below(places_.size())];
      if (place.path == segment.path) return place.begin + random.below(96);
    }
  }

  [[nodiscard]] std::set<std::uint64_t> overlapping(const Damaged& damaged) const {
    std::set<std::uint64_t> sequences;
    for (const Place& place : places_) {
      if (place.path == damaged.path && place.begin < damaged.end && damaged.begin < place.end) {
        sequences.insert(place.sequence);
      }
    }
    return sequences;
  }

  // What is missing is what the damage overlapped, and all of it was reported.
  void judge(const JournalWorld& world, const JournalWorld::Found& found,
             const std::set<std::uint64_t>& overlapped) {
    std::set<std::uint64_t> reported;
    for (const journal::Damage& damage : found.damage) {
      for (std::uint64_t sequence = damage.first_sequence; sequence < damage.end_sequence;
           sequence++) {
        EXPECT_TRUE(overlapped.contains(sequence)) << "reported lost, not hit: " << sequence;
        EXPECT_TRUE(reported.insert(sequence).second) << "reported twice: " << sequence;
        EXPECT_FALSE(found.records.contains(sequence)) << "reported lost, yet read: " << sequence;
      }
    }
    for (const auto& [sequence, id] : world.acknowledged_records()) {
      if (found.records.contains(sequence)) continue;
      lost_++;
      EXPECT_TRUE(overlapped.contains(sequence)) << "lost, but not hit: " << sequence;
      EXPECT_TRUE(reported.contains(sequence)) << "lost without a word: " << sequence;
    }
  }

  void go_on(JournalWorld& world) {
    world.append(500);
    world.commit();
    EXPECT_EQ(world.acknowledged(), sound_.acknowledged() + 1);
    const auto found = world.read_everything();
    EXPECT_TRUE(found.records.contains(world.acknowledged_records().rbegin()->first));
  }

  JournalWorld sound_;
  std::vector<Place> places_;
  std::vector<Damaged> segments_;
  std::uint64_t lost_ = 0;
};

TEST_F(DamagedJournal, loses_only_what_the_damage_hit_and_says_so) {
  ASSERT_GE(segments_.size(), 3U);
  ASSERT_EQ(places_.size(), sound_.acknowledged());
  for (const std::uint64_t seed : seeds_to_run("journal_damage", seeds_default)) {
    JournalWorld world(seed, sound_);
    const Damaged damaged = damage_segment(world.disk(), world.random());
    SCOPED_TRACE(damaged.path + ": " + damaged.what + ", " + replay_command(seed));
    const std::set<std::uint64_t> overlapped = overlapping(damaged);
    judge(world, world.read_everything(), overlapped);  // As a shipper, before serve restarts.
    world.open(JournalWorld::Disk::damaged);
    ASSERT_TRUE(world.is_open()) << world.complaints().back();
    judge(world, world.read_everything(), overlapped);
    go_on(world);
    EXPECT_EQ(world.complaints(), std::vector<std::string>{}) << world.story();
    if (HasFailure()) return;
  }
  EXPECT_GT(lost_, 0U);
}

TEST_F(DamagedJournal, loses_nothing_with_the_commit_mark) {
  const std::string path = JournalWorld::directory + "/commit";
  for (const std::uint64_t seed : seeds_to_run("mark_damage", seeds_default / 4)) {
    SCOPED_TRACE(replay_command(seed));
    JournalWorld world(seed, sound_);
    const std::uint64_t bytes = world.disk().contents(path).size();
    switch (world.random().below(4)) {
      case 0: world.disk().truncate(path, world.random().below(bytes)); break;
      case 1: world.disk().zero_page(path, 0); break;
      default: world.disk().flip_bit(path, world.random().below(bytes * 8));
    }
    std::ignore = world.read_everything();  // May see nothing yet; nothing wrong, for certain.
    world.open();
    go_on(world);
    EXPECT_EQ(world.complaints(), std::vector<std::string>{}) << world.story();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace inlet::sim
