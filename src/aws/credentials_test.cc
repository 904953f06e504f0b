// Goal: credentials are there whenever any can be had, never past their end, and looked for neither
//   too often nor too late.
// Method: the chain over made-up sources and a clock that tests move.

#include "aws/credentials.h"

#include <gtest/gtest.h>

#include <deque>

#include "aws/surroundings_test.h"

namespace inlet::aws {
namespace {

constexpr Microseconds minute_us = 60'000'000;
constexpr Microseconds hour_us = 60 * minute_us;

// Says what it is told to, one step after the other; the last again and again.
class SaidSource final : public CredentialSource {
 public:
  SaidSource(std::string name, std::deque<SourceStep>& steps, int& begun)
      : name_(std::move(name)), steps_(steps), begun_(begun) {}
  std::string_view name() const override { return name_; }
  SourceStep begin() override {
    begun_++;
    return next();
  }
  SourceStep resume(const fetch::Response&) override { return next(); }

 private:
  SourceStep next() {
    SourceStep step = steps_.front();
    if (steps_.size() > 1) steps_.pop_front();
    return step;
  }

  const std::string name_;
  std::deque<SourceStep>& steps_;
  int& begun_;
};

class ChainTest : public testing::Test {
 protected:
  ChainTest() : server_clock_(clock_), chain_(server_clock_, sources(), 7) {}

  std::vector<std::unique_ptr<CredentialSource>> sources() {
    std::vector<std::unique_ptr<CredentialSource>> made;
    made.push_back(std::make_unique<SaidSource>("first", first_, first_begun_));
    made.push_back(std::make_unique<SaidSource>("second", second_, second_begun_));
    return made;
  }
  Credentials until(Microseconds from_now, const std::string& key = "AK") {
    return {key, "secret-key", "secret-token", clock_.wall + from_now};
  }
  std::string key() {
    const Credentials* current = chain_.current();
    return current == nullptr ? "none" : current->access_key;
  }

  SetClock clock_;
  ServerClock server_clock_;
  std::deque<SourceStep> first_{Absent{"not set"}};
  std::deque<SourceStep> second_{Absent{"no answer"}};
  int first_begun_ = 0;
  int second_begun_ = 0;
  CredentialChain chain_;
};

TEST_F(ChainTest, every_place_is_named_when_there_are_none) {
  EXPECT_EQ(chain_.due(), std::nullopt);
  EXPECT_EQ(chain_.current(), nullptr);
  EXPECT_EQ(chain_.why_none(), "no AWS credentials: first: not set; second: no answer");
}

TEST_F(ChainTest, the_first_place_that_has_some_is_taken) {
  first_ = {Credentials{"A1", "s", "", 0}};
  second_ = {Credentials{"A2", "s", "", 0}};
  EXPECT_EQ(chain_.due(), std::nullopt);
  EXPECT_EQ(key(), "A1");
  EXPECT_EQ(second_begun_, 0);
  clock_.pass(1000 * hour_us);
  EXPECT_EQ(chain_.due(), std::nullopt);
  EXPECT_EQ(first_begun_, 1);  // Those without an end are not looked for again.
}

TEST_F(ChainTest, a_place_that_is_set_up_and_broken_hides_the_others) {
  first_ = {Error{ErrorKind::retry, "half set"}};
  second_ = {Credentials{"A2", "s", "", 0}};
  EXPECT_EQ(chain_.due(), std::nullopt);
  EXPECT_EQ(key(), "none");
  EXPECT_EQ(chain_.why_none(), "no AWS credentials: first: half set");
}

TEST_F(ChainTest, requests_are_handed_out_one_at_a_time) {
  second_ = {fetch::Request{.url = "http://a/"}, fetch::Request{.url = "http://b/"},
             until(hour_us)};
  auto request = chain_.due();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->url, "http://a/");
  EXPECT_TRUE(chain_.is_looking());
  EXPECT_EQ(chain_.due(), std::nullopt);
  request = chain_.take({});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->url, "http://b/");
  EXPECT_EQ(chain_.take({}), std::nullopt);
  EXPECT_FALSE(chain_.is_looking());
  EXPECT_EQ(key(), "AK");
}

TEST_F(ChainTest, they_are_refreshed_five_to_ten_minutes_ahead) {
  const Microseconds start = clock_.wall;
  second_ = {until(hour_us, "A1"), until(3 * hour_us, "A2")};
  while (key() != "A2") {
    static_cast<void>(chain_.due());
    ASSERT_NE(key(), "none");
    clock_.pass(minute_us / 6);
  }
  const Microseconds ahead = start + hour_us - clock_.wall;
  EXPECT_GE(ahead, CredentialChain::refresh_ahead_us - minute_us / 6);
  EXPECT_LE(ahead, CredentialChain::refresh_ahead_us + CredentialChain::refresh_spread_us);
}

TEST_F(ChainTest, old_ones_are_used_to_their_end_while_refreshing_fails) {
  second_ = {until(hour_us), Absent{"down"}};
  static_cast<void>(chain_.due());
  for (int minute = 0; minute < 60; minute++) {
    EXPECT_EQ(key(), "AK") << minute;
    clock_.pass(minute_us);
    static_cast<void>(chain_.due());
  }
  EXPECT_EQ(key(), "none");
  EXPECT_GT(second_begun_, 5);  // It went on trying.
  second_ = {until(hour_us, "A2")};
  clock_.pass(CredentialChain::retry_last_us);
  static_cast<void>(chain_.due());
  EXPECT_EQ(key(), "A2");
}

TEST_F(ChainTest, retries_back_off) {
  for (int i = 0; i < 36'000; i++) {
    static_cast<void>(chain_.due());
    clock_.pass(100'000);
  }
  // An hour at 30 to 60 seconds a time, and a few quick ones at first.
  EXPECT_GE(second_begun_, 60);
  EXPECT_LE(second_begun_, 130);
}

TEST_F(ChainTest, ones_that_end_at_once_are_not_asked_for_without_a_pause) {
  for (int i = 0; i < 100; i++) {
    second_ = {until(minute_us)};
    static_cast<void>(chain_.due());
    clock_.pass(100'000);
  }
  EXPECT_EQ(second_begun_, 5);  // In ten seconds.
}

TEST_F(ChainTest, refused_ones_are_dropped_and_looked_for_again) {
  second_ = {until(hour_us, "A1"), until(hour_us, "A2")};
  static_cast<void>(chain_.due());
  chain_.refuse("A0", "secret-token", "ExpiredToken");  // Of an answer that comes late.
  EXPECT_EQ(key(), "A1");
  chain_.refuse("A1", "secret-token", "ExpiredToken");
  EXPECT_EQ(key(), "none");
  EXPECT_EQ(chain_.why_none(),
            "the AWS credentials of second were refused (ExpiredToken) and are looked for again");
  clock_.pass(CredentialChain::looks_apart_us);
  static_cast<void>(chain_.due());
  EXPECT_EQ(key(), "A2");
}

TEST_F(ChainTest, a_wrong_clock_is_found_by_the_date_of_the_source) {
  // Our clock is two hours ahead: by it, what just came has expired.
  second_ = {fetch::Request{}, until(-hour_us)};
  ASSERT_TRUE(chain_.due());
  static_cast<void>(
      chain_.take({.status = 200, .headers = {{"date", "Mon, 23 Nov 2026 08:00:00 GMT"}}}));
  EXPECT_EQ(key(), "AK");
  EXPECT_EQ(server_clock_.wall_us(), clock_.wall - 2 * hour_us);
  clock_.pass(hour_us);
  EXPECT_EQ(key(), "none");
}

TEST_F(ChainTest, nothing_secret_is_in_a_message) {
  second_ = {until(minute_us)};
  static_cast<void>(chain_.due());
  chain_.refuse("AK", "secret-token", "ExpiredToken");
  EXPECT_EQ(chain_.why_none().find("secret"), std::string::npos);
}

}  // namespace
}  // namespace inlet::aws
