// Goal: a ledger reads back what was added, each batch once, whatever was torn or repeated, and
//   stays small without losing a count.
// Method: the real file system; bytes cut and flipped by hand.

#include "journal/ledger.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::journal {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t journal_id = 0xABCDEF;

LedgerLine line_of(std::uint64_t first, std::uint64_t end) {
  return {.first = first,
          .end = end,
          .at_us = static_cast<Microseconds>(1000 * end),
          .lost = 1,
          .skipped = 2,
          .streams = {{"acme/web", {end - first, 10 * end, 3}}, {"default/a.b", {7, 8, 0}}}};
}

class LedgerTest : public testing::Test {
 protected:
  LedgerTest() {
    root_ = make_test_directory("ledger_test");
    fs::create_directories(fs::path(root_) / "cursors");
  }
  ~LedgerTest() override { fs::remove_all(root_); }

  LedgerView view() {
    auto view = read_ledger(files_, root_, "out");
    EXPECT_TRUE(view);
    return *view;
  }
  std::string path() const { return root_ + "/cursors/out.ledger"; }
  std::string text() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  PosixFileSystem files_;
  std::string root_;
};

TEST_F(LedgerTest, is_empty_before_the_first_line) {
  EXPECT_EQ(view().journal_id, 0U);
  EXPECT_TRUE(view().lines.empty());
}

TEST_F(LedgerTest, has_one_readable_line_a_batch) {
  Ledger ledger(files_, root_, "out");
  ASSERT_TRUE(ledger.add(journal_id, {.first = 1,
                                      .end = 4,
                                      .at_us = 5,
                                      .lost = 0,
                                      .skipped = 1,
                                      .streams = {{"acme/web", {2, 20, 0}}}}));
  EXPECT_TRUE(text().starts_with("inlet-ledger 1 000000abcdef\n1 4 5 0 1 acme/web 2 20 0 "));
}

TEST_F(LedgerTest, keeps_lines_over_processes_and_takes_the_last_of_a_repeated_batch) {
  for (const std::uint64_t first : {1, 11, 11, 21}) {
    Ledger ledger(files_, root_, "out");
    ASSERT_TRUE(ledger.add(journal_id, line_of(first, first + 10)));
  }
  EXPECT_EQ(view().lines, (std::vector{line_of(1, 11), line_of(11, 21), line_of(21, 31)}));
}

TEST_F(LedgerTest, begins_anew_for_another_journal) {
  Ledger ledger(files_, root_, "out");
  ASSERT_TRUE(ledger.add(journal_id, line_of(1, 11)));
  ASSERT_TRUE(ledger.add(0x123, line_of(1, 6)));
  EXPECT_EQ(view().journal_id, 0x123U);
  EXPECT_EQ(view().lines, std::vector{line_of(1, 6)});
}

TEST_F(LedgerTest, drops_a_line_cut_at_any_byte_and_goes_on_behind_the_whole_ones) {
  {
    Ledger ledger(files_, root_, "out");
    ASSERT_TRUE(ledger.add(journal_id, line_of(1, 11)));
    ASSERT_TRUE(ledger.add(journal_id, line_of(11, 2100)));
  }
  const std::string whole = text();
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  for (std::size_t cut = last; cut < whole.size(); cut++) {
    std::ofstream(path(), std::ios::binary) << whole.substr(0, cut);
    ASSERT_EQ(view().lines, std::vector{line_of(1, 11)}) << cut;
    Ledger ledger(files_, root_, "out");
    ASSERT_TRUE(ledger.add(journal_id, line_of(11, 12)));
    ASSERT_EQ(view().lines, (std::vector{line_of(1, 11), line_of(11, 12)})) << cut;
  }
}

TEST_F(LedgerTest, believes_no_line_with_a_flipped_bit) {
  Ledger ledger(files_, root_, "out");
  ASSERT_TRUE(ledger.add(journal_id, line_of(1, 11)));
  const std::string whole = text();
  for (std::size_t bit = 8 * (whole.find('\n') + 1); bit < 8 * (whole.size() - 1); bit++) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << (bit % 8));
    std::ofstream(path(), std::ios::binary) << flipped;
    const auto lines = view().lines;
    // A letter of the checksum in the other case is the same number.
    if (!lines.empty()) {
      ASSERT_EQ(lines, std::vector{line_of(1, 11)}) << bit;
    }
  }
}

TEST_F(LedgerTest, stays_small_and_loses_no_count) {
  Ledger ledger(files_, root_, "out");
  LedgerLine sum;
  std::uint64_t biggest = 0;
  for (std::uint64_t i = 0; i < 1000; i++) {
    LedgerLine line = line_of(1 + 2 * i, 3 + 2 * i);
    for (int s = 0; s < 500; s++) line.streams["acme/stream-" + std::to_string(s)] = {1, i, 2};
    add_to(sum, line);
    ASSERT_TRUE(ledger.add(journal_id, line));
    biggest = std::max<std::uint64_t>(biggest, fs::file_size(path()));
  }
  EXPECT_LE(biggest, Ledger::bytes_max);
  EXPECT_GT(biggest, Ledger::bytes_max / 2);
  const auto lines = view().lines;
  EXPECT_GT(lines.size(), 10U);
  EXPECT_TRUE(lines.front().is_sum);
  EXPECT_FALSE(lines.back().is_sum);
  EXPECT_EQ(lines.back().end, 2001U);
  LedgerLine total;
  for (const LedgerLine& line : lines) add_to(total, line);
  EXPECT_EQ(total, sum);
}

}  // namespace
}  // namespace inlet::journal
