// Goal: every job that was taken is called once, the queue is bounded, and no tenant takes it all.
// Method: a first job holds the clerk until the test lets go, so what waits is known exactly.

#include "serve/clerk.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <vector>

namespace inlet::serve {
namespace {

class ClerkTest : public testing::Test {
 protected:
  ~ClerkTest() override { let_go(); }

  // Returns when the clerk is at it.
  void hold() {
    Clerk::Job job = [this](Clerk::Call) {
      held_.count_down();
      may_go_.wait(false);
    };
    ASSERT_TRUE(clerk_.post("", job));
    held_.wait();
  }
  void let_go() {
    may_go_ = true;
    may_go_.notify_all();
  }
  bool post(std::string_view tenant) {
    Clerk::Job job = [this](Clerk::Call call) { (call == Clerk::Call::run ? run_ : stopped_)++; };
    return clerk_.post(tenant, job);
  }
  std::size_t post_all(std::string_view tenant) {
    std::size_t taken = 0;
    while (post(tenant)) taken++;
    return taken;
  }

  std::latch held_{1};
  std::atomic<bool> may_go_ = false;
  std::atomic<std::size_t> run_ = 0;
  std::atomic<std::size_t> stopped_ = 0;
  Clerk clerk_;
};

TEST_F(ClerkTest, runs_jobs_in_their_order_on_a_thread_of_its_own) {
  std::vector<int> order;
  std::latch done(3);
  for (int i = 0; i < 3; i++) {
    Clerk::Job job = [&, i, caller = std::this_thread::get_id()](Clerk::Call call) {
      EXPECT_EQ(call, Clerk::Call::run);
      EXPECT_NE(std::this_thread::get_id(), caller);
      order.push_back(i);
      done.count_down();
    };
    ASSERT_TRUE(clerk_.post("", job));
  }
  done.wait();
  EXPECT_EQ(order, (std::vector{0, 1, 2}));
}

TEST_F(ClerkTest, no_tenant_takes_more_than_its_places_and_operators_always_find_one) {
  hold();
  EXPECT_EQ(post_all("acme"), Clerk::jobs_of_tenant_max);
  std::size_t of_tenants = Clerk::jobs_of_tenant_max;
  for (char name = 'a'; name <= 'z'; name++) of_tenants += post_all(std::string(1, name));
  EXPECT_EQ(of_tenants, Clerk::jobs_max - Clerk::jobs_kept_for_operators);
  EXPECT_EQ(post_all(""), Clerk::jobs_kept_for_operators);
  let_go();
  clerk_.stop();
  EXPECT_EQ(run_ + stopped_, Clerk::jobs_max);
}

TEST_F(ClerkTest, a_job_that_is_not_taken_stays_the_callers) {
  hold();
  post_all("");
  bool called = false;
  Clerk::Job job = [&](Clerk::Call) { called = true; };
  EXPECT_FALSE(clerk_.post("", job));
  ASSERT_TRUE(job);
  job(Clerk::Call::stopped);
  EXPECT_TRUE(called);
}

TEST_F(ClerkTest, stopping_leaves_no_job_uncalled_and_takes_nothing_more) {
  hold();
  for (int i = 0; i < 5; i++) ASSERT_TRUE(post("acme"));
  std::jthread stopper([this] { clerk_.stop(); });
  let_go();
  stopper.join();
  EXPECT_EQ(run_ + stopped_, 5U);
  EXPECT_FALSE(post(""));
}

TEST_F(ClerkTest, many_posters_lose_nothing) {
  std::atomic<std::size_t> taken = 0;
  {
    std::vector<std::jthread> posters;
    for (int i = 0; i < 4; i++) {
      posters.emplace_back([&] {
        for (int n = 0; n < 2'000; n++) taken += post("") ? 1 : 0;
      });
    }
  }
  clerk_.stop();
  EXPECT_GT(taken, 0U);
  EXPECT_EQ(run_ + stopped_, taken);
}

}  // namespace
}  // namespace inlet::serve
