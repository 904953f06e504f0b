// Goal: dead letters go to the sink as the records they were, leave their file only when it took
//   them, and no crash or refusal loses one.
// Method: files written by the real dead letters; a sink by script; the real file system.

#include "ship/redrive.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "ship/dead_letters.h"

namespace inlet::ship {
namespace {

namespace fs = std::filesystem;

class ManualClock final : public Clock {
 public:
  Microseconds wall_us() override { return 1'700'000'000'000'000 + now; }
  Microseconds steady_us() override { return now; }
  void sleep(Microseconds duration) override { now += duration; }
  Microseconds now = 0;
};

class ScriptedSink final : public sinks::PromptSink {
 public:
  sinks::Delivery deliver(const sinks::Batch& batch) override {
    names.push_back(batch_name(batch.name));
    if (!failures.empty()) {
      sinks::Delivery failure = failures.front();
      failures.pop_front();
      return failure;
    }
    sinks::Delivery delivery;
    for (const sinks::Record& record : batch.records) {
      if (refused.contains(record.sequence)) {
        delivery.rejected.push_back({record.sequence, "still no"});
      } else {
        taken.emplace_back(record.sequence, as_text(record.body));
        EXPECT_EQ(record.tenant, "acme");
        EXPECT_EQ(record.content_type, "text/\"plain\"");
        EXPECT_EQ(record.received_us, 1'700'000'000'123'456);
        EXPECT_EQ(batch.journal_id, 0xABCDEFU);
      }
    }
    return delivery;
  }

  std::deque<sinks::Delivery> failures;
  std::set<std::uint64_t> refused;
  std::vector<std::pair<std::uint64_t, std::string>> taken;
  std::vector<std::string> names;
};

class RedriveTest : public testing::Test {
 protected:
  RedriveTest() {
    root_ = make_test_directory("redrive_test");
    directory_ = root_ + "/dead/out";
  }
  ~RedriveTest() override { fs::remove_all(root_); }

  void set_aside(std::uint64_t first, std::uint64_t last) {
    std::vector<sinks::Record> records;
    std::vector<sinks::Rejection> rejected;
    std::deque<std::string> bodies;
    for (std::uint64_t i = first; i <= last; i++) {
      bodies.push_back(std::string("\0\xff body ", 8) + std::to_string(i));
      records.push_back({.sequence = i,
                         .received_us = 1'700'000'000'123'456,
                         .tenant = "acme",
                         .stream = "web",
                         .content_type = "text/\"plain\"",
                         .body = as_bytes(bodies.back())});
      rejected.push_back({i, "too large"});
    }
    DeadLetters letters(files_, directory_, "out");
    ASSERT_TRUE(letters.keep({.name = {.node = "n1-000000abcdef", .first = first, .last = last},
                              .journal_id = 0xABCDEF,
                              .records = records},
                             rejected));
  }
  RedriveSummary run(bool keep_going = true) {
    Courier courier(
        clock_, sink_, {}, [=] { return keep_going; }, [](const std::string&, Microseconds) {});
    const auto summary =
        redrive(files_, directory_, "out", courier, [&](std::uint64_t done, std::uint64_t total) {
          EXPECT_LE(done, total);
          reports_++;
        });
    EXPECT_TRUE(summary);
    return *summary;
  }
  std::size_t files_left() {
    const auto names = dead_letter_files(files_, directory_);
    return names ? names->size() : 999;
  }

  PosixFileSystem files_;
  ManualClock clock_;
  ScriptedSink sink_;
  std::string root_;
  std::string directory_;
  int reports_ = 0;
};

TEST_F(RedriveTest, a_sink_without_dead_letters_has_nothing_to_do) {
  const RedriveSummary summary = run();
  EXPECT_EQ(summary.delivered, 0U);
  EXPECT_TRUE(sink_.names.empty());
}

TEST_F(RedriveTest, records_arrive_as_they_were_and_their_files_go) {
  set_aside(5, 7);
  set_aside(20, 20);
  const RedriveSummary summary = run();
  EXPECT_EQ(summary.delivered, 4U);
  EXPECT_EQ(sink_.names,
            (std::vector<std::string>{"n1-000000abcdef-redrive-000000000005-000000000007",
                                      "n1-000000abcdef-redrive-000000000014-000000000014"}));
  ASSERT_EQ(sink_.taken.size(), 4U);
  EXPECT_EQ(sink_.taken[0].second, std::string("\0\xff body 5", 9));
  EXPECT_EQ(files_left(), 0U);
  EXPECT_EQ(reports_, 2);
}

TEST_F(RedriveTest, what_is_refused_again_stays_with_its_new_reason) {
  set_aside(5, 7);
  sink_.refused = {6};
  const RedriveSummary summary = run();
  EXPECT_EQ(summary.delivered, 2U);
  EXPECT_EQ(summary.refused_again, 1U);
  ASSERT_EQ(files_left(), 1U);
  sink_.refused.clear();
  sink_.taken.clear();
  EXPECT_EQ(run().delivered, 1U);
  ASSERT_EQ(sink_.taken.size(), 1U);
  EXPECT_EQ(sink_.taken[0].first, 6U);
  EXPECT_EQ(files_left(), 0U);
}

TEST_F(RedriveTest, a_sink_that_is_down_is_waited_for) {
  set_aside(1, 2);
  for (int i = 0; i < 20; i++) {
    sink_.failures.push_back({.outcome = sinks::Outcome::slow_down, .why = "down"});
  }
  EXPECT_EQ(run().delivered, 2U);
  EXPECT_EQ(sink_.names.size(), 21U);
  EXPECT_GT(clock_.now, 60'000'000);
}

TEST_F(RedriveTest, one_told_to_stop_leaves_every_file) {
  set_aside(1, 2);
  const RedriveSummary summary = run(false);
  EXPECT_TRUE(summary.stopped);
  EXPECT_EQ(files_left(), 1U);
}

TEST_F(RedriveTest, a_file_with_a_damaged_line_is_named_and_left_alone) {
  set_aside(1, 2);
  set_aside(8, 9);
  const auto names = dead_letter_files(files_, directory_);
  ASSERT_TRUE(names);
  std::ofstream(directory_ + "/" + (*names)[0], std::ios::app) << "{\"id\":1}\n";
  const RedriveSummary summary = run();
  EXPECT_EQ(summary.delivered, 2U);
  ASSERT_EQ(summary.damaged.size(), 1U);
  EXPECT_NE(summary.damaged[0].find((*names)[0]), std::string::npos);
  EXPECT_EQ(files_left(), 1U);
}

TEST_F(RedriveTest, dead_letters_are_bounded_and_nothing_is_thrown_away) {
  set_aside(1, 50);
  const std::string body = "x";
  const sinks::Record record{
      .sequence = 60, .tenant = "acme", .stream = "web", .body = as_bytes(body)};
  const sinks::Batch batch{.name = {.node = "n1-000000abcdef", .first = 60, .last = 60},
                           .journal_id = 0xABCDEF,
                           .records = {&record, 1}};
  const sinks::Rejection rejected{60, "no"};
  DeadLetters full(files_, directory_, "out", 1000);
  const Status kept = full.keep(batch, {&rejected, 1});
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().kind, ErrorKind::overload);
  EXPECT_NE(kept.error().what.find("redrive"), std::string::npos);
  EXPECT_EQ(run().delivered, 50U);
  EXPECT_TRUE(full.keep(batch, {&rejected, 1}));
}

}  // namespace
}  // namespace inlet::ship
