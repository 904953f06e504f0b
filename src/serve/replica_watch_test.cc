// Goal: nobody is told `replicated` about a record that the replica's cursor has not passed as
//   delivered, everybody is handed back once, in time.
// Method: cursors by hand for the rules; the real cursor file and the real thread for the watch.

#include "serve/replica_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::serve {
namespace {

using Verdict = ReplicaProgress::Verdict;
constexpr std::uint64_t journal_id = 0xABC;

journal::CursorState state_at(std::uint64_t next, std::uint64_t rejected = 0) {
  return {.journal_id = journal_id,
          .next = {.sequence = next},
          .records_delivered = next - 1 - rejected,
          .records_rejected = rejected};
}

TEST(ReplicaProgress, nothing_is_known_before_the_first_look_or_of_another_journal) {
  ReplicaProgress progress;
  EXPECT_EQ(progress.of(1), Verdict::pending);
  journal::CursorState other = state_at(100);
  other.journal_id = 7;
  progress.observe(other, journal_id);
  EXPECT_EQ(progress.of(1), Verdict::pending);
}

TEST(ReplicaProgress, records_passed_between_looks_are_replicated_and_older_ones_unknown) {
  ReplicaProgress progress;
  progress.observe(state_at(10), journal_id);
  progress.observe(state_at(20), journal_id);
  EXPECT_EQ(progress.of(9), Verdict::unknown);
  EXPECT_EQ(progress.of(10), Verdict::replicated);
  EXPECT_EQ(progress.of(19), Verdict::replicated);
  EXPECT_EQ(progress.of(20), Verdict::pending);
}

TEST(ReplicaProgress, a_stretch_in_which_one_record_was_set_aside_is_doubtful_as_a_whole) {
  ReplicaProgress progress;
  progress.observe(state_at(1), journal_id);
  progress.observe(state_at(10), journal_id);
  progress.observe(state_at(20, 1), journal_id);
  progress.observe(state_at(30, 1), journal_id);
  EXPECT_EQ(progress.of(9), Verdict::replicated);
  EXPECT_EQ(progress.of(10), Verdict::unknown);
  EXPECT_EQ(progress.of(19), Verdict::unknown);
  EXPECT_EQ(progress.of(20), Verdict::replicated);
}

TEST(ReplicaProgress, lost_and_skipped_records_make_doubt_as_well) {
  for (auto count : {&journal::CursorState::records_lost, &journal::CursorState::records_skipped}) {
    ReplicaProgress progress;
    progress.observe(state_at(1), journal_id);
    journal::CursorState state = state_at(10);
    state.*count = 1;
    progress.observe(state, journal_id);
    EXPECT_EQ(progress.of(5), Verdict::unknown);
  }
}

TEST(ReplicaProgress, a_cursor_that_went_back_is_believed_from_there_on) {
  ReplicaProgress progress;
  progress.observe(state_at(1), journal_id);
  progress.observe(state_at(100), journal_id);
  progress.observe(state_at(40), journal_id);
  EXPECT_EQ(progress.of(39), Verdict::unknown);
  EXPECT_EQ(progress.of(40), Verdict::pending);
  progress.observe(state_at(60), journal_id);
  EXPECT_EQ(progress.of(59), Verdict::replicated);
}

TEST(ReplicaProgress, memory_of_doubt_is_bounded_and_errs_towards_unknown) {
  ReplicaProgress progress;
  progress.observe(state_at(1), journal_id);
  for (std::uint64_t i = 1; i <= 200; i++) {
    progress.observe(state_at(20 * i, i), journal_id);
    progress.observe(state_at(20 * i + 10, i), journal_id);
  }
  EXPECT_EQ(progress.of(5), Verdict::unknown);
  EXPECT_EQ(progress.of(25), Verdict::unknown);  // Passed as delivered, long ago.
  EXPECT_EQ(progress.of(20 * 200 + 5), Verdict::replicated);
}

class ReplicaWatchTest : public testing::Test {
 protected:
  ReplicaWatchTest() {
    root_ = make_test_directory("replica_test");
    auto cursor = journal::Cursor::open(files_, root_, "bus");
    EXPECT_TRUE(cursor);
    cursor_ = std::move(*cursor);
    pass(1);
    watch_ = std::make_unique<ReplicaWatch>(
        files_, clock_, journal_id, ReplicaWatchOptions{.journal_directory = root_, .sink = "bus"},
        [this](unsigned loop, ReplicaWaiter* list) {
          while (list != nullptr) {
            EXPECT_EQ(list->loop, loop);
            list = list->next;
            back_++;  // From here on the waiter may be gone.
          }
        });
  }
  ~ReplicaWatchTest() override {
    watch_.reset();
    std::filesystem::remove_all(root_);
  }
  void pass(std::uint64_t next) { EXPECT_TRUE(cursor_->save(state_at(next))); }
  void wait_until_back(int count) {
    for (int i = 0; i < 10'000 && back_ < count; i++) clock_.sleep(1'000);
    EXPECT_EQ(back_, count);
  }

  PosixFileSystem files_;
  SystemClock clock_;
  std::string root_;
  std::unique_ptr<journal::Cursor> cursor_;
  std::atomic<int> back_ = 0;
  std::unique_ptr<ReplicaWatch> watch_;
};

TEST_F(ReplicaWatchTest, those_the_cursor_passes_come_back_replicated_the_rest_at_their_deadline) {
  std::vector<ReplicaWaiter> waiters(6);
  for (std::size_t i = 0; i < waiters.size(); i++) {
    waiters[i].sequence = i + 1;
    waiters[i].loop = i % 2;
    waiters[i].deadline_us = clock_.steady_us() + 60'000'000;
    if (i >= 4) waiters[i].deadline_us = clock_.steady_us() + 1;
    ASSERT_TRUE(watch_->wait(waiters[i]));
  }
  wait_until_back(2);
  pass(5);
  wait_until_back(6);
  for (std::size_t i = 0; i < waiters.size(); i++) EXPECT_EQ(waiters[i].replicated, i < 4) << i;
}

TEST_F(ReplicaWatchTest, stopping_hands_everybody_back_and_takes_nobody_more) {
  ReplicaWaiter waiter{.sequence = 9, .deadline_us = clock_.steady_us() + 60'000'000};
  ASSERT_TRUE(watch_->wait(waiter));
  watch_->stop();
  EXPECT_EQ(back_, 1);
  EXPECT_FALSE(waiter.replicated);
  EXPECT_FALSE(watch_->wait(waiter));
}

}  // namespace
}  // namespace inlet::serve
