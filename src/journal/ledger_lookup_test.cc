// Goal: the line found is the one that read_ledger() has for the record, whatever a ledger went
//   through.
// Method: ledgers written at random by hand (repeats, jumps back, sums, torn ends), every sequence
//   asked both ways; INLET_LEDGER_SEED repeats a run. Then the ledger's own writer.

#include "journal/ledger_lookup.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::journal {
namespace {

constexpr std::uint64_t journal_id = 0xABCDEF;
const std::string title = "inlet-ledger 1 000000abcdef\n";

class LedgerLookup : public testing::Test {
 protected:
  LedgerLookup() { std::filesystem::create_directories(root + "/cursors"); }
  ~LedgerLookup() override { std::filesystem::remove_all(root); }

  void write(const std::string& text) const {
    std::ofstream(root + "/cursors/out.ledger", std::ios::binary) << text;
  }
  std::optional<LedgerLine> find(std::uint64_t sequence, std::uint64_t journal = journal_id) {
    const auto found = find_ledger_line(files, root, "out", journal, sequence);
    EXPECT_TRUE(found);
    return found ? *found : std::nullopt;
  }
  std::optional<LedgerLine> find_slowly(std::uint64_t sequence) {
    const auto view = read_ledger(files, root, "out");
    EXPECT_TRUE(view);
    for (const LedgerLine& line : view->lines) {
      if (sequence >= line.first && sequence < line.end) return line;
    }
    return std::nullopt;
  }

  PosixFileSystem files;
  const std::string root = make_test_directory("ledger_lookup_test");
};

TEST_F(LedgerLookup, is_what_the_whole_ledger_says_of_every_record) {
  const char* const given = std::getenv("INLET_LEDGER_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("INLET_LEDGER_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t end) { return random() % end; };
  for (int round = 0; round < 300; round++) {
    std::string text = title;
    std::uint64_t next = 1;
    for (std::uint64_t i = below(20); i > 0; i--) {
      LedgerLine line{.is_sum = below(4) == 0, .first = next, .end = next + below(5)};
      line.at_us = static_cast<Microseconds>(below(1000));
      line.skipped = below(2);
      for (std::uint64_t s = below(3); s > 0; s--) {
        line.streams["acme/s" + std::to_string(s)] = {below(9), below(999), below(2)};
      }
      text += format_ledger_line(line);
      const std::uint64_t turn = below(10);
      next = turn == 0 ? 1 + below(line.end) : turn == 1 ? line.first : line.end + (turn == 2);
    }
    if (below(3) == 0) text.resize(title.size() + below(text.size() - title.size() + 1));
    write(text);
    for (std::uint64_t sequence = 0; sequence < 90; sequence++) {
      ASSERT_EQ(find(sequence), find_slowly(sequence)) << "sequence " << sequence << " of\n"
                                                       << text;
    }
  }
}

TEST_F(LedgerLookup, finds_what_the_ledger_wrote) {
  Ledger ledger(files, root, "out");
  for (std::uint64_t first = 1; first < 100; first += 10) {
    ASSERT_TRUE(ledger.add(journal_id, {.first = first,
                                        .end = first + 10,
                                        .at_us = 7,
                                        .streams = {{"acme/web", {.delivered = 10}}}}));
  }
  EXPECT_EQ(find(1)->first, 1U);
  EXPECT_EQ(find(55)->first, 51U);
  EXPECT_EQ(find(55)->streams.at("acme/web").delivered, 10U);
  EXPECT_EQ(find(101), std::nullopt);
}

TEST_F(LedgerLookup, has_nothing_of_another_journal_or_of_no_ledger) {
  EXPECT_EQ(find(1), std::nullopt);
  write(title + format_ledger_line({.first = 1, .end = 9}));
  EXPECT_TRUE(find(1));
  EXPECT_EQ(find(1, journal_id + 1), std::nullopt);
  write("");
  EXPECT_EQ(find(1), std::nullopt);
}

TEST_F(LedgerLookup, passes_over_a_line_of_which_one_letter_is_wrong) {
  const std::string good = format_ledger_line({.first = 1, .end = 9});
  std::string bad = format_ledger_line({.first = 9, .end = 12, .lost = 1});
  for (std::size_t i = 0; i + 1 < bad.size(); i++) {
    std::string changed = bad;
    changed[i] = changed[i] == '3' ? '4' : '3';
    write(title + good + changed);
    EXPECT_EQ(find(10), std::nullopt) << changed;
  }
  write(title + good + bad);
  EXPECT_EQ(find(10)->lost, 1U);
}

TEST_F(LedgerLookup, looks_only_at_the_newer_part_of_a_ledger_that_is_too_long) {
  std::string text = title;
  std::uint64_t first = 1;
  for (; text.size() < lookup_bytes_max + 1000; first++) {
    text += format_ledger_line({.first = first, .end = first + 1});
  }
  write(text);
  EXPECT_EQ(find(1), std::nullopt);
  EXPECT_EQ(find(first - 1)->first, first - 1);
  EXPECT_EQ(find(first / 2)->first, first / 2);
}

}  // namespace
}  // namespace inlet::journal
