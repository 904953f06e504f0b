// Goal: a key is answered for what became of its first request, through any order of requests,
// outcomes, expiry and want of room, and the log is given every entry.
// Method: cases by hand; a long random run against maps, its seed printed; threads that all bring
// the same keys.

#include "serve/idempotency_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <thread>

namespace inlet::serve {
namespace {

constexpr Microseconds hour_us = 3'600'000'000;

Hash128 hash_of(std::uint64_t number) {
  std::mt19937_64 mix(number);
  return {mix(), mix()};
}

struct Asked : KeyedRequest {
  explicit Asked(std::uint64_t key_number, std::uint64_t body_number = 1, Microseconds now_us = 1) {
    key = hash_of(key_number);
    body = hash_of(1'000'000'000 + body_number);
    received_us = now_us;
  }
};

class TableTest : public testing::Test {
 protected:
  void store(std::uint64_t key, std::uint64_t sequence, Microseconds now_us = 1) {
    Asked asked(key, 1, now_us);
    ASSERT_EQ(table.begin(asked, sequence), Claim::first);
    ASSERT_EQ(table.settled(asked, sequence), nullptr);
  }
  Claim ask(std::uint64_t key, std::uint64_t body = 1, Microseconds now_us = 1) {
    Asked asked(key, body, now_us);
    const Claim claim = table.begin(asked, 1);
    if (claim == Claim::first) {
      EXPECT_EQ(table.settled(asked, {}), nullptr);
    }
    answered = asked.sequence;
    return claim;
  }
  std::vector<IdempotencyEntry> collect(IdempotencyTable::Collection& round,
                                        std::size_t entries_each = 3) {
    std::vector<IdempotencyEntry> all;
    std::vector<std::byte> bytes(entries_each * idempotency_entry_bytes);
    while (!round.done()) {
      const std::size_t got = round.take(bytes);
      for (std::size_t i = 0; i < got; i++) {
        all.push_back(decode_entry(bytes.data() + i * idempotency_entry_bytes));
      }
    }
    return all;
  }

  using Collection = IdempotencyTable::Collection;
  MemoryBudget memory{SIZE_MAX / 2};
  IdempotencyTable table{memory, 1000, hour_us};
  std::uint64_t answered = 0;
};

TEST(IdempotencyEntry, survives_encoding_but_for_parts_of_milliseconds) {
  IdempotencyEntry entry{hash_of(1), hash_of(2), (std::uint64_t{1} << 48) - 1,
                         1'800'000'000'123'456};
  std::byte bytes[idempotency_entry_bytes];
  encode_entry(entry, bytes);
  entry.received_us = 1'800'000'000'123'000;
  EXPECT_EQ(decode_entry(bytes), entry);
}

TEST_F(TableTest, a_stored_key_is_a_duplicate_with_its_sequence_or_has_another_body) {
  store(1, 77);
  EXPECT_EQ(ask(1), Claim::duplicate);
  EXPECT_EQ(answered, 77U);
  EXPECT_EQ(ask(1, 2), Claim::other_body);
  EXPECT_EQ(ask(2), Claim::first);
  const TableStatus status = table.status(1);
  EXPECT_EQ(status.keys, 1U);
  EXPECT_EQ(status.duplicates, 1U);
  EXPECT_EQ(status.other_bodies, 1U);
  EXPECT_EQ(status.under_way, 0U);
}

TEST_F(TableTest, those_that_join_come_back_with_the_outcome_of_the_first) {
  for (const bool stored : {false, true}) {
    Asked first(1);
    Asked second(1);
    Asked third(1);
    Asked other(1, 2);
    ASSERT_EQ(table.begin(first, 5), Claim::first);
    EXPECT_EQ(table.begin(second, 5), Claim::joined);
    EXPECT_EQ(table.begin(third, 5), Claim::joined);
    EXPECT_EQ(table.begin(other, 5), Claim::other_body);
    KeyedRequest* const back =
        table.settled(first, stored ? std::optional<std::uint64_t>(9) : std::nullopt);
    ASSERT_EQ(back, &second);
    EXPECT_EQ(second.next, &third);
    EXPECT_EQ(third.next, nullptr);
    for (const KeyedRequest* joined : {back, back->next}) {
      EXPECT_EQ(joined->stored, stored);
      EXPECT_EQ(joined->sequence, stored ? 9U : 0U);
    }
  }
  EXPECT_EQ(ask(1), Claim::duplicate);
}

TEST_F(TableTest, a_key_that_was_not_stored_is_free_again) {
  Asked first(1);
  ASSERT_EQ(table.begin(first, 1), Claim::first);
  ASSERT_EQ(table.settled(first, {}), nullptr);
  EXPECT_EQ(ask(1, 2), Claim::first);
}

TEST_F(TableTest, a_key_is_known_for_the_window_and_no_longer) {
  store(1, 5, 2'000);
  EXPECT_EQ(ask(1, 1, 2'000 + hour_us - 1), Claim::duplicate);
  EXPECT_EQ(ask(1, 2, 2'000 + hour_us), Claim::first);
  store(1, 6, 2'000 + hour_us);
  EXPECT_EQ(ask(1, 1, 2'000 + hour_us), Claim::duplicate);
  EXPECT_EQ(answered, 6U);
  for (std::uint64_t key = 10; key < 20; key++) store(key, key, 2'000 + hour_us);
  EXPECT_EQ(table.status(2'000 + hour_us).keys, 11U);
  EXPECT_EQ(table.status(2'000 + hour_us).evicted, 0U);
}

TEST_F(TableTest, when_it_is_full_the_oldest_goes_and_the_window_is_what_is_left) {
  for (std::uint64_t key = 1; key <= 1500; key++) {
    store(key, key, static_cast<Microseconds>(key) * 1'000);
  }
  const Microseconds now_us = 1'500'000;
  EXPECT_EQ(ask(500, 1, now_us), Claim::first);
  EXPECT_EQ(ask(501, 1, now_us), Claim::duplicate);
  EXPECT_EQ(ask(1500, 1, now_us), Claim::duplicate);
  const TableStatus status = table.status(now_us);
  EXPECT_EQ(status.keys, 1000U);
  EXPECT_EQ(status.evicted, 500U);
  EXPECT_EQ(status.window_us, 999'000);
}

TEST_F(TableTest, memory_grows_with_the_keys_to_about_fifty_bytes_each_and_is_given_back) {
  EXPECT_EQ(memory.bytes_used(), 0U);
  {
    IdempotencyTable large(memory, 200'000, hour_us);
    std::uint64_t sequence = 0;
    for (std::uint64_t key = 0; key < 200'000; key++) {
      ASSERT_TRUE(large.restore({hash_of(key), {}, ++sequence, 1}, 1));
      if (key == 0) {
        EXPECT_LT(memory.bytes_used(), 20'000U);
      }
    }
    EXPECT_GT(large.status(1).keys, 199'000U);
    EXPECT_LT(memory.bytes_used(), 200'000U * 52);
    EXPECT_EQ(large.status(1).memory_bytes, memory.bytes_used());
    for (std::uint64_t key = 0; key < 300'000; key++) {
      large.restore({hash_of(900'000 + key), {}, ++sequence, 1}, 1);
    }
    EXPECT_LT(memory.bytes_used(), 200'000U * 52);
  }
  EXPECT_EQ(memory.bytes_used(), 0U);
}

TEST_F(TableTest, where_memory_ends_the_oldest_goes) {
  for (const std::size_t bytes : {0U, 300U, 12'000U, 30'000U}) {
    MemoryBudget little(bytes);
    IdempotencyTable small(little, 8000, hour_us);
    for (std::uint64_t key = 1; key <= 3000; key++) {
      small.restore({hash_of(key), hash_of(0), key, 1}, 1);
    }
    const TableStatus status = small.status(1);
    EXPECT_EQ(status.keys + status.evicted, 3000U);
    EXPECT_EQ(status.keys > 0, bytes >= 12'000) << bytes;
    Asked newest(3000);
    EXPECT_EQ(small.begin(newest, 1), bytes >= 12'000 ? Claim::other_body : Claim::first);
  }
}

TEST_F(TableTest, the_log_is_given_each_entry_once_or_all_from_the_oldest) {
  for (std::uint64_t key = 1; key <= 10; key++) store(key, key);
  Collection round(table, 11, Collection::From::last_round);
  EXPECT_EQ(collect(round).size(), 10U);
  EXPECT_EQ(round.complete_to(), 11U);
  store(11, 11);
  Collection next(table, 12, Collection::From::last_round);
  const auto entries = collect(next);
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].key, hash_of(11));
  EXPECT_EQ(entries[0].sequence, 11U);
  Collection all(table, 12, Collection::From::oldest);
  EXPECT_EQ(collect(all).size(), 11U);
}

TEST_F(TableTest, a_request_under_way_holds_the_log_back) {
  Asked early(1);
  Asked late(2);
  ASSERT_EQ(table.begin(early, 5), Claim::first);
  ASSERT_EQ(table.begin(late, 9), Claim::first);
  Collection both(table, 20, Collection::From::last_round);
  EXPECT_TRUE(collect(both).empty());
  EXPECT_EQ(both.complete_to(), 5U);
  EXPECT_EQ(table.settled(early, 7), nullptr);
  Collection one(table, 20, Collection::From::last_round);
  EXPECT_EQ(collect(one).size(), 1U);
  EXPECT_EQ(one.complete_to(), 9U);
  EXPECT_EQ(table.settled(late, 12), nullptr);
  Collection none(table, 20, Collection::From::last_round);
  EXPECT_EQ(collect(none).size(), 1U);
  EXPECT_EQ(none.complete_to(), 20U);
}

TEST_F(TableTest, what_was_evicted_before_the_log_came_is_left_out) {
  for (std::uint64_t key = 1; key <= 2500; key++) store(key, key);
  Collection round(table, 2501, Collection::From::last_round);
  const auto entries = collect(round, 100);
  ASSERT_EQ(entries.size(), 1000U);
  EXPECT_EQ(entries.front().sequence, 1501U);
  EXPECT_EQ(entries.back().sequence, 2500U);
}

TEST_F(TableTest, restoring_keeps_the_latest_record_of_a_key) {
  const auto entry = [](std::uint64_t sequence) {
    return IdempotencyEntry{hash_of(1), hash_of(1'000'000'001), sequence, hour_us};
  };
  EXPECT_TRUE(table.restore(entry(5), hour_us));
  EXPECT_FALSE(table.restore(entry(5), hour_us));
  EXPECT_FALSE(table.restore(entry(4), hour_us));
  EXPECT_TRUE(table.restore(entry(6), hour_us));
  EXPECT_FALSE(table.restore(entry(7), 2 * hour_us));  // Out of the window.
  EXPECT_EQ(ask(1, 1, hour_us), Claim::duplicate);
  EXPECT_EQ(answered, 6U);
}

// The plainest table: what is stored, and the order in which it was.
struct Model {
  struct Stored {
    std::uint64_t body, sequence;
    Microseconds received_us;
  };
  std::map<std::uint64_t, Stored> stored;
};

TEST(IdempotencyTable, agrees_with_a_map_over_a_long_random_run) {
  const auto seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937_64 random(seed);
  constexpr std::uint64_t keys_max = 700;
  constexpr Microseconds window_us = 1'000'000;
  MemoryBudget memory(SIZE_MAX / 2);
  IdempotencyTable table(memory, keys_max, window_us);
  Model model;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> order;  // Sequence and key, as put.
  std::uint64_t sequence = 1;
  Microseconds now_us = 1'000'000'000;
  for (int step = 0; step < 200'000; step++) {
    now_us += static_cast<Microseconds>(random() % 3) * 1000;
    const std::uint64_t key = random() % 2000;
    const std::uint64_t body = random() % 10 == 0 ? 2 : 1;
    Asked asked(key, body, now_us);
    const Claim claim = table.begin(asked, sequence);
    const auto known = model.stored.find(key);
    const bool in_window =
        known != model.stored.end() && known->second.received_us > now_us - window_us;
    if (claim == Claim::duplicate) {
      ASSERT_TRUE(in_window);
      ASSERT_EQ(known->second.body, body);
      ASSERT_EQ(asked.sequence, known->second.sequence);
    } else if (claim == Claim::other_body) {
      ASSERT_TRUE(in_window);
      ASSERT_NE(known->second.body, body);
    } else {
      ASSERT_EQ(claim, Claim::first);
      // Forgotten only if out of the window or pushed out by as many newer ones as fit.
      const bool young = std::any_of(order.begin(), order.end(), [&](const auto& put) {
        return known != model.stored.end() && put.first == known->second.sequence;
      });
      ASSERT_FALSE(in_window && young) << "step " << step;
      const bool stored = random() % 5 != 0;
      ASSERT_EQ(table.settled(asked, stored ? std::optional(sequence) : std::nullopt), nullptr);
      if (!stored) continue;
      model.stored[key] = {body, sequence, now_us};
      order.emplace_back(sequence++, key);
      if (order.size() > keys_max) order.pop_front();
    }
  }
  EXPECT_GT(table.status(now_us).duplicates, 10'000U);
}

TEST(IdempotencyTable, gives_a_key_to_one_of_many_threads) {
  constexpr int threads_count = 4;
  constexpr std::uint64_t keys = 20'000;
  MemoryBudget memory(SIZE_MAX / 2);
  IdempotencyTable table(memory, 2 * keys, hour_us);
  std::atomic<std::uint64_t> sequence = 1;
  std::atomic<std::uint64_t> firsts = 0;
  std::vector<std::atomic<std::uint64_t>> stored(keys);
  std::vector<std::thread> threads;
  std::vector<std::deque<Asked>> joined(threads_count);
  std::atomic<std::uint64_t> came_back = 0;
  for (std::size_t t = 0; t < threads_count; t++) {
    threads.emplace_back([&, t] {
      for (std::uint64_t key = 0; key < keys; key++) {
        Asked& asked = joined[t].emplace_back(key);
        const Claim claim = table.begin(asked, sequence);
        ASSERT_NE(claim, Claim::other_body);
        if (claim == Claim::duplicate) {
          EXPECT_EQ(asked.sequence, stored[key]);
        }
        if (claim == Claim::joined) continue;
        if (claim == Claim::first) {
          firsts++;
          stored[key] = sequence++;
          for (auto* back = table.settled(asked, stored[key]); back != nullptr; back = back->next) {
            EXPECT_EQ(back->sequence, stored[key]);
            came_back++;
          }
        }
        joined[t].pop_back();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(firsts, keys);
  std::size_t joined_count = 0;
  for (const auto& of_thread : joined) joined_count += of_thread.size();
  EXPECT_EQ(came_back, joined_count);
  EXPECT_EQ(table.status(1).duplicates, (threads_count - 1) * keys);
}

TEST(IdempotencyTable, a_log_that_follows_along_misses_nothing) {
  constexpr std::uint64_t keys = 100'000;
  MemoryBudget memory(SIZE_MAX / 2);
  IdempotencyTable table(memory, 2 * keys, hour_us);
  std::mutex commit;
  std::atomic<std::uint64_t> next_sequence = 1;
  std::atomic<int> running = 2;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 2; t++) {
    threads.emplace_back([&, t] {
      for (std::uint64_t key = t; key < keys; key += 2) {
        Asked asked(key);
        ASSERT_EQ(table.begin(asked, next_sequence), Claim::first);
        std::uint64_t sequence = 0;
        {
          const std::lock_guard lock(commit);
          sequence = next_sequence++;
        }
        EXPECT_EQ(table.settled(asked, sequence), nullptr);
      }
      running--;
    });
  }
  std::set<std::uint64_t> given;
  std::vector<std::byte> bytes(100 * idempotency_entry_bytes);
  std::uint64_t complete_to = 1;
  for (bool last = false; !last;) {
    last = running == 0;
    IdempotencyTable::Collection round(table, next_sequence,
                                       IdempotencyTable::Collection::From::last_round);
    while (!round.done()) {
      const std::size_t got = round.take(bytes);
      for (std::size_t i = 0; i < got; i++) {
        const auto entry = decode_entry(bytes.data() + i * idempotency_entry_bytes);
        EXPECT_TRUE(given.insert(entry.sequence).second);
      }
    }
    for (; complete_to < round.complete_to(); complete_to++) {
      ASSERT_TRUE(given.contains(complete_to)) << complete_to;
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(complete_to, keys + 1);
}

}  // namespace
}  // namespace inlet::serve
