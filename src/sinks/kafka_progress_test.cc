// Goal: whatever fails, every message is sent until it has arrived or was refused, in order, and
//   none again that is known to have arrived.
// Method: rounds of random failures over batches of random shapes; each round is told to a model,
//   and what is left to send must be exactly what the model says.

#include "sinks/kafka_progress.h"

#include <gtest/gtest.h>

#include <random>

namespace inlet::sinks {
namespace {

constexpr std::size_t window_max = 16;

std::vector<KafkaPlace> places_of(std::mt19937_64& random) {
  std::vector<KafkaPlace> places;
  const std::size_t records = random() % 40;
  for (std::size_t record = 0; record < records; record++) {
    const std::size_t events = 1 + random() % 3;
    for (std::size_t event = 0; event < events; event++) places.push_back({record, event});
  }
  return places;
}

// Sends what fits into one window from where the batch goes on; returns what was sent.
std::vector<KafkaTicket*> send_window(KafkaProgress& progress,
                                      const std::vector<KafkaPlace>& places,
                                      const std::set<KafkaPlace>& settled) {
  std::vector<KafkaTicket*> sent;
  for (const KafkaPlace& place : places) {
    if (place < progress.place()) {
      EXPECT_TRUE(settled.contains(place)) << "left out and not settled";
      continue;
    }
    if (!progress.has_room()) break;
    KafkaTicket* ticket = progress.open(place, nullptr);
    EXPECT_EQ(ticket == nullptr, settled.contains(place));
    if (ticket != nullptr) sent.push_back(ticket);
  }
  return sent;
}

TEST(KafkaProgress, nothing_is_left_out_and_nothing_known_is_sent_again) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int batch = 0; batch < 300; batch++) {
    const auto places = places_of(random);
    KafkaProgress progress(window_max);
    std::set<KafkaPlace> settled;
    int rounds = 0;
    while (settled.size() < places.size()) {
      ASSERT_LT(rounds++, 2000);
      progress.start({.node = "n", .first = 1, .last = 9});
      for (KafkaTicket* ticket : send_window(progress, places, settled)) {
        const auto dice = random() % 4;
        const KafkaPlace place{ticket->record, ticket->event};
        ticket->state = dice == 0 ? KafkaTicket::State::delivered : KafkaTicket::State::failed;
        if (dice == 1) progress.refuse(place, place.record, "because");
        if (dice <= 1) settled.insert(place);
      }
      progress.rewind(false);
    }
  }
}

TEST(KafkaProgress, an_aborted_transaction_leaves_only_refusals) {
  KafkaProgress progress(window_max);
  progress.start({.node = "n", .first = 1, .last = 3});
  for (std::size_t record = 0; record < 3; record++) {
    progress.open({record, 0}, nullptr)->state = KafkaTicket::State::delivered;
  }
  progress.refuse({1, 0}, 2, "because");
  progress.rewind(true);
  EXPECT_EQ(progress.place(), KafkaPlace());
  EXPECT_NE(progress.open({0, 0}, nullptr), nullptr);
  EXPECT_EQ(progress.open({1, 0}, nullptr), nullptr);
  EXPECT_NE(progress.open({2, 0}, nullptr), nullptr);
  ASSERT_EQ(progress.rejections().size(), 1U);
  EXPECT_EQ(progress.rejections()[0].sequence, 2U);
}

TEST(KafkaProgress, another_batch_starts_with_nothing) {
  const BatchName names[] = {{.node = "n", .first = 1, .last = 4},
                             {.node = "n", .first = 2, .last = 3},
                             {.node = "m", .first = 1, .last = 3}};
  for (const BatchName& other : names) {
    KafkaProgress progress(window_max);
    progress.start({.node = "n", .first = 1, .last = 3});
    progress.open({0, 0}, nullptr)->state = KafkaTicket::State::delivered;
    progress.reject(1, "because");
    progress.rewind(false);
    progress.start(other);
    EXPECT_EQ(progress.place(), KafkaPlace());
    EXPECT_TRUE(progress.rejections().empty());
  }
}

}  // namespace
}  // namespace inlet::sinks
