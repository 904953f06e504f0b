// Goal: every node is asked in time whatever the others do, and no node is lost sight of.
// Method: time is passed in; answers, failures and lookups are told to the roster.

#include "top/roster.h"

#include <gtest/gtest.h>

#include "top/status_test.h"

namespace inlet::top {
namespace {

constexpr Microseconds second = 1'000'000;
using Words = std::vector<std::string>;

Roster roster_of(const Words& words) {
  std::vector<Target> targets;
  for (const std::string& word : words) {
    auto target = parse_target(word);
    CHECK(target.has_value());
    targets.push_back(std::move(*target));
  }
  return {targets, second};
}

std::string url(const std::string& host) { return "http://" + host + ":8081/status.json"; }

Result<Answer> fine(const std::string& name) {
  return Answer{.status = status_of({.name = name}), .document = {}};
}
Result<Answer> failed() { return fail(ErrorKind::retry, "cannot connect"); }
Result<Words> unknown() { return fail(ErrorKind::retry, "the name is not known"); }

TEST(Roster, ANodeThatIsSlowDelaysNoOtherAndIsNotAskedTwice) {
  Roster roster = roster_of({"a", "b"});
  EXPECT_EQ(roster.due_polls(0), (Words{url("a"), url("b")}));
  roster.answered(url("a"), fine("a"), 10'000);
  EXPECT_EQ(roster.due_polls(second - 1), Words{});
  EXPECT_EQ(roster.due_polls(second), (Words{url("a")}));
  roster.answered(url("b"), failed(), second + 1);  // Late: due at once.
  EXPECT_EQ(roster.due_polls(second + 1), (Words{url("b")}));
}

TEST(Roster, SilenceBeginsWithTheFirstFailureAndEndsWithAnAnswer) {
  Roster roster = roster_of({"a"});
  EXPECT_FALSE(roster.is_settled());
  for (Microseconds now = 0; now < 3 * second; now += second) {
    static_cast<void>(roster.due_polls(now));
    roster.answered(url("a"), failed(), now + 1);
  }
  Node node = roster.fleet(3 * second, 0).nodes.at(0);
  EXPECT_TRUE(roster.is_settled());
  EXPECT_EQ(node.reach, Reach::silent);
  EXPECT_EQ(node.since_us, 1);
  EXPECT_EQ(node.why, "cannot connect");
  static_cast<void>(roster.due_polls(3 * second));
  roster.answered(url("a"), fine("node-a"), 3 * second + 1);
  node = roster.fleet(4 * second, 0).nodes.at(0);
  EXPECT_EQ(node.reach, Reach::answering);
  EXPECT_EQ(node.name, "node-a");
  static_cast<void>(roster.due_polls(4 * second));
  roster.answered(url("a"), failed(), 5 * second);
  node = roster.fleet(5 * second, 0).nodes.at(0);
  EXPECT_EQ(node.since_us, 5 * second);
  EXPECT_EQ(node.name, "node-a");  // Still known by its name,
  EXPECT_FALSE(node.status);       // without figures that no longer hold.
}

TEST(Roster, ANameIsLookedUpAgainAndItsNewNodesAreAsked) {
  Roster roster = roster_of({"dns:fleet", "z"});
  EXPECT_EQ(roster.due_lookups(0), (Words{"fleet"}));
  EXPECT_EQ(roster.due_lookups(1), Words{});
  EXPECT_EQ(roster.fleet(1, 0).nodes.at(0).address, "dns:fleet");
  roster.looked_up("fleet", Words{"10.0.0.1", "10.0.0.2"}, 5);
  EXPECT_EQ(roster.due_polls(5), (Words{url("10.0.0.1"), url("10.0.0.2"), url("z")}));
  EXPECT_EQ(roster.due_lookups(lookup_interval_us - 1), Words{});
  EXPECT_EQ(roster.due_lookups(lookup_interval_us), (Words{"fleet"}));
  roster.looked_up("fleet", Words{"10.0.0.2", "10.0.0.3"}, lookup_interval_us);
  const Fleet fleet = roster.fleet(lookup_interval_us, 0);
  ASSERT_EQ(fleet.nodes.size(), 4U);  // The one that left is still seen.
  EXPECT_EQ(fleet.nodes[2].address, "10.0.0.3:8081");
  EXPECT_EQ(fleet.nodes[3].address, "z:8081");
}

TEST(Roster, AnAddressThatLeftItsNameIsDroppedAfterAWhileUnlessItComesBack) {
  Roster roster = roster_of({"dns:fleet"});
  const auto look = [&](Microseconds now, const Words& hosts) {
    static_cast<void>(roster.due_lookups(now));
    roster.looked_up("fleet", hosts, now);
    return roster.fleet(now, 0).nodes.size();
  };
  EXPECT_EQ(look(0, {"a", "b"}), 2U);
  EXPECT_EQ(look(lookup_interval_us, {"a"}), 2U);
  EXPECT_EQ(look(2 * lookup_interval_us, {"a", "b"}), 2U);
  EXPECT_EQ(look(3 * lookup_interval_us, {"a"}), 2U);
  EXPECT_EQ(look(3 * lookup_interval_us + linger_us - 1, {"a"}), 2U);
  EXPECT_EQ(look(4 * lookup_interval_us + linger_us, {"a"}), 1U);
  roster.answered(url("b"), fine("b"), 5 * lookup_interval_us + linger_us);  // Too late.
  EXPECT_EQ(roster.fleet(0, 0).nodes.size(), 1U);
}

TEST(Roster, ALookupThatFailsDropsNothingAndOneThatFindsNothingIsShown) {
  Roster roster = roster_of({"dns:fleet", "dns:gone", "dns:slow"});
  EXPECT_EQ(roster.due_lookups(0).size(), 3U);
  roster.looked_up("fleet", Words{"a"}, 1);
  roster.looked_up("gone", unknown(), 2);
  EXPECT_FALSE(roster.is_settled());
  static_cast<void>(roster.due_lookups(lookup_patience_us + 1));
  static_cast<void>(roster.due_polls(lookup_patience_us + 1));
  roster.answered(url("a"), fine("a"), lookup_patience_us + 2);
  EXPECT_TRUE(roster.is_settled());
  static_cast<void>(roster.due_lookups(lookup_interval_us));
  roster.looked_up("fleet", unknown(), lookup_interval_us);
  const Fleet fleet = roster.fleet(lookup_interval_us, 0);
  ASSERT_EQ(fleet.nodes.size(), 3U);
  EXPECT_EQ(fleet.nodes[0].reach, Reach::answering);
  EXPECT_EQ(fleet.nodes[1].why, "the name is not known");
  EXPECT_EQ(fleet.nodes[1].since_us, 2);
  EXPECT_EQ(fleet.nodes[2].why, "the name server does not answer");
}

TEST(Roster, TheSameNodeInSeveralWordsIsOneAndTheirNumberIsBounded) {
  Roster roster = roster_of({"a", "http://a:8081", "a:8081/", "dns:n", "dns:n:8081"});
  EXPECT_EQ(roster.due_polls(0), (Words{url("a")}));
  EXPECT_EQ(roster.due_lookups(0), (Words{"n"}));
  Words many = {"a"};
  for (std::size_t i = 0; i < 2 * nodes_max; i++) many.push_back("h" + std::to_string(i));
  roster.looked_up("n", many, 1);
  EXPECT_EQ(roster.fleet(1, 0).nodes.size(), nodes_max);
}

TEST(Roster, AnAnswerNobodyAskedForIsIgnored) {
  Roster roster = roster_of({"a"});
  roster.answered(url("a"), fine("a"), 1);
  roster.answered(url("x"), fine("x"), 1);
  EXPECT_EQ(roster.fleet(1, 0).nodes.at(0).reach, Reach::waiting);
}

}  // namespace
}  // namespace inlet::top
