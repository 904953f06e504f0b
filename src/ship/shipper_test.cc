// Goal: every committed record is delivered, set aside or reported lost, in order and in batches
//   that are repeated exactly after a crash; the cursor never leads.
// Method: a journal, a sink and a clock by script; the real cursor, dead letters and damage log on
//   a real directory whose n-th operation can be made to fail; the shipper thrown away and made
//   anew at any point.

#include "ship/shipper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/directory_test.h"
#include "base/log.h"
#include "base/posix_file.h"

namespace inlet::ship {
namespace {

namespace fs = std::filesystem;
using sinks::Outcome;

constexpr std::uint64_t journal_id = 0xABCDEF;

class ManualClock final : public Clock {
 public:
  Microseconds wall_us() override { return 1'700'000'000'000'000 + now; }
  Microseconds steady_us() override { return now; }
  void sleep(Microseconds duration) override { now += duration; }
  Microseconds now = 0;
};

class ScriptedSource final : public RecordSource {
 public:
  void seek(journal::Position from) override { at_ = from.sequence; }
  Result<std::optional<journal::Record>> next() override {
    if (failures > 0) {
      failures--;
      return fail(ErrorKind::retry, "read error");
    }
    id_seen_ = id;
    while (at_ < committed) {
      if (const auto hole = damaged.find(at_); hole != damaged.end()) {
        damage_.push_back({7, 4096, at_, hole->second, "damaged"});
        at_ = hole->second;
        continue;
      }
      const std::uint64_t sequence = at_++;
      body_ = "body " + std::to_string(sequence);
      return journal::Record{.sequence = sequence,
                             .received_us = 1'700'000'000'000'000,
                             .metadata = {.tenant = "acme", .stream = "clicks"},
                             .body = as_bytes(body_)};
    }
    return std::nullopt;
  }
  journal::Position position() const override {
    return {.segment = 1, .offset = 64 * at_, .sequence = at_};
  }
  std::uint64_t committed_sequence() const override { return committed; }
  std::uint64_t bytes_behind() const override {
    return 10 * (committed - std::min(at_, committed));
  }
  std::uint64_t journal_id() const override { return id_seen_; }
  std::vector<journal::Damage> take_damage() override { return std::exchange(damage_, {}); }

  std::uint64_t committed = 1;
  std::uint64_t id = ship::journal_id;
  int failures = 0;
  std::map<std::uint64_t, std::uint64_t> damaged;  // First to end; no hole touches another.

 private:
  std::uint64_t at_ = 1;
  std::uint64_t id_seen_ = 0;
  std::string body_;
  std::vector<journal::Damage> damage_;
};

class ScriptedSink final : public sinks::PromptSink {
 public:
  struct Seen {
    std::string name;
    std::vector<std::uint64_t> sequences;
    bool operator==(const Seen&) const = default;
  };

  sinks::Delivery deliver(const sinks::Batch& batch) override {
    Seen seen{batch_name(batch.name), {}};
    for (const sinks::Record& record : batch.records) {
      EXPECT_EQ(as_text(record.body), "body " + std::to_string(record.sequence));
      EXPECT_EQ(record.tenant, "acme");
      EXPECT_EQ(record.stream, "clicks");
      seen.sequences.push_back(record.sequence);
    }
    offered.push_back(seen);
    if (answers.empty()) return {};
    sinks::Delivery answer = answers.front();
    answers.pop_front();
    return answer;
  }

  std::deque<sinks::Delivery> answers;  // Then: delivered.
  std::vector<Seen> offered;
};

// Has several batches under way and answers when the test says so, in any order.
class SlowSink final : public sinks::Sink {
 public:
  std::size_t in_flight_max() const override { return 3; }
  void start(const sinks::Batch& batch) override {
    EXPECT_FALSE(under_way.contains(batch.name.first));
    under_way[batch.name.first] = batch.name.last;
    started.push_back({batch.name.first, batch.name.last});
  }
  std::optional<sinks::Answer> finish(Microseconds) override {
    if (answers.empty()) return std::nullopt;
    sinks::Answer answer = answers.front();
    answers.pop_front();
    EXPECT_EQ(under_way.erase(answer.first), 1U);
    return answer;
  }
  void abandon() override { under_way.clear(); }

  std::map<std::uint64_t, std::uint64_t> under_way;  // First to last.
  std::deque<sinks::Answer> answers;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> started;
};

// Fails operation `fail_at`; files already open are not counted, but for the cursor's writes.
class FailingFiles final : public FileSystem {
 public:
  class FailingFile final : public File {
   public:
    FailingFile(FailingFiles& owner, std::unique_ptr<File> file)
        : owner_(owner), file_(std::move(file)) {}
    Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) override {
      return file_->read_at(out, offset);
    }
    Result<std::size_t> write_at(std::span<const iovec> parts, std::uint64_t offset,
                                 Flush flush) override {
      if (const Status may = owner_.step(); !may) return fail(may);
      return file_->write_at(parts, offset, flush);
    }
    Status sync() override {
      const Status may = owner_.step();
      return may ? file_->sync() : may;
    }
    Result<std::uint64_t> size() override { return file_->size(); }

   private:
    FailingFiles& owner_;
    std::unique_ptr<File> file_;
  };

  Status step() {
    if (++operations == fail_at) return fail(ErrorKind::retry, "input/output error", EIO);
    return {};
  }
  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override {
    if (const Status may = step(); !may) return fail(may);
    auto file = real_.open(path, options);
    if (!file) return file;
    return std::make_unique<FailingFile>(*this, std::move(*file));
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return real_.list(path);
  }
  Status make_directories(const std::string& path) override {
    const Status may = step();
    return may ? real_.make_directories(path) : may;
  }
  Status rename(const std::string& from, const std::string& to) override {
    const Status may = step();
    return may ? real_.rename(from, to) : may;
  }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status sync_directory(const std::string& path) override {
    const Status may = step();
    return may ? real_.sync_directory(path) : may;
  }
  Result<Space> space(const std::string& path) override { return real_.space(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return real_.lock(path);
  }

  int operations = 0;
  int fail_at = 0;

 private:
  PosixFileSystem real_;
};

class ShipperTest : public testing::Test {
 protected:
  ShipperTest() {
    set_log_level(LogLevel::off);
    root_ = make_test_directory("shipper_test");
    start();
  }
  ~ShipperTest() override {
    fs::remove_all(root_);
    set_log_level(LogLevel::info);
  }

  // As after a crash: everything in memory is new, what is on disk stays.
  void start() {
    shipper_.reset();
    auto cursor = journal::Cursor::open(files_, root_, "archive");
    ASSERT_TRUE(cursor);
    cursor_ = std::move(*cursor);
    dead_letters_ = std::make_unique<DeadLetters>(files_, root_ / "dead/archive", "archive");
    damage_log_ = std::make_unique<DamageLog>(files_, root_ / "cursors/archive.damage");
    ledger_ = std::make_unique<journal::Ledger>(files_, root_, "archive");
    shipper_ = std::make_unique<Shipper>(clock_, source_, *cursor_, sink_, *dead_letters_,
                                         *damage_log_, *ledger_, options_);
  }

  // Turns until everything committed is dealt with; time passes as asked.
  void run(Pace pace = Pace::flush) {
    for (int i = 0; i < 1000; i++) {
      const Step step = shipper_->run_once(pace);
      if (step.caught_up) return;
      clock_.now += step.wait_us;
    }
    FAIL() << "never caught up";
  }

  std::string text_of(const fs::path& path) const {
    std::ifstream in(root_ / path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static ScriptedSink::Seen seen(const std::string& name, std::vector<std::uint64_t> sequences) {
    return {"n1-000000abcdef-" + name, std::move(sequences)};
  }

  fs::path root_;
  FailingFiles files_;
  ManualClock clock_;
  ScriptedSource source_;
  ScriptedSink sink_;
  ShipperOptions options_{
      .sink = "archive",
      .node = "n1",
      .streams = {"*"},
      .batch = {.batch_bytes = 1 << 20, .batch_records = 3, .batch_age_us = 500},
      .retry = {},
      .poll_us = 20,
      .seed = 1};
  std::unique_ptr<journal::Cursor> cursor_;
  std::unique_ptr<DeadLetters> dead_letters_;
  std::unique_ptr<DamageLog> damage_log_;
  std::unique_ptr<journal::Ledger> ledger_;
  std::unique_ptr<Shipper> shipper_;
};

TEST_F(ShipperTest, delivers_in_full_batches_and_the_rest_when_it_is_due) {
  source_.committed = 6;
  EXPECT_EQ(shipper_->run_once(Pace::normal).wait_us, 0);
  ASSERT_EQ(sink_.offered.size(), 1U);
  EXPECT_EQ(sink_.offered[0], seen("000000000001-000000000003", {1, 2, 3}));
  EXPECT_EQ(cursor_->state().next.sequence, 4U);
  const Step step = shipper_->run_once(Pace::normal);
  EXPECT_EQ(step.wait_us, 20);
  EXPECT_FALSE(step.caught_up);
  clock_.now += 490;
  EXPECT_EQ(shipper_->run_once(Pace::normal).wait_us, 10);
  EXPECT_EQ(sink_.offered.size(), 1U);
  clock_.now += 10;
  EXPECT_EQ(shipper_->run_once(Pace::normal).wait_us, 0);
  ASSERT_EQ(sink_.offered.size(), 2U);
  EXPECT_EQ(sink_.offered[1], seen("000000000004-000000000005", {4, 5}));
  EXPECT_TRUE(shipper_->run_once(Pace::normal).caught_up);
  EXPECT_EQ(cursor_->state().records_delivered, 5U);
  EXPECT_EQ(cursor_->state().bytes_delivered, 5 * std::string("body 1").size());
  EXPECT_EQ(cursor_->state().next, source_.position());
}

TEST_F(ShipperTest, a_flush_does_not_wait_for_a_batch_to_be_due) {
  source_.committed = 3;
  EXPECT_FALSE(shipper_->run_once(Pace::flush).caught_up);
  EXPECT_EQ(sink_.offered.size(), 1U);
  EXPECT_TRUE(shipper_->run_once(Pace::flush).caught_up);
}

TEST_F(ShipperTest, an_empty_journal_is_polled_and_nothing_delivered) {
  const Step step = shipper_->run_once(Pace::normal);
  EXPECT_EQ(step.wait_us, 20);
  EXPECT_TRUE(step.caught_up);
  EXPECT_TRUE(sink_.offered.empty());
  EXPECT_EQ(cursor_->state(), journal::CursorState{});
}

TEST_F(ShipperTest, a_failing_sink_gets_the_same_batch_again_for_as_long_as_it_takes) {
  source_.committed = 10;
  for (int i = 0; i < 100; i++) {
    sink_.answers.push_back(
        {.outcome = i % 2 == 0 ? Outcome::retry : Outcome::slow_down, .why = "no"});
  }
  run();
  for (std::size_t i = 0; i <= 100; i++) {
    ASSERT_EQ(sink_.offered[i], seen("000000000001-000000000003", {1, 2, 3}));
  }
  ASSERT_EQ(sink_.offered.size(), 103U);
  EXPECT_EQ(shipper_->figures().retries, 100U);
  EXPECT_EQ(shipper_->figures().last_error, "no");
  EXPECT_EQ(shipper_->figures().failing_since_us, 0);  // It is over.
  // 50 waits of at least 15 s each.
  EXPECT_GT(clock_.now, 40 * 15'000'000);
}

TEST_F(ShipperTest, nothing_is_tried_before_the_wait_is_over) {
  source_.committed = 4;
  sink_.answers.push_back({.outcome = Outcome::slow_down, .why = "busy", .retry_after_us = 1000});
  const Microseconds failed_us = clock_.wall_us();
  const Step step = shipper_->run_once(Pace::normal);
  EXPECT_GE(step.wait_us, 1000);
  clock_.now += step.wait_us - 1;
  EXPECT_EQ(shipper_->figures().failing_since_us, failed_us);
  EXPECT_EQ(shipper_->run_once(Pace::flush).wait_us, 1);
  EXPECT_EQ(sink_.offered.size(), 1U);
  clock_.now += 1;
  EXPECT_EQ(shipper_->run_once(Pace::normal).wait_us, 0);
  EXPECT_EQ(sink_.offered.size(), 2U);
}

TEST_F(ShipperTest, a_planned_batch_is_repeated_exactly_whatever_the_limits_are_by_then) {
  source_.committed = 10;
  sink_.answers.push_back({.outcome = Outcome::retry, .why = "down"});
  EXPECT_GT(shipper_->run_once(Pace::normal).wait_us, 0);
  EXPECT_EQ(cursor_->state().planned_end(), 4U);
  for (const std::size_t records : {std::size_t{1}, std::size_t{100}}) {
    options_.batch.batch_records = records;
    options_.batch.batch_bytes = 1;
    sink_.answers.push_back({.outcome = Outcome::retry, .why = "down"});
    start();
    EXPECT_GT(shipper_->run_once(Pace::normal).wait_us, 0);
    EXPECT_EQ(sink_.offered.back(), seen("000000000001-000000000003", {1, 2, 3}));
  }
  start();
  run();
  EXPECT_EQ(sink_.offered[3], seen("000000000001-000000000003", {1, 2, 3}));
  EXPECT_EQ(sink_.offered[4], seen("000000000004-000000000004", {4}));
  EXPECT_EQ(cursor_->state().records_delivered, 9U);
}

TEST_F(ShipperTest, a_planned_batch_waits_until_all_of_it_shows_again) {
  source_.committed = 4;
  sink_.answers.push_back({.outcome = Outcome::retry, .why = "down"});
  EXPECT_GT(shipper_->run_once(Pace::normal).wait_us, 0);
  source_.committed = 2;  // The commit mark is not flushed: it may lag after a power cut.
  start();
  EXPECT_TRUE(shipper_->run_once(Pace::normal).caught_up);
  clock_.now += 1'000'000;
  EXPECT_TRUE(shipper_->run_once(Pace::flush).caught_up);
  EXPECT_EQ(sink_.offered.size(), 1U);
  source_.committed = 8;
  run();
  EXPECT_EQ(sink_.offered[1], seen("000000000001-000000000003", {1, 2, 3}));
}

TEST_F(ShipperTest, damage_is_counted_written_down_and_stepped_over) {
  source_.committed = 12;
  source_.damaged = {{2, 4}, {5, 6}, {9, 12}};
  run();
  EXPECT_EQ(sink_.offered[0], seen("000000000001-000000000006", {1, 4, 6}));
  EXPECT_EQ(sink_.offered[1], seen("000000000007-00000000000b", {7, 8}));
  EXPECT_EQ(cursor_->state().records_lost, 6U);
  EXPECT_EQ(cursor_->state().next.sequence, 12U);
  EXPECT_EQ(text_of("cursors/archive.damage"),
            "{\"segment\":7,\"offset\":4096,\"first_sequence\":2,\"end_sequence\":4,"
            "\"why\":\"damaged\"}\n"
            "{\"segment\":7,\"offset\":4096,\"first_sequence\":5,\"end_sequence\":6,"
            "\"why\":\"damaged\"}\n"
            "{\"segment\":7,\"offset\":4096,\"first_sequence\":9,\"end_sequence\":12,"
            "\"why\":\"damaged\"}\n");
}

TEST_F(ShipperTest, nothing_but_damage_moves_the_cursor_without_a_delivery) {
  source_.committed = 5;
  source_.damaged = {{1, 5}};
  run();
  EXPECT_TRUE(sink_.offered.empty());
  EXPECT_EQ(cursor_->state().next.sequence, 5U);
  EXPECT_EQ(cursor_->state().records_lost, 4U);
  EXPECT_EQ(cursor_->state().planned_end(), 0U);
}

TEST_F(ShipperTest, a_planned_batch_keeps_its_name_when_part_of_it_is_damaged_meanwhile) {
  for (const auto& [first, end] : {std::pair(1U, 2U), std::pair(2U, 3U), std::pair(3U, 4U),
                                   std::pair(3U, 7U), std::pair(1U, 4U), std::pair(1U, 9U)}) {
    fs::remove_all(root_ / "cursors");
    source_.damaged.clear();
    sink_.offered.clear();
    source_.committed = 10;
    sink_.answers.push_back({.outcome = Outcome::retry, .why = "down"});
    start();
    EXPECT_GT(shipper_->run_once(Pace::normal).wait_us, 0);
    source_.damaged = {{first, end}};
    // What the reader would say if asked to start inside the damage.
    for (auto inside = first + 1; inside < end; inside++) source_.damaged[inside] = end;
    start();
    run();
    std::vector<std::uint64_t> all;
    for (std::size_t i = 1; i < sink_.offered.size(); i++) {
      all.insert(all.end(), sink_.offered[i].sequences.begin(), sink_.offered[i].sequences.end());
    }
    std::vector<std::uint64_t> expected;
    for (std::uint64_t i = 1; i < 10; i++) {
      if (i < first || i >= end) expected.push_back(i);
    }
    EXPECT_EQ(all, expected);
    if (expected.empty() || expected[0] < 4) {
      EXPECT_EQ(sink_.offered[1].name, sink_.offered[0].name);
    }
    EXPECT_EQ(cursor_->state().records_lost, end - first);
    EXPECT_EQ(cursor_->state().records_delivered, expected.size());
  }
}

TEST_F(ShipperTest, rejected_records_are_set_aside_with_their_reason) {
  source_.committed = 4;
  sink_.answers.push_back({.rejected = {{2, "too \"large\""}}});
  run();
  const std::string letters =
      text_of("dead/archive/n1-000000abcdef-000000000001-000000000003.ndjson");
  for (const char* part :
       {"\"id\":\"000000abcdef-000000000002\"", "\"tenant\":\"acme\"", "\"sink\":\"archive\"",
        R"("reason":"too \"large\"")", "\"body\":\"Ym9keSAy\""}) {
    EXPECT_NE(letters.find(part), std::string::npos) << letters;
  }
  EXPECT_EQ(std::count(letters.begin(), letters.end(), '\n'), 1);
  EXPECT_EQ(cursor_->state().records_delivered, 2U);
  EXPECT_EQ(cursor_->state().records_rejected, 1U);
}

TEST_F(ShipperTest, a_new_sink_on_an_old_journal_counts_nothing_as_lost) {
  source_.committed = 9;
  source_.seek({.sequence = 1});
  class Late final : public RecordSource {
   public:
    explicit Late(ScriptedSource& inner) : inner_(inner) {}
    void seek(journal::Position from) override {
      from.sequence = std::max<std::uint64_t>(from.sequence, 5);
      inner_.seek(from);
    }
    Result<std::optional<journal::Record>> next() override { return inner_.next(); }
    journal::Position position() const override { return inner_.position(); }
    std::uint64_t committed_sequence() const override { return inner_.committed_sequence(); }
    std::uint64_t bytes_behind() const override { return inner_.bytes_behind(); }
    std::uint64_t journal_id() const override { return inner_.journal_id(); }
    std::vector<journal::Damage> take_damage() override { return inner_.take_damage(); }

   private:
    ScriptedSource& inner_;
  } late(source_);
  Shipper shipper(clock_, late, *cursor_, sink_, *dead_letters_, *damage_log_, *ledger_, options_);
  while (!shipper.run_once(Pace::flush).caught_up) {
  }
  EXPECT_EQ(sink_.offered[0], seen("000000000001-000000000007", {5, 6, 7}));
  EXPECT_EQ(cursor_->state().records_lost, 0U);
  EXPECT_EQ(cursor_->state().records_skipped, 4U);
  EXPECT_EQ(cursor_->state().records_delivered, 4U);
}

TEST_F(ShipperTest, a_cursor_of_another_journal_starts_at_this_ones_beginning) {
  source_.committed = 9;
  run();
  EXPECT_EQ(cursor_->state().next.sequence, 9U);
  source_.id = 0x123456;
  source_.committed = 12;
  sink_.offered.clear();
  start();
  run();
  EXPECT_EQ(sink_.offered[0].name, "n1-000000123456-000000000001-000000000003");
  EXPECT_EQ(cursor_->state().next.sequence, 12U);
  EXPECT_EQ(cursor_->state().journal_id, 0x123456U);
  EXPECT_EQ(cursor_->state().records_delivered, 11U);  // Of this journal.
}

TEST_F(ShipperTest, a_journal_that_cannot_be_read_is_tried_again) {
  source_.committed = 4;
  source_.failures = 5;
  run();
  EXPECT_EQ(sink_.offered.size(), 1U);
  EXPECT_EQ(shipper_->figures().retries, 5U);
}

TEST_F(ShipperTest, any_disk_operation_may_fail_and_nothing_is_lost_or_doubled) {
  for (int fail_at = 1;; fail_at++) {
    fs::remove_all(root_ / "cursors");
    fs::remove_all(root_ / "dead");
    source_.committed = 8;
    source_.damaged = {{5, 6}};
    sink_.offered.clear();
    sink_.answers = {{.rejected = {{2, "no"}}}};
    start();
    files_.operations = 0;
    files_.fail_at = fail_at;
    run();
    const bool failed = files_.operations >= fail_at;
    files_.fail_at = 0;
    ASSERT_EQ(sink_.offered.size(), 2U) << fail_at;  // A sink that took a batch is not asked again.
    ASSERT_EQ(sink_.offered[0].sequences, (std::vector<std::uint64_t>{1, 2, 3}));
    ASSERT_EQ(sink_.offered[1].sequences, (std::vector<std::uint64_t>{4, 6, 7}));
    ASSERT_EQ(cursor_->state().records_delivered, 5U);
    ASSERT_EQ(cursor_->state().records_rejected, 1U);
    ASSERT_EQ(cursor_->state().records_lost, 1U);
    ASSERT_NE(text_of("cursors/archive.damage"), "");
    ASSERT_NE(text_of("dead/archive/n1-000000abcdef-000000000001-000000000003.ndjson"), "");
    if (!failed) break;
    ASSERT_EQ(shipper_->figures().retries, 1U) << fail_at;
  }
}

TEST_F(ShipperTest, figures_say_what_is_pending_and_how_old) {
  source_.committed = 3;
  clock_.now = 250;
  EXPECT_FALSE(shipper_->run_once(Pace::normal).caught_up);
  source_.committed = 8;
  const Figures figures = shipper_->figures();
  EXPECT_EQ(figures.pending_records, 7U);
  EXPECT_EQ(figures.pending_bytes, 2 * std::string("body 1").size() + 50);
  EXPECT_EQ(figures.lag_us, 250);
  EXPECT_EQ(figures.next_sequence, 1U);
  run();
  EXPECT_EQ(shipper_->figures().pending_records, 0U);
  EXPECT_EQ(shipper_->figures().pending_bytes, 0U);
  EXPECT_EQ(shipper_->figures().lag_us, 0);
  EXPECT_EQ(shipper_->figures().delivered_records, 7U);
}

class ShipperWindowTest : public ShipperTest {
 protected:
  ShipperWindowTest() { restart(); }
  ~ShipperWindowTest() override { shipper_.reset(); }  // It outlives no sink.
  void restart() {
    shipper_.reset();
    auto cursor = journal::Cursor::open(files_, root_, "archive");
    ASSERT_TRUE(cursor);
    cursor_ = std::move(*cursor);
    shipper_ = std::make_unique<Shipper>(clock_, source_, *cursor_, slow_, *dead_letters_,
                                         *damage_log_, *ledger_, options_);
  }
  void turns(int count) {
    for (int i = 0; i < count; i++) clock_.now += shipper_->run_once(Pace::flush).wait_us;
  }
  std::vector<std::uint64_t> planned() const {
    std::vector<std::uint64_t> ends;
    for (const std::uint64_t end : cursor_->state().planned_ends) {
      if (end != 0) ends.push_back(end);
    }
    return ends;
  }

  using Spans = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  SlowSink slow_;
};

TEST_F(ShipperWindowTest, as_many_batches_are_under_way_as_the_sink_allows_each_planned) {
  source_.committed = 100;
  turns(10);
  EXPECT_EQ(slow_.started, (Spans{{1, 3}, {4, 6}, {7, 9}}));
  EXPECT_EQ(planned(), (std::vector<std::uint64_t>{4, 7, 10}));
  EXPECT_EQ(shipper_->figures().pending_records, 99U);
}

TEST_F(ShipperWindowTest, the_cursor_passes_them_in_order_whatever_order_the_answers_have) {
  source_.committed = 10;
  turns(10);
  slow_.answers = {{7, {}}, {4, {}}};
  turns(3);
  EXPECT_EQ(cursor_->state().next.sequence, 1U);
  EXPECT_EQ(cursor_->state().records_delivered, 0U);
  slow_.answers = {{1, {}}};
  turns(3);
  EXPECT_EQ(cursor_->state().next.sequence, 10U);
  EXPECT_EQ(cursor_->state().records_delivered, 9U);
  EXPECT_TRUE(planned().empty());
  EXPECT_TRUE(shipper_->run_once(Pace::flush).caught_up);
  const auto view = journal::read_ledger(files_, root_, "archive");
  ASSERT_TRUE(view);
  ASSERT_EQ(view->lines.size(), 3U);
  EXPECT_EQ(view->lines[1].first, 4U);
  EXPECT_EQ(view->lines[1].streams.at("acme/clicks").delivered, 3U);
}

TEST_F(ShipperWindowTest, nothing_is_caught_up_while_a_batch_is_under_way) {
  source_.committed = 4;
  for (int i = 0; i < 5; i++) {
    const Step step = shipper_->run_once(Pace::flush);
    EXPECT_FALSE(step.caught_up);
    clock_.now += step.wait_us;
  }
}

TEST_F(ShipperWindowTest, one_that_failed_comes_again_while_the_others_go_on) {
  source_.committed = 10;
  turns(10);
  slow_.answers = {{4, {.outcome = Outcome::retry, .why = "reset"}}, {1, {}}, {7, {}}};
  turns(5);
  EXPECT_EQ(slow_.started, (Spans{{1, 3}, {4, 6}, {7, 9}, {4, 6}}));
  EXPECT_EQ(cursor_->state().next.sequence, 4U);
  EXPECT_EQ(planned(), (std::vector<std::uint64_t>{7, 10}));
  slow_.answers = {{4, {.rejected = {{6, "no"}, {5, "no"}}}}};
  turns(5);
  EXPECT_EQ(cursor_->state().next.sequence, 10U);
  EXPECT_EQ(cursor_->state().records_delivered, 7U);
  EXPECT_EQ(cursor_->state().records_rejected, 2U);
}

TEST_F(ShipperWindowTest, after_a_crash_all_planned_batches_are_repeated_exactly) {
  source_.committed = 30;
  turns(10);
  slow_.answers = {{4, {}}, {1, {}}};  // 4..6 and 7..9 are open again after the crash, or not.
  turns(1);
  slow_.started.clear();
  slow_.under_way.clear();
  options_.batch.batch_records = 100;
  const std::uint64_t next = cursor_->state().next.sequence;
  EXPECT_EQ(next, 7U);
  restart();
  turns(10);
  ASSERT_GE(slow_.started.size(), 2U);
  EXPECT_EQ(slow_.started[0], (std::pair<std::uint64_t, std::uint64_t>{7, 9}));
  for (const std::uint64_t end : planned())
    EXPECT_TRUE(end == 10 || end == 13 || end == 16 || end == 30);
  for (int i = 0; i < 20 && cursor_->state().next.sequence != 30; i++) {
    for (const auto& [first, last] : slow_.under_way) slow_.answers.push_back({first, {}});
    turns(2);
  }
  EXPECT_EQ(cursor_->state().next.sequence, 30U);
  EXPECT_EQ(cursor_->state().records_delivered, 29U);
}

TEST_F(ShipperTest, streams_that_are_not_for_the_sink_are_passed_and_counted) {
  options_.streams = {"web.*", "app"};
  start();
  source_.committed = 8;  // All of them clicks.
  run();
  EXPECT_TRUE(sink_.offered.empty());
  EXPECT_EQ(cursor_->state().next.sequence, 8U);
  EXPECT_EQ(cursor_->state().records_skipped, 7U);
  EXPECT_EQ(cursor_->state().records_delivered, 0U);
  EXPECT_EQ(shipper_->figures().skipped_records, 7U);
  options_.streams = {"web.*", "cl*"};
  start();
  source_.committed = 10;
  run();
  ASSERT_EQ(sink_.offered.size(), 1U);
  EXPECT_EQ(sink_.offered[0].sequences, (std::vector<std::uint64_t>{8, 9}));
}

TEST_F(ShipperTest, the_ledger_balances_with_the_cursor_whatever_becomes_of_the_records) {
  source_.committed = 12;
  source_.damaged = {{5, 7}};
  sink_.answers = {{.rejected = {{2, "no"}}}, {.outcome = Outcome::retry, .why = "down"}};
  run();
  const auto view = journal::read_ledger(files_, root_, "archive");
  ASSERT_TRUE(view);
  journal::LedgerLine sum;
  for (const journal::LedgerLine& line : view->lines) add_to(sum, line);
  const journal::CursorState& state = cursor_->state();
  EXPECT_EQ(view->journal_id, journal_id);
  EXPECT_EQ(sum.end, state.next.sequence);
  const journal::LedgerCounts counts = sum.streams.at("acme/clicks");
  EXPECT_EQ(counts.delivered, state.records_delivered);
  EXPECT_EQ(counts.bytes, state.bytes_delivered);
  EXPECT_EQ(counts.dead, state.records_rejected);
  EXPECT_EQ(sum.lost, state.records_lost);
  EXPECT_EQ(counts.delivered + counts.dead + sum.lost + sum.skipped, 11U);
}

}  // namespace
}  // namespace inlet::ship
