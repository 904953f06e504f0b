// Goal: what one version of the supervisor writes down for another arrives whole, and what cannot
// be understood is refused before anything depends on it.
// Method: text there and back; descriptors over a real exec are the black-box tests' matter.

#include "main/handover.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace inlet::main {
namespace {

Handover example() {
  return {.lock = 5,
          .notifications = 6,
          .configuration = 64,
          .sockets = {{"ingest", 7}, {"admin", 8}},
          .processes = {{"serve", 100, 123456789012, 3}, {"ship-lake", 101, 5, 0}},
          .upgrade = {.id = 1763892000000000, .from = "0.1.0", .to = "0.2.0"},
          .upgrades = 7};
}

TEST(Handover, arrives_as_it_was_left) {
  const auto got = decode_handover(encode_handover(example()));
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, example());
}

TEST(Handover, of_a_later_version_with_more_lines_is_understood) {
  const auto got = decode_handover(encode_handover(example()) + "weather fine and warm\n\nlock\n");
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, example());
}

TEST(Handover, of_another_format_or_without_a_lock_is_refused) {
  std::string text = encode_handover(example());
  EXPECT_FALSE(decode_handover("inlet-handover 2" + text.substr(text.find('\n'))));
  EXPECT_FALSE(decode_handover(""));
  Handover unlocked = example();
  unlocked.lock = -1;
  EXPECT_FALSE(decode_handover(encode_handover(unlocked)));
}

TEST(Handover, keeps_its_descriptors_over_exec_until_it_is_withdrawn_or_taken) {
  const auto kept = [](const Descriptor& fd) { return ::fcntl(fd.get(), F_GETFD) == 0; };
  const Descriptor lock(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Descriptor notifications(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Handover handover{.lock = lock.get(), .notifications = notifications.get()};
  auto left = leave_handover(handover);
  ASSERT_TRUE(left);
  EXPECT_TRUE(kept(lock) && kept(notifications) && kept(*left));
  withdraw_handover(handover);
  EXPECT_FALSE(kept(lock) || kept(notifications));
  left = leave_handover(handover);
  ASSERT_TRUE(left);
  const auto taken = take_handover(left->release());
  ASSERT_TRUE(taken);
  EXPECT_EQ(*taken, handover);
  EXPECT_FALSE(kept(lock) || kept(notifications));
}

TEST(NodeState, arrives_as_it_was_written_whatever_is_in_its_texts) {
  const NodeState state{.pid = 17,
                        .version = "0.1.0",
                        .phase = "running",
                        .journal = "/var/lib/a place/journal",
                        .sinks = {"archive", "lake"},
                        .upgrade = {.id = 5,
                                    .stage = "",
                                    .outcome = "refused",
                                    .from = "0.1.0",
                                    .to = "0.2.0",
                                    .why = "it said: no"}};
  EXPECT_EQ(decode_node_state(encode_node_state(state)), state);
  NodeState forged = state;
  forged.upgrade.why = "no\npid 1";
  EXPECT_EQ(decode_node_state(encode_node_state(forged)).pid, 17);
}

TEST(NodeState, of_another_version_is_read_as_far_as_it_is_known) {
  const NodeState state = decode_node_state("pid 3\nmood good\n\nphase\nversion 7");
  EXPECT_EQ(state.pid, 3);
  EXPECT_EQ(state.version, "7");
  EXPECT_EQ(state.upgrade, UpgradeNote{});
}

}  // namespace
}  // namespace inlet::main
