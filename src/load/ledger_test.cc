// Goal: the ledger counts what a proof needs, in any order of events, and its file survives damage.
// Method: against plain sets with a random order of events; files with torn and foreign lines.

#include "load/ledger.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "base/posix_file.h"

namespace inlet::loader {
namespace {

constexpr const char* run = "0123456789abcdef";

class AckedFile : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "ledger_test." + std::to_string(::getpid());
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void write(std::string_view text) {
    auto file = files_.open(path_, {.write = true, .create = true});
    ASSERT_TRUE(file);
    ASSERT_TRUE(write_all(**file, as_bytes(text), (*file)->size().value(), Flush::no));
  }
  std::uint64_t read(Ledger& ledger) {
    auto file = files_.open(path_, {});
    return read_acked(**file, [&](const AckedLine& line) { return ledger.take(line); }).value();
  }

  PosixFileSystem files_;
  std::string path_;
};

TEST(RunLedger, agrees_with_plain_sets_in_any_order_of_events) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  RunLedger ledger;
  std::set<std::uint64_t> acknowledged;
  std::map<std::uint64_t, int> arrived;
  for (int i = 0; i < 20000; i++) {
    const std::uint64_t number = random() % 5000;
    if (random() % 2 == 0) {
      ledger.acknowledge(number);
      acknowledged.insert(number);
    } else {
      ledger.arrive(number);
      arrived[number]++;
    }
  }
  std::uint64_t found = 0;
  std::uint64_t twice = 0;
  std::set<std::uint64_t> missing;
  for (const std::uint64_t number : acknowledged) {
    if (arrived.contains(number)) {
      found++;
    } else {
      missing.insert(number);
    }
  }
  for (const auto& [number, times] : arrived) twice += times > 1;
  EXPECT_EQ(ledger.acknowledged(), acknowledged.size());
  EXPECT_EQ(ledger.found(), found);
  EXPECT_EQ(ledger.twice(), twice);
  EXPECT_EQ(ledger.unacknowledged(), arrived.size() - found);
  std::set<std::uint64_t> listed;
  for (auto at = ledger.first_missing(0); at; at = ledger.first_missing(*at + 1))
    listed.insert(*at);
  EXPECT_EQ(listed, missing);
}

TEST(RunLedger, knows_which_doubles_the_loader_caused) {
  RunLedger ledger;
  ledger.send_again(5);
  for (int times = 0; times < 3; times++) {
    ledger.arrive(5);
    ledger.arrive(64);
  }
  EXPECT_EQ(ledger.twice(), 2u);
  EXPECT_EQ(ledger.twice_after_repeat(), 1u);
}

TEST(AckedLine, comes_back_from_its_text_and_other_text_does_not) {
  std::string text;
  append_acked_line(text, {.run = run, .number = 17, .status = 202, .id = "a-1", .attempts = 3});
  EXPECT_EQ(text, "0123456789abcdef 17 202 a-1 3\n");
  text.pop_back();
  const auto line = parse_acked_line(text);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->number, 17u);
  EXPECT_EQ(line->status, 202);
  EXPECT_EQ(line->id, "a-1");
  EXPECT_EQ(line->attempts, 3u);
  for (const char* bad :
       {"", "0123456789abcdef", "0123456789abcdef 17 202 a-1", "0123456789abcdef 17 202 a-1 ",
        "0123456789abcde 17 202 a-1 1", "0123456789abcdef x 202 a-1 1",
        "0123456789abcdef 17 404 a-1 1", "0123456789abcdef 17 202 a-1 1 more",
        "0123456789abcdef 17179869184 200 - 1"}) {
    EXPECT_FALSE(parse_acked_line(bad)) << bad;
  }
}

TEST_F(AckedFile, is_added_to_and_read_back_whole) {
  for (std::uint64_t part = 0; part < 2; part++) {
    auto log = AckedLog::open(files_, path_);
    ASSERT_TRUE(log);
    for (std::uint64_t i = 1; i <= 20000; i++) {
      (*log)->add({.run = run, .number = part * 20000 + i, .status = 200, .id = "id"});
      if ((*log)->wants_flush()) {
        ASSERT_TRUE((*log)->flush());
      }
    }
    ASSERT_TRUE((*log)->flush());
  }
  Ledger ledger;
  EXPECT_EQ(read(ledger), 0u);
  ASSERT_NE(ledger.find(run), nullptr);
  EXPECT_EQ(ledger.find(run)->acknowledged(), 40000u);
  EXPECT_EQ(ledger.find(run)->first_missing(0), 1u);
}

TEST_F(AckedFile, a_line_cut_short_by_a_kill_costs_only_itself) {
  write("0123456789abcdef 1 200 a 1\n0123456789abcdef 2 20");
  Ledger one;
  EXPECT_EQ(read(one), 1u);
  EXPECT_EQ(one.find(run)->acknowledged(), 1u);

  auto log = AckedLog::open(files_, path_);
  ASSERT_TRUE(log);
  (*log)->add({.run = run, .number = 3, .status = 200, .id = {}});
  ASSERT_TRUE((*log)->flush());
  Ledger two;
  EXPECT_EQ(read(two), 1u);
  EXPECT_EQ(two.find(run)->acknowledged(), 2u);
}

TEST_F(AckedFile, a_number_given_up_after_repeats_is_known_but_not_acknowledged) {
  write("0123456789abcdef 8 0 - 4\nfedcba9876543210 8 200 x 2\n");
  Ledger ledger;
  EXPECT_EQ(read(ledger), 0u);
  EXPECT_EQ(ledger.runs().size(), 2u);
  EXPECT_EQ(ledger.find(run)->acknowledged(), 0u);
  EXPECT_EQ(ledger.find("fedcba9876543210")->acknowledged(), 1u);
}

TEST_F(AckedFile, junk_without_line_ends_is_bounded_and_counted) {
  write(std::string(3'000'000, 'j') + "\n0123456789abcdef 1 200 a 1\n");
  Ledger ledger;
  EXPECT_EQ(read(ledger), 1u);
  EXPECT_EQ(ledger.find(run)->acknowledged(), 1u);
}

}  // namespace
}  // namespace inlet::loader
