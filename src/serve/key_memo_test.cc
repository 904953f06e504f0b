// Goal: with a memo every key is judged as the table alone judges it.
// Method: right, wrong, expired and out-of-scope keys in random order, many to a slot, while tables
// are replaced; seeds are printed. By hand: what a memo could get wrong.

#include "serve/key_memo.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace inlet::serve {
namespace {

using Kind = Verdict::Kind;
constexpr Microseconds now_us = 1'800'000'000'000'000;
constexpr Microseconds second_us = 1'000'000;

std::string key_of(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::array<std::byte, api_key_random_bytes> bytes;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return std::string(make_api_key(bytes).view());
}

KeyEntry entry_of(std::uint64_t seed) {
  const auto key = parse_api_key(key_of(seed));
  return {.id = key->id, .digest = key->digest, .tenant = "acme"};
}

// The same id with another secret.
std::string forged(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::array<std::byte, api_key_random_bytes> bytes;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  bytes.back() ^= std::byte{1};
  return std::string(make_api_key(bytes).view());
}

class KeyMemoTest : public testing::Test {
 protected:
  std::unique_ptr<const KeyTable> table_of(const std::vector<KeyEntry>& entries) {
    std::string text;
    for (const KeyEntry& entry : entries) text += key_line(entry) + "\n";
    auto parsed = KeyTable::parse(text, "keys", [](std::string_view) { return 7U; }, uses_);
    EXPECT_TRUE(parsed.mistakes.empty());
    return std::move(parsed.table);
  }

  KeyUses uses_;
  KeyMemo memo_{random_sip_key()};
};

TEST_F(KeyMemoTest, a_right_key_is_known_again_and_a_wrong_one_beside_it_is_not) {
  const auto table = table_of({entry_of(1)});
  for (int i = 0; i < 3; i++) {
    const Verdict verdict = memo_.find(*table, key_of(1), "web", now_us);
    EXPECT_EQ(verdict.kind, Kind::known);
    EXPECT_EQ(verdict.key, table->of(entry_of(1).id));
    EXPECT_EQ(memo_.find(*table, forged(1), "web", now_us).kind, Kind::unknown);
    EXPECT_EQ(memo_.find(*table, key_of(2), "web", now_us).kind, Kind::unknown);
    EXPECT_EQ(memo_.find(*table, "", "web", now_us).kind, Kind::malformed);
    EXPECT_EQ(memo_.find(*table, std::string(api_key_chars, 'x'), "web", now_us).kind,
              Kind::malformed);
  }
}

TEST_F(KeyMemoTest, a_key_that_the_next_table_lacks_is_unknown_at_once) {
  const auto first = table_of({entry_of(1)});
  EXPECT_EQ(memo_.find(*first, key_of(1), "", now_us).kind, Kind::known);
  const auto next = table_of({entry_of(2)});
  EXPECT_EQ(memo_.find(*next, key_of(1), "", now_us).kind, Kind::unknown);
  EXPECT_EQ(memo_.find(*first, key_of(1), "", now_us).kind, Kind::known);
}

TEST_F(KeyMemoTest, a_table_in_the_memory_of_one_that_is_gone_is_another) {
  for (int i = 0; i < 20; i++) {
    auto table = table_of({entry_of(1)});
    EXPECT_EQ(memo_.find(*table, key_of(1), "", now_us).kind, Kind::known);
    table.reset();
    table = table_of({entry_of(2)});
    EXPECT_EQ(memo_.find(*table, key_of(1), "", now_us).kind, Kind::unknown);
  }
}

TEST_F(KeyMemoTest, expiry_and_scope_are_judged_each_time) {
  KeyEntry entry = entry_of(1);
  entry.streams = {"web.*"};
  entry.expires_us = now_us + second_us;
  const auto table = table_of({entry});
  EXPECT_EQ(memo_.find(*table, key_of(1), "web.a", now_us).kind, Kind::known);
  EXPECT_EQ(memo_.find(*table, key_of(1), "app", now_us).kind, Kind::out_of_scope);
  EXPECT_EQ(memo_.find(*table, key_of(1), "web.a", now_us).kind, Kind::known);
  EXPECT_EQ(memo_.find(*table, key_of(1), "web.a", now_us + second_us).kind, Kind::expired);
  EXPECT_EQ(memo_.find(*table, key_of(1), "web.a", now_us).kind, Kind::known);
}

TEST_F(KeyMemoTest, agrees_with_the_table_whatever_comes) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  constexpr std::uint64_t keys = 300;
  std::unique_ptr<const KeyTable> table;
  for (int i = 0; i < 20'000; i++) {
    if (i % 500 == 0) {
      std::vector<KeyEntry> entries;
      for (std::uint64_t key = 0; key < keys; key++) {
        if (random() % 3 == 0) continue;
        entries.push_back(entry_of(key));
        if (random() % 3 == 0) entries.back().streams = {"web"};
        if (random() % 3 == 0) entries.back().expires_us = now_us + 2 * second_us;
      }
      table = table_of(entries);
    }
    const std::uint64_t key = random() % keys;
    const std::string text = random() % 4 == 0 ? forged(key) : key_of(key);
    const std::string_view stream = random() % 2 == 0 ? "web" : "app";
    const Microseconds at_us = now_us + static_cast<Microseconds>(random() % 4) * second_us;
    const Verdict own = table->find(text, stream, at_us);
    const Verdict got = memo_.find(*table, text, stream, at_us);
    ASSERT_EQ(got.kind, own.kind) << i;
    ASSERT_EQ(got.key, own.key) << i;
  }
}

}  // namespace
}  // namespace inlet::serve
