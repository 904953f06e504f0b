// Goal: what the log's file said when it was flushed is read back, whatever happened to the file
// since: cut short, torn, bits flipped, from another journal, ahead of its journal.
// Method: logs written to a temporary directory from a real table, damaged by hand and at random
// (the seed is printed), read by a new log.

#include "serve/idempotency_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include "base/directory_test.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/posix_file.h"

namespace inlet::serve {
namespace {

constexpr std::uint64_t journal_id = 0xABC;
constexpr std::uint64_t no_end = UINT64_MAX;
constexpr Microseconds hour_us = 3'600'000'000;

class LogTest : public testing::Test {
 protected:
  using From = IdempotencyTable::Collection::From;

  void SetUp() override {
    set_log_level(LogLevel::off);
    directory = make_test_directory("idempotency_log_test");
    path = directory + "/idempotency";
    secret.fill(std::byte{7});
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  static Hash128 hash_of(std::uint64_t number) {
    std::mt19937_64 mix(number);
    return {mix(), mix()};
  }
  static IdempotencyEntry entry_of(std::uint64_t sequence) {
    return {hash_of(sequence), hash_of(~sequence), sequence, 1'000'000};
  }
  // Settles that many more records.
  void settle(std::uint64_t count) {
    for (; count > 0; count--) ASSERT_TRUE(table.restore(entry_of(next_sequence++), 1'000'000));
  }
  IdempotencyTable::Collection round(From from) { return {table, next_sequence, from}; }

  // A file of `blocks` blocks with `each` entries.
  void write(std::uint64_t blocks, std::uint64_t each) {
    IdempotencyLog log(files, directory, journal_id);
    for (std::uint64_t block = 0; block < blocks; block++) {
      settle(each);
      const auto written = block == 0 ? log.rewrite(round(From::oldest), secret)
                                      : log.append(round(From::last_round));
      ASSERT_TRUE(written) << written.error().what;
      EXPECT_EQ(*written, next_sequence);
    }
    EXPECT_EQ(log.bytes(), std::filesystem::file_size(path));
  }

  std::optional<IdempotencyLog::Loaded> read(std::uint64_t end = no_end,
                                             std::uint64_t of_journal = journal_id) {
    found.clear();
    reader = std::make_unique<IdempotencyLog>(files, directory, of_journal);
    auto loaded = reader->read(end, [&](const IdempotencyEntry& entry) {
      found[entry.sequence]++;
      EXPECT_EQ(entry, entry_of(entry.sequence));
    });
    EXPECT_TRUE(loaded) << loaded.error().what;
    return loaded ? *loaded : std::nullopt;
  }
  // Every entry from first to last exactly once, and no other.
  void expect_found(std::uint64_t first, std::uint64_t end) {
    EXPECT_EQ(found.size(), end - first);
    for (std::uint64_t sequence = first; sequence < end; sequence++) {
      EXPECT_EQ(found[sequence], 1) << sequence;
    }
  }
  void flip_bit(std::uint64_t bit) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(bit / 8));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(bit / 8));
    file.put(static_cast<char>(byte ^ (1 << bit % 8)));
  }

  std::string directory;
  std::string path;
  PosixFileSystem files;
  MemoryBudget memory{SIZE_MAX / 2};
  IdempotencyTable table{memory, 100'000, hour_us};
  IdempotencySecret secret;
  std::uint64_t next_sequence = 1;
  std::map<std::uint64_t, int> found;
  std::unique_ptr<IdempotencyLog> reader;
};

TEST_F(LogTest, what_was_written_is_read_back) {
  write(3, 100);
  const auto loaded = read();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->secret, secret);
  EXPECT_EQ(loaded->complete_to, 301U);
  EXPECT_EQ(loaded->entries, 300U);
  EXPECT_EQ(loaded->stretches_damaged, 0U);
  expect_found(1, 301);
  EXPECT_TRUE(reader->is_open());
}

TEST_F(LogTest, it_goes_on_where_it_was_left) {
  write(2, 10);
  ASSERT_TRUE(read());
  settle(5);
  ASSERT_TRUE(reader->append(round(From::last_round)));
  const auto loaded = read();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->complete_to, 26U);
  expect_found(1, 26);
}

TEST_F(LogTest, a_round_of_many_entries_takes_several_blocks) {
  write(1, 20'000);
  EXPECT_GT(std::filesystem::file_size(path), 20'000 * idempotency_entry_bytes);
  ASSERT_TRUE(read());
  expect_found(1, 20'001);
}

TEST_F(LogTest, a_missing_or_empty_file_is_none_and_a_foreign_one_is_left_out) {
  EXPECT_FALSE(read());
  std::ofstream(path).flush();
  EXPECT_FALSE(read());
  write(2, 10);
  EXPECT_FALSE(read(no_end, journal_id + 1));
  EXPECT_TRUE(found.empty());
  EXPECT_FALSE(reader->is_open());
  std::ofstream(path) << std::string(100'000, 'x');
  EXPECT_FALSE(read());
}

TEST_F(LogTest, a_torn_tail_is_cut_at_every_length_and_written_over) {
  write(2, 10);
  const std::uint64_t whole = std::filesystem::file_size(path);
  write(1, 0);  // The same again by a new log, from the table.
  ASSERT_TRUE(read());
  settle(200);
  ASSERT_TRUE(reader->append(round(From::last_round)));
  const std::uint64_t one = limits::block_bytes;
  const std::uint64_t all = std::filesystem::file_size(path);
  ASSERT_GT(all, one + limits::block_bytes);
  ASSERT_EQ(whole, 2 * one);
  for (std::uint64_t bytes = all - 1; bytes >= one; bytes -= 997) {
    std::filesystem::resize_file(path, bytes);
    const auto loaded = read();
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->complete_to, 21U);
    EXPECT_EQ(loaded->stretches_damaged, 0U);
    expect_found(1, 21);
  }
  settle(3);
  ASSERT_TRUE(reader->append(round(From::oldest)));
  ASSERT_TRUE(read());
  EXPECT_EQ(found.size(), 223U);
}

TEST_F(LogTest, a_flipped_bit_costs_its_block_and_is_reported_unless_it_is_the_last) {
  const auto seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937_64 random(seed);
  constexpr std::uint64_t each = 50;
  constexpr std::uint64_t blocks = 20;
  write(blocks, each);
  for (int i = 0; i < 100; i++) {
    const std::uint64_t bit = random() % (blocks * limits::block_bytes * 8);
    const std::uint64_t block = bit / 8 / limits::block_bytes;
    flip_bit(bit);
    const auto loaded = read();
    ASSERT_TRUE(loaded);
    const bool last = block == blocks - 1;
    EXPECT_EQ(loaded->stretches_damaged, last ? 0U : 1U) << "bit " << bit;
    EXPECT_EQ(loaded->complete_to, (last ? blocks - 1 : blocks) * each + 1);
    EXPECT_EQ(loaded->secret, secret);
    EXPECT_EQ(found.size(), (blocks - 1) * each);
    EXPECT_FALSE(found.contains(block * each + 1));
    flip_bit(bit);
  }
  ASSERT_TRUE(read());
  expect_found(1, blocks * each + 1);
}

TEST_F(LogTest, random_bytes_anywhere_never_make_an_entry) {
  const auto seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937_64 random(seed);
  write(10, 150);
  for (int i = 0; i < 100; i++) {
    for (std::uint64_t flips = random() % 30; flips > 0; flips--) {
      flip_bit(random() % (std::filesystem::file_size(path) * 8));
    }
    read();  // Compares every entry.
  }
}

TEST_F(LogTest, records_that_the_journal_lost_are_left_out_and_the_file_is_not_gone_on_with) {
  write(3, 10);
  const auto loaded = read(25);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->complete_to, 25U);
  EXPECT_FALSE(reader->is_open());
  expect_found(1, 25);
  ASSERT_TRUE(read(31));
  EXPECT_TRUE(reader->is_open());
}

TEST_F(LogTest, a_new_file_takes_the_place_of_one_that_has_grown) {
  constexpr std::uint64_t keys = 50'000;  // 2.2 MB.
  write(1, keys);
  ASSERT_TRUE(read());
  for (int times = 1; times < 4; times++) {
    EXPECT_FALSE(reader->overgrown(keys)) << times;
    ASSERT_TRUE(reader->append(round(From::oldest)));
  }
  EXPECT_TRUE(reader->overgrown(keys));
  EXPECT_FALSE(reader->overgrown(4 * keys));
  ASSERT_TRUE(reader->rewrite(round(From::oldest), secret));
  EXPECT_FALSE(reader->overgrown(keys));
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
  ASSERT_TRUE(read());
  expect_found(1, keys + 1);
}

}  // namespace
}  // namespace inlet::serve
