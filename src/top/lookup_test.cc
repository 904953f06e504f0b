// Goal: a name becomes its addresses without waiting, and one that is none becomes a reason.
// Method: names that need no server; ends while questions are under way.

#include "top/lookup.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/time.h"

namespace inlet::top {
namespace {

constexpr Microseconds pause_us = 1'000;
constexpr int pauses_max = 20'000;

LookedUp wait_for(Lookup& lookup) {
  SystemClock clock;
  for (int i = 0; i < pauses_max; i++) {
    if (auto done = lookup.finish()) return std::move(*done);
    clock.sleep(pause_us);
  }
  return {.name = "", .hosts = fail(ErrorKind::retry, "nothing came")};
}

TEST(Lookup, ALocalNameStandsForTheLoopback) {
  Lookup lookup;
  EXPECT_FALSE(lookup.finish());
  lookup.start("localhost");
  const LookedUp done = wait_for(lookup);
  EXPECT_EQ(done.name, "localhost");
  ASSERT_TRUE(done.hosts) << done.hosts.error().what;
  for (const std::string& host : *done.hosts) {
    EXPECT_TRUE(host == "127.0.0.1" || host == "[::1]") << host;
  }
  EXPECT_FALSE(lookup.finish());
}

TEST(Lookup, SeveralAreUnderWayAtOnceAndEachEnds) {
  Lookup lookup;
  lookup.start("127.0.0.7");
  lookup.start("127.0.0.8");
  std::vector<std::string> hosts = {wait_for(lookup).hosts.value().at(0),
                                    wait_for(lookup).hosts.value().at(0)};
  std::ranges::sort(hosts);
  EXPECT_EQ(hosts, (std::vector<std::string>{"127.0.0.7", "127.0.0.8"}));
}

TEST(Lookup, ANameThatIsNoneIsAReason) {
  Lookup lookup;
  lookup.start("..");
  const LookedUp done = wait_for(lookup);
  ASSERT_FALSE(done.hosts);
  EXPECT_TRUE(done.hosts.error().what.starts_with("the name")) << done.hosts.error().what;
}

TEST(Lookup, EndingWithQuestionsUnderWayIsHarmless) {
  for (int i = 0; i < 20; i++) {
    Lookup lookup;
    lookup.start("localhost");
    lookup.start("127.0.0.7");
  }
}

}  // namespace
}  // namespace inlet::top
