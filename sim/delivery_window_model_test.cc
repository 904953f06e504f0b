// Goal: with several batches under way, answers in any order, answers that are lost and crashes at
// any change of the disk, every acknowledged record reaches the destination under one name only, a
// name never means two contents, and the cursor and the ledger pass nothing that is not there.
// Method: the real journal and shipper on the simulated disk; a destination that survives the
// crashes, keeps what it gets by name, and answers by chance.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "ship/shipper.h"
#include "sim/journal_world.h"
#include "sim/seeds.h"

namespace inlet::sim {
namespace {

constexpr std::uint64_t seeds_default = 300;
constexpr std::uint64_t turns_max = 20'000;
constexpr std::size_t in_flight = 3;

// What has arrived, by name of batch; outlives every process.
class Destination {
 public:
  explicit Destination(JournalWorld& world) : world_(world) {}

  void store(const sinks::Batch& batch) {
    std::set<std::uint64_t> ids;
    for (const sinks::Record& record : batch.records) {
      const auto id = world_.id_of_body(record.body);
      ASSERT_TRUE(id.has_value()) << "altered: sequence " << record.sequence;
      ids.insert(*id);
      sequences_.insert(record.sequence);
    }
    const auto [place, is_new] = objects_.try_emplace(batch_name(batch.name), ids);
    EXPECT_EQ(place->second, ids) << batch_name(batch.name) << " came with other records";
  }

  [[nodiscard]] bool has(std::uint64_t sequence) const { return sequences_.contains(sequence); }
  [[nodiscard]] std::map<std::uint64_t, int> counts() const {
    std::map<std::uint64_t, int> counts;
    for (const auto& [name, ids] : objects_) {
      for (const std::uint64_t id : ids) counts[id]++;
    }
    return counts;
  }

 private:
  JournalWorld& world_;
  std::map<std::string, std::set<std::uint64_t>> objects_;
  std::set<std::uint64_t> sequences_;
};

class RemoteSink final : public sinks::Sink {
 public:
  RemoteSink(Destination& destination, Random& random)
      : destination_(destination), random_(random) {}

  std::size_t in_flight_max() const override { return in_flight; }
  void start(const sinks::Batch& batch) override {
    under_way_.push_back(batch);
    EXPECT_LE(under_way_.size(), in_flight);
  }
  std::optional<sinks::Answer> finish(Microseconds) override {
    if (under_way_.empty() || !(calm || random_.chance(0.4))) return std::nullopt;
    const std::size_t which = random_.below(under_way_.size());
    const sinks::Batch batch = under_way_[which];
    under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(which));
    const bool fails = !calm && random_.chance(0.3);
    // An answer that is lost says nothing about whether the batch arrived.
    if (!fails || random_.chance(0.5)) destination_.store(batch);
    if (!fails) return sinks::Answer{batch.name.first, {}};
    return sinks::Answer{batch.name.first, {.outcome = sinks::Outcome::retry, .why = "reset"}};
  }
  // What was sent may still arrive when its sender is gone.
  void abandon() override {
    for (const sinks::Batch& batch : under_way_) {
      if (random_.chance(0.5)) destination_.store(batch);
    }
    under_way_.clear();
  }

  bool calm = false;

 private:
  Destination& destination_;
  Random& random_;
  std::vector<sinks::Batch> under_way_;
};

class Delivery {
 public:
  Delivery(JournalWorld& world, Destination& destination, Random& random)
      : world_(world),
        source_(world.disk(), JournalWorld::directory),
        sink_(destination, random),
        dead_letters_(world.disk(), "data/dead/archive", JournalWorld::sink),
        damage_log_(world.disk(), JournalWorld::directory + "/cursors/archive.damage"),
        ledger_(world.disk(), JournalWorld::directory, JournalWorld::sink) {}

  bool start(std::size_t batch_records) {
    auto cursor = journal::Cursor::open(world_.disk(), JournalWorld::directory, JournalWorld::sink);
    if (!cursor) return false;
    cursor_ = std::move(*cursor);
    ship::ShipperOptions options;
    options.sink = JournalWorld::sink;
    options.node = "node-a";
    options.batch = {.batch_bytes = 200'000, .batch_records = batch_records};
    shipper_.emplace(world_.clock(), source_, *cursor_, sink_, dead_letters_, damage_log_, ledger_,
                     options);
    return true;
  }

  bool turn() {
    const ship::Step step = shipper_->run_once(ship::Pace::flush);
    const journal::CursorState& state = cursor_->state();
    world_.passed(std::max(state.next.sequence, state.planned_end()));
    world_.clock().advance(step.wait_us);
    return step.caught_up;
  }

  void run_calmly() {
    sink_.calm = true;
    for (std::uint64_t turns = 0; turns < turns_max; turns++) {
      if (turn()) return;
    }
    ADD_FAILURE() << "the shipper does not come to an end";
  }

 private:
  JournalWorld& world_;
  ship::JournalSource source_;
  RemoteSink sink_;
  ship::DeadLetters dead_letters_;
  ship::DamageLog damage_log_;
  journal::Ledger ledger_;
  std::unique_ptr<journal::Cursor> cursor_;
  std::optional<ship::Shipper> shipper_;
};

class RandomWindow {
 public:
  explicit RandomWindow(std::uint64_t seed) : world_(seed), random_(seed ^ 0x31D0) {}

  void run() {
    const std::uint64_t lives = 2 + random_.below(4);
    for (std::uint64_t life = 0; life < lives && !testing::Test::HasFailure(); life++) live();
    world_.open();
    {
      Delivery delivery(world_, destination_, random_);
      ASSERT_TRUE(delivery.start(5));
      delivery.run_calmly();
    }
    check_books();
    if (world_.is_open()) world_.close();
    check_destination();
    EXPECT_EQ(world_.complaints(), std::vector<std::string>{}) << world_.story();
  }

 private:
  void live() {
    const Crash how = random_.chance(0.7) ? Crash::power : Crash::process;
    world_.disk().crash_at(1 + random_.below(300), how);
    world_.open();
    {
      Delivery delivery(world_, destination_, random_);
      const bool started = world_.disk().running() &&
                           delivery.start(1 + random_.below(random_.chance(0.5) ? 4 : 20));
      const std::uint64_t steps = random_.below(120);
      for (std::uint64_t step = 0; step < steps && up(); step++) act(started, delivery);
    }
    world_.disk().clear_faults();
    world_.disk().crash(how);
    world_.bury();
    check_cursor();
  }

  [[nodiscard]] bool up() { return world_.is_open() && world_.disk().running(); }

  void act(bool started, Delivery& delivery) {
    const std::uint64_t choice = random_.below(100);
    if (choice < 25)
      return world_.append(100 + random_.below(random_.chance(0.2) ? 200'000 : 9'000));
    if (choice < 40) return world_.commit();
    if (choice < 44) return world_.keep_house();
    if (choice < 47) return world_.disk().clear_faults();
    if (choice < 50) {
      const bool flush = random_.chance(0.5);
      Fault fault{.on = flush ? Operation::flush : Operation::write};
      fault.path_part = random_.chance(0.5) ? "archive.cursor" : "archive.ledger";
      fault.os = EIO;
      fault.times = random_.chance(0.7) ? 1 : 5;
      return world_.disk().inject(fault);
    }
    if (started) std::ignore = delivery.turn();
  }

  void check_cursor() {
    const auto view =
        journal::read_cursor(world_.disk(), JournalWorld::directory, JournalWorld::sink);
    ASSERT_TRUE(view.has_value()) << view.error().what;
    if (!*view) return;
    for (const auto& [sequence, id] : world_.acknowledged_records()) {
      if (sequence >= (*view)->latest.next.sequence) break;
      EXPECT_TRUE(destination_.has(sequence)) << "the cursor passed sequence " << sequence;
    }
  }

  // Every sequence behind the cursor is in the ledger, once.
  void check_books() {
    const auto view =
        journal::read_cursor(world_.disk(), JournalWorld::directory, JournalWorld::sink);
    const auto ledger =
        journal::read_ledger(world_.disk(), JournalWorld::directory, JournalWorld::sink);
    ASSERT_TRUE(view && *view && ledger);
    const journal::CursorState& state = (*view)->latest;
    EXPECT_EQ(state.next.sequence - 1, state.records_delivered + state.records_rejected +
                                           state.records_lost + state.records_skipped);
    std::uint64_t next = 1;
    std::uint64_t delivered = 0;
    for (const journal::LedgerLine& line : ledger->lines) {
      if (line.end > state.next.sequence) break;
      EXPECT_EQ(line.first, next);
      next = line.end;
      for (const auto& [name, counts] : line.streams) delivered += counts.delivered;
    }
    EXPECT_EQ(next, state.next.sequence);
    EXPECT_EQ(delivered, state.records_delivered);
  }

  void check_destination() {
    const auto counts = destination_.counts();
    for (const auto& [sequence, id] : world_.acknowledged_records()) {
      EXPECT_TRUE(counts.contains(id)) << "sequence " << sequence << " was not delivered";
    }
    for (const auto& [id, count] : counts) EXPECT_EQ(count, 1) << "record " << id;
  }

  JournalWorld world_;
  Random random_;
  Destination destination_{world_};
};

TEST(DeliveryWindowModel, delivers_under_one_name_through_crashes_faults_and_lost_answers) {
  set_log_level(LogLevel::off);
  for (const std::uint64_t seed : seeds_to_run("delivery_window", seeds_default)) {
    SCOPED_TRACE(replay_command(seed));
    RandomWindow(seed).run();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace inlet::sim
