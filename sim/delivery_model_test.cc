// Goal: every acknowledged record stands in the archive exactly once, whatever crashes the shipper
// and the disk go through, and the cursor never passes one that is not safe there.
// Method: the real journal, shipper and file sink on one simulated disk. Delivery is crashed at
// every change it makes to the disk, then at random ones under random faults while records go on
// arriving; the archive is decoded line by line and compared with what was acknowledged.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "ship/shipper.h"
#include "sim/journal_world.h"
#include "sim/seeds.h"
#include "sinks/file_sink.h"

namespace inlet::sim {
namespace {

constexpr std::uint64_t seeds_default = 300;
const std::string archive = "data/archive";
const std::string dead = "data/dead/archive";
constexpr std::uint64_t turns_max = 10'000;

// --- Reading the archive.

std::vector<std::byte> from_base64(std::string_view text) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::byte> bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char digit : text) {
    const std::size_t value = digits.find(digit);
    if (value == std::string_view::npos) break;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<std::byte>(bits >> count));
  }
  return bytes;
}

std::string unpacked(const std::string& path, Bytes object) {
  if (!path.ends_with(".zst")) return std::string(as_text(object));
  const auto bytes = ZSTD_getFrameContentSize(object.data(), object.size());
  std::string text(bytes < (1U << 30) ? bytes : 16U << 20, '\0');
  const std::size_t got = ZSTD_decompress(text.data(), text.size(), object.data(), object.size());
  if (ZSTD_isError(got) != 0) return "not a zstd stream";
  text.resize(got);
  return text;
}

// The value of a string member; empty if it is not there.
std::string_view member(std::string_view line, std::string_view name) {
  const std::string start = fmt::format("\"{}\":\"", name);
  const std::size_t at = line.find(start);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + start.size());
  return line.substr(0, line.find('"'));
}

// How often each record stands in the archive, by id.
std::map<std::uint64_t, int> read_archive(const JournalWorld& world, const SimDisk& disk) {
  std::map<std::uint64_t, int> counts;
  for (const std::string& path : disk.paths()) {
    const bool temporary = path.substr(path.find_last_of('/') + 1).starts_with(".");
    if (!path.starts_with(archive + "/") || temporary) continue;
    const std::string text = unpacked(path, disk.contents(path));
    EXPECT_TRUE(text.ends_with('\n')) << path << " is not whole";
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      const std::string_view line = std::string_view(text).substr(at, end - at);
      const auto id = world.id_of_body(from_base64(member(line, "base64")));
      EXPECT_TRUE(id.has_value()) << "altered in " << path << ": " << line.substr(0, 200);
      if (id) counts[*id]++;
      if (end == std::string::npos) break;
      at = end + 1;
    }
  }
  return counts;
}

// --- A shipper's process.

class Delivery {
 public:
  Delivery(JournalWorld& world, sinks::Compression compression)
      : world_(world),
        source_(world.disk(), JournalWorld::directory),
        sink_(world.disk(), {.path = archive, .archive = {.compression = compression}}),
        dead_letters_(world.disk(), dead, JournalWorld::sink),
        damage_log_(world.disk(), JournalWorld::directory + "/cursors/archive.damage"),
        ledger_(world.disk(), JournalWorld::directory, JournalWorld::sink) {}

  // False if the cursor could not be opened.
  bool start() {
    auto cursor = journal::Cursor::open(world_.disk(), JournalWorld::directory, JournalWorld::sink);
    if (!cursor) return false;
    cursor_ = std::move(*cursor);
    ship::ShipperOptions options;
    options.sink = JournalWorld::sink;
    options.node = "node-a";
    options.batch = {.batch_bytes = 60'000, .batch_records = 9};
    shipper_.emplace(world_.clock(), source_, *cursor_, sink_, dead_letters_, damage_log_, ledger_,
                     options);
    return true;
  }

  // One turn and the wait after it. True when nothing is left to do.
  bool turn() {
    const ship::Step step = shipper_->run_once(ship::Pace::flush);
    const journal::CursorState& state = cursor_->state();
    world_.passed(std::max(state.next.sequence, state.planned_end()));
    world_.clock().advance(step.wait_us);
    return step.caught_up;
  }

  void run() {
    for (std::uint64_t turns = 0; turns < turns_max && world_.disk().running(); turns++) {
      if (turn()) return;
    }
    EXPECT_FALSE(world_.disk().running()) << "the shipper does not come to an end";
  }

 private:
  JournalWorld& world_;
  ship::JournalSource source_;
  sinks::FileSink sink_;
  ship::DeadLetters dead_letters_;
  ship::DamageLog damage_log_;
  journal::Ledger ledger_;
  std::unique_ptr<journal::Cursor> cursor_;
  std::optional<ship::Shipper> shipper_;
};

// What the cursor has passed is safe in the archive.
void check_cursor(const JournalWorld& world, SimDisk& disk) {
  const auto view = journal::read_cursor(disk, JournalWorld::directory, JournalWorld::sink);
  ASSERT_TRUE(view.has_value()) << view.error().what;
  if (!*view) return;
  const auto counts = read_archive(world, disk);
  for (const auto& [sequence, id] : world.acknowledged_records()) {
    if (sequence >= (*view)->latest.next.sequence) break;
    EXPECT_TRUE(counts.contains(id)) << "the cursor passed sequence " << sequence;
  }
}

void check_archive(const JournalWorld& world, const SimDisk& disk) {
  const auto counts = read_archive(world, disk);
  for (const auto& [sequence, id] : world.acknowledged_records()) {
    EXPECT_TRUE(counts.contains(id)) << "sequence " << sequence << " was not delivered";
  }
  for (const auto& [id, count] : counts) EXPECT_EQ(count, 1) << "record " << id;
}

void deliver_the_rest(JournalWorld& world, sinks::Compression compression) {
  Delivery delivery(world, compression);
  ASSERT_TRUE(delivery.start());
  delivery.run();
}

constexpr std::array compressions = {sinks::Compression::zstd, sinks::Compression::none};

// --- A crash at every change of one delivery.

TEST(DeliveryModel, delivers_exactly_once_with_a_crash_at_every_change) {
  set_log_level(LogLevel::off);
  JournalWorld filled(1);
  filled.open();
  for (int record = 0; record < 30; record++) {
    filled.append(record % 10 == 9 ? 100'000 : 200 + 50 * static_cast<std::uint64_t>(record));
    if (record % 3 == 2) filled.commit();
  }
  filled.close();
  std::uint64_t changes = 1;
  for (std::uint64_t change = 1; change <= changes; change++) {
    for (const Crash how : {Crash::power, Crash::process}) {
      SCOPED_TRACE(fmt::format("crash at change {}", change));
      JournalWorld world(change, filled);
      const auto compression = compressions[change % compressions.size()];
      world.disk().crash_at(change, how);
      {
        Delivery delivery(world, compression);
        if (delivery.start()) delivery.run();
      }
      if (world.disk().running()) {
        ASSERT_GT(change, 50U);
        check_archive(world, world.disk());
        return;
      }
      changes = change + 1;
      world.disk().restart();
      check_cursor(world, world.disk());
      deliver_the_rest(world, compression);
      world.disk().crash(Crash::power);
      world.disk().restart();
      check_archive(world, world.disk());
      if (testing::Test::HasFailure()) return;
    }
  }
}

// --- Random crashes and faults while records arrive.

class RandomDelivery {
 public:
  explicit RandomDelivery(std::uint64_t seed)
      : world_(seed), random_(seed ^ 0xDE11), compression_(compressions[seed % 2]) {}

  void run() {
    const std::uint64_t lives = 2 + random_.below(4);
    for (std::uint64_t life = 0; life < lives && !testing::Test::HasFailure(); life++) live();
    world_.open();
    deliver_the_rest(world_, compression_);
    if (world_.is_open()) world_.close();
    world_.disk().crash(Crash::power);
    world_.bury();
    check_archive(world_, world_.disk());
    EXPECT_EQ(world_.complaints(), std::vector<std::string>{}) << world_.story();
  }

 private:
  void live() {
    const Crash how = random_.chance(0.7) ? Crash::power : Crash::process;
    world_.disk().crash_at(1 + random_.below(300), how);
    world_.open();
    {
      Delivery delivery(world_, compression_);
      const bool started = world_.disk().running() && delivery.start();
      const std::uint64_t steps = random_.below(80);
      for (std::uint64_t step = 0; step < steps && up(); step++) act(started, delivery);
    }
    world_.disk().clear_faults();
    world_.disk().crash(how);
    world_.bury();
    check_cursor(world_, world_.disk());
    if (testing::Test::HasFailure()) show_damage();
  }

  void show_damage() {
    const std::string path = JournalWorld::directory + "/cursors/archive.damage";
    if (!world_.disk().exists(path)) return;
    const std::vector<std::byte> lines = world_.disk().contents(path);
    fmt::print("{}\n{}", world_.story(), as_text(lines));
  }

  [[nodiscard]] bool up() { return world_.is_open() && world_.disk().running(); }

  void act(bool started, Delivery& delivery) {
    const std::uint64_t choice = random_.below(100);
    if (choice < 35) return append();
    if (choice < 55) return world_.commit();
    if (choice < 62) return world_.keep_house();
    if (choice < 66) return world_.disk().clear_faults();
    if (choice < 70) return fault();
    if (started) std::ignore = delivery.turn();
  }

  // Large ones too: segments must fill and be used again.
  void append() { world_.append(100 + random_.below(random_.chance(0.3) ? 300'000 : 20'000)); }

  void fault() {
    constexpr std::array places = {"archive/", "archive.cursor", "segment"};
    constexpr std::array kinds = {Operation::write,          Operation::flush, Operation::rename,
                                  Operation::sync_directory, Operation::open,  Operation::read};
    Fault fault{.on = kinds[random_.below(kinds.size())]};
    fault.path_part = places[random_.below(places.size())];
    if (fault.on == Operation::write) fault.os = random_.chance(0.3) ? ENOSPC : EIO;
    // A block that cannot be read again and again counts as damaged, and is passed.
    fault.times = fault.on == Operation::read || random_.chance(0.7) ? 1 : 5;
    world_.disk().inject(fault);
  }

  JournalWorld world_;
  Random random_;
  const sinks::Compression compression_;
};

TEST(DeliveryModel, delivers_exactly_once_through_random_crashes_and_faults) {
  set_log_level(LogLevel::off);
  for (const std::uint64_t seed : seeds_to_run("delivery", seeds_default)) {
    SCOPED_TRACE(replay_command(seed));
    RandomDelivery(seed).run();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace inlet::sim
