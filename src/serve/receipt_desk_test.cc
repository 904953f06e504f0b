// Goal: every question is answered once on the loop that asked, also when the clerk is full or
//   stops.
// Method: a desk without a journal, whose clerk the test can hold; posts are noted and run by hand.

#include "serve/receipt_desk.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <utility>
#include <vector>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::serve {
namespace {

class ReceiptDeskTest : public testing::Test {
 protected:
  ~ReceiptDeskTest() override { std::filesystem::remove_all(root); }

  void ask(unsigned loop, RecordId id, const std::string& tenant = "") {
    desk.ask(loop, {.id = id, .tenant = tenant},
             [this](const ReceiptAnswer& answer) { statuses.push_back(answer.status); });
  }
  // What the loops would do; returns which did something.
  std::vector<unsigned> run_posted() {
    std::vector<std::pair<unsigned, std::move_only_function<void()>>> due;
    {
      const std::lock_guard lock(mutex);
      due = std::exchange(posted, {});
    }
    std::vector<unsigned> loops;
    for (auto& [loop, function] : due) {
      function();
      loops.push_back(loop);
    }
    return loops;
  }

  PosixFileSystem files;
  const std::string root = make_test_directory("receipt_desk_test");
  std::mutex mutex;
  std::vector<std::pair<unsigned, std::move_only_function<void()>>> posted;
  std::vector<int> statuses;
  ReceiptBook book{files, 7, {.journal_directory = root, .node = "n"}};
  Clerk clerk;
  ReceiptDesk desk{clerk, book, [this](unsigned loop, std::move_only_function<void()> function) {
                     const std::lock_guard lock(mutex);
                     posted.emplace_back(loop, std::move(function));
                   }};
};

TEST_F(ReceiptDeskTest, an_id_of_another_journal_is_answered_at_once) {
  ask(0, {8, 1});
  EXPECT_EQ(statuses, std::vector{404});
}

TEST_F(ReceiptDeskTest, answers_come_on_the_loop_that_asked) {
  ask(1, {7, 1});
  EXPECT_TRUE(statuses.empty());
  std::vector<unsigned> loops;
  while (loops.empty()) loops = run_posted();
  EXPECT_EQ(loops, std::vector{1U});
  EXPECT_EQ(statuses, std::vector{404});
}

TEST_F(ReceiptDeskTest, a_full_clerk_and_a_stopped_one_are_answers_too) {
  std::latch held(1);
  std::atomic<bool> may_go = false;
  Clerk::Job hold = [&](Clerk::Call) {
    held.count_down();
    may_go.wait(false);
  };
  ASSERT_TRUE(clerk.post("", hold));
  held.wait();
  const auto taken = static_cast<int>(Clerk::jobs_of_tenant_max);
  for (int i = 0; i < taken + 3; i++) ask(0, {7, 1}, "acme");
  EXPECT_EQ(statuses, (std::vector{503, 503, 503}));
  may_go = true;
  may_go.notify_all();
  clerk.stop();
  ask(0, {7, 1});
  EXPECT_EQ(statuses.back(), 503);
  EXPECT_EQ(run_posted().size(), Clerk::jobs_of_tenant_max);
  EXPECT_EQ(statuses.size(), Clerk::jobs_of_tenant_max + 4);
}

}  // namespace
}  // namespace inlet::serve
