// Goal: a replay delivers what the cursor has passed, of the range and of the sink's streams, in
//   the batches of the first delivery where those take each other's place, and never a smaller one
//   in the place of a larger.
// Method: a journal by script, a sink that remembers, ledgers by hand.

#include "ship/replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::ship {
namespace {

namespace fs = std::filesystem;

class ManualClock final : public Clock {
 public:
  Microseconds wall_us() override { return now; }
  Microseconds steady_us() override { return now; }
  void sleep(Microseconds duration) override { now += duration; }
  Microseconds now = 0;
};

// Record n was received at n seconds; even ones are of stream "even".
class Source final : public RecordSource {
 public:
  void seek(journal::Position from) override { at_ = std::max(from.sequence, oldest); }
  Result<std::optional<journal::Record>> next() override {
    while (at_ < committed) {
      const std::uint64_t sequence = at_++;
      if (sequence == damaged) {
        damage_.push_back({1, 0, sequence, sequence + 1, "damaged"});
        continue;
      }
      body_ = std::to_string(sequence);
      return journal::Record{.sequence = sequence,
                             .received_us = static_cast<Microseconds>(sequence) * 1'000'000,
                             .metadata = {.tenant = "t", .stream = sequence % 2 ? "odd" : "even"},
                             .body = as_bytes(body_)};
    }
    return std::nullopt;
  }
  journal::Position position() const override { return {.sequence = at_}; }
  std::uint64_t committed_sequence() const override { return committed; }
  std::uint64_t bytes_behind() const override { return 0; }
  std::uint64_t journal_id() const override { return 0xABC; }
  std::vector<journal::Damage> take_damage() override { return std::exchange(damage_, {}); }

  std::uint64_t oldest = 1;
  std::uint64_t committed = 31;
  std::uint64_t damaged = 0;

 private:
  std::uint64_t at_ = 1;
  std::string body_;
  std::vector<journal::Damage> damage_;
};

class KeepingSink final : public sinks::PromptSink {
 public:
  sinks::Delivery deliver(const sinks::Batch& batch) override {
    std::string text = batch_name(batch.name) + ":";
    sinks::Delivery delivery;
    for (const sinks::Record& record : batch.records) {
      if (record.sequence == refused) {
        delivery.rejected.push_back({record.sequence, "no"});
      } else {
        text.append(" ").append(as_text(record.body));
      }
    }
    seen.push_back(text);
    return delivery;
  }
  std::uint64_t refused = 0;
  std::vector<std::string> seen;
};

class ReplayTest : public testing::Test {
 protected:
  ReplayTest() {
    root_ = make_test_directory("replay_test");
    for (std::uint64_t first = 1; first < 21; first += 5) {
      ledger_.push_back({.first = first, .end = first + 5});
    }
  }
  ~ReplayTest() override { fs::remove_all(root_); }

  ReplaySummary run(Microseconds from_s, Microseconds to_s, bool replaces) {
    options_.from_us = from_s * 1'000'000;
    options_.to_us = to_s * 1'000'000;
    options_.replaces = replaces;
    Courier courier(
        clock_, sink_, {}, [this] { return keep_going_; }, [](const std::string&, Microseconds) {});
    DeadLetters dead(files_, root_ + "/dead/out", "out");
    const auto summary =
        replay(source_, 21, ledger_, courier, dead, options_,
               [](std::uint64_t done, std::uint64_t total) { EXPECT_LE(done, total); });
    EXPECT_TRUE(summary);
    return *summary;
  }

  using Lines = std::vector<std::string>;
  PosixFileSystem files_;
  ManualClock clock_;
  Source source_;
  KeepingSink sink_;
  std::string root_;
  std::vector<journal::LedgerLine> ledger_;
  ReplayOptions options_{.node = "n", .streams = {"*"}, .batch = {.batch_records = 4}};
  bool keep_going_ = true;
};

TEST_F(ReplayTest, a_sink_that_appends_gets_just_the_range) {
  const ReplaySummary summary = run(3, 9, false);
  EXPECT_EQ(sink_.seen, (Lines{"n-000000000abc-replay-000000000001-000000000006: 3 4 5 6",
                               "n-000000000abc-replay-000000000007-000000000014: 7 8"}));
  EXPECT_EQ(summary.records, 6U);
  EXPECT_EQ(summary.oldest_sequence, 1U);
  EXPECT_EQ(summary.oldest_us, 1'000'000);
}

TEST_F(ReplayTest, nothing_beyond_the_cursor_is_delivered) {
  run(19, 99, false);
  EXPECT_EQ(sink_.seen, Lines{"n-000000000abc-replay-000000000001-000000000014: 19 20"});
}

TEST_F(ReplayTest, a_sink_that_replaces_gets_whole_batches_of_the_first_delivery) {
  const ReplaySummary summary = run(7, 12, true);
  EXPECT_EQ(sink_.seen, (Lines{"n-000000000abc-000000000006-00000000000a: 6 7 8 9 10",
                               "n-000000000abc-00000000000b-00000000000f: 11 12 13 14 15"}));
  EXPECT_EQ(summary.batches, 2U);
}

TEST_F(ReplayTest, a_batch_whose_beginning_is_gone_or_that_is_a_sum_takes_nothings_place) {
  source_.oldest = 3;
  ledger_[1].is_sum = true;
  run(0, 99, true);
  EXPECT_EQ(sink_.seen, (Lines{"n-000000000abc-replay-000000000003-000000000005: 3 4 5",
                               "n-000000000abc-replay-000000000006-000000000009: 6 7 8 9",
                               "n-000000000abc-replay-00000000000a-00000000000a: 10",
                               "n-000000000abc-00000000000b-00000000000f: 11 12 13 14 15",
                               "n-000000000abc-000000000010-000000000014: 16 17 18 19 20"}));
}

TEST_F(ReplayTest, a_batch_that_damage_made_smaller_takes_nothings_place) {
  source_.damaged = 8;
  const ReplaySummary summary = run(6, 11, true);
  EXPECT_EQ(sink_.seen, Lines{"n-000000000abc-replay-000000000006-00000000000a: 6 7 9 10"});
  EXPECT_EQ(summary.damaged, 1U);
  ledger_[1].lost = 1;  // It was so the first time: then it is as whole as it was.
  sink_.seen.clear();
  run(6, 11, true);
  EXPECT_EQ(sink_.seen, Lines{"n-000000000abc-000000000006-00000000000a: 6 7 9 10"});
}

TEST_F(ReplayTest, streams_that_are_not_for_the_sink_are_left_out) {
  options_.streams = {"ev*"};
  run(1, 9, false);
  EXPECT_EQ(sink_.seen, Lines{"n-000000000abc-replay-000000000001-000000000008: 2 4 6 8"});
  sink_.seen.clear();
  run(7, 8, true);  // The batch of 6..10 is whole all the same.
  EXPECT_EQ(sink_.seen, Lines{"n-000000000abc-000000000006-00000000000a: 6 8 10"});
}

TEST_F(ReplayTest, what_the_sink_refuses_is_set_aside) {
  sink_.refused = 4;
  const ReplaySummary summary = run(3, 6, false);
  EXPECT_EQ(summary.dead, 1U);
  EXPECT_EQ(summary.records, 2U);
  EXPECT_FALSE(fs::is_empty(root_ + "/dead/out"));
}

TEST_F(ReplayTest, one_told_to_stop_says_so) {
  keep_going_ = false;
  EXPECT_TRUE(run(1, 99, false).stopped);
  EXPECT_TRUE(sink_.seen.empty());
}

}  // namespace
}  // namespace inlet::ship
