// Goal: what a tenant has in the journal is counted exactly, from the request that stored it, or
//   from the backlog found at the start, to its delivery everywhere; the marks of a filling journal
//   are kept; memory stays bounded.
// Method: stretches against a plain map under random load; a real journal in a temporary directory
//   with a cursor moved by hand, step by step without the thread; one test runs it.

#include "serve/journal_shares.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>

#include "base/directory_test.h"
#include "base/log.h"
#include "base/posix_file.h"
#include "journal/cursor.h"

namespace inlet::serve {
namespace {

TEST(JournalLevel, rises_at_its_marks_and_falls_a_little_below_them) {
  using enum JournalLevel;
  for (const JournalLevel before : {calm, filling, pressed}) {
    EXPECT_EQ(next_level(before, 0), calm);
    EXPECT_EQ(next_level(before, 0.679), calm);
    EXPECT_EQ(next_level(before, 0.70), filling);
    EXPECT_EQ(next_level(before, 0.829), filling);
    EXPECT_EQ(next_level(before, 0.85), pressed);
    EXPECT_EQ(next_level(before, 1), pressed);
  }
  EXPECT_EQ(next_level(calm, 0.69), calm);
  EXPECT_EQ(next_level(filling, 0.69), filling);
  EXPECT_EQ(next_level(pressed, 0.69), filling);
  EXPECT_EQ(next_level(filling, 0.84), filling);
  EXPECT_EQ(next_level(pressed, 0.84), pressed);
}

TEST(Stretches, give_back_all_they_got_never_early_and_stay_within_their_bounds) {
  const unsigned seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937_64 random(seed);
  constexpr std::size_t stretches_max = 8;
  constexpr std::size_t parts_max = 40;
  constexpr std::uint32_t tenants = 12;
  Stretches stretches(stretches_max, parts_max);
  std::map<std::uint32_t, std::uint64_t> given;
  std::map<std::uint32_t, std::uint64_t> back;
  std::multimap<std::uint64_t, Stretches::Part> due;  // By the end it came with.
  std::uint64_t end = 1;
  std::uint64_t delivered = 1;
  const auto deliver = [&](std::uint64_t sequence) {
    stretches.deliver(sequence,
                      [&](const Stretches::Part& part) { back[part.tenant] += part.bytes; });
    std::map<std::uint32_t, std::uint64_t> could;  // What lies below the sequence, at most.
    for (const auto& [at, part] : due) {
      if (at <= sequence) could[part.tenant] += part.bytes;
    }
    for (const auto& [tenant, bytes] : back) ASSERT_LE(bytes, could[tenant]);
  };
  for (int round = 0; round < 2000; round++) {
    end += random() % 50;
    std::vector<Stretches::Part> parts;
    for (std::uint32_t tenant = tenants; tenant-- > 0;) {
      if (random() % 3 == 0) parts.push_back({tenant, 1 + random() % 1000});
    }
    for (const Stretches::Part& part : parts) {
      given[part.tenant] += part.bytes;
      due.emplace(end, part);
    }
    stretches.add(end, parts);
    ASSERT_LE(stretches.size(), stretches_max);
    ASSERT_LE(stretches.parts(), parts_max);
    if (random() % 20 == 0) {
      delivered = std::max(delivered, end - std::min(end, random() % 400));
      ASSERT_NO_FATAL_FAILURE(deliver(delivered));
    }
  }
  ASSERT_NO_FATAL_FAILURE(deliver(end));
  EXPECT_EQ(back, given);
  EXPECT_EQ(stretches.size(), 0U);
  EXPECT_EQ(stretches.parts(), 0U);
}

class Ignore final : public journal::CommitListener {
 public:
  void on_commits(unsigned, journal::Ticket*) override {}
};

class JournalSharesTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::off);
    directory_ = make_test_directory("journal_shares_test");
    options_.store = {.directory = directory_ + "/journal",
                      .segment_bytes = limits::segment_bytes_min,
                      .bytes_max = 10 * limits::segment_bytes_min,
                      .sinks = {"archive"}};
    reopen();
  }
  void TearDown() override {
    shares_.reset();
    journal_.reset();
    std::filesystem::remove_all(directory_);
    set_log_level(LogLevel::info);
  }

  // As at a start: all that is remembered is what is on disk.
  void reopen() {
    shares_.reset();
    journal_.reset();
    auto opened = journal::Journal::open(files_, clock_, pool_, ignore_, options_);
    ASSERT_TRUE(opened) << opened.error().what;
    journal_ = std::move(*opened);
    tenants_ = std::make_unique<Tenants>(clock_, TenantLimits{}, NamedLimits{});
    (void)tenants_->of("acme");
    (void)tenants_->of("initech");
    make_shares();
  }
  void make_shares() {
    shares_ =
        std::make_unique<JournalShares>(*tenants_, *journal_, files_, clock_,
                                        JournalSharesOptions{.directory = options_.store.directory,
                                                             .turn_us = 1000,
                                                             .scan_bytes_per_turn = scan_bytes_});
  }

  // Stores one record, as the door does.
  std::uint64_t store(const std::string& tenant, std::size_t body_bytes) {
    journal::Ticket& ticket = *tickets_.emplace_back(std::make_unique<journal::Ticket>());
    const journal::Metadata metadata{.tenant = tenant, .stream = "demo"};
    const std::string body(body_bytes, 'x');
    EXPECT_TRUE(journal_->append(ticket, metadata, as_bytes(body), 7));
    EXPECT_TRUE(journal_->commit_once());
    EXPECT_EQ(ticket.result, journal::CommitResult::committed);
    Visit visit;
    EXPECT_TRUE(visit.begin(tenants_->of(tenant), body_bytes, {}, clock_.steady_us()).ok());
    visit.body_came(body_bytes, clock_.steady_us());
    visit.stored(journal_bytes(metadata, body_bytes), clock_.wall_us());
    return journal_bytes(metadata, body_bytes);
  }

  void deliver_to(std::uint64_t sequence) {
    auto cursor = journal::Cursor::open(files_, options_.store.directory, "archive");
    ASSERT_TRUE(cursor);
    journal::CursorState state = (*cursor)->state();
    state.next.sequence = sequence;
    state.journal_id = journal_->journal_id();
    ASSERT_TRUE((*cursor)->save(state));
    ASSERT_TRUE((*cursor)->save(state));
    journal_->keep_house();
  }

  std::uint64_t undelivered(const std::string& tenant) {
    return tenants_->find(tenant).undelivered_bytes();
  }

  std::string directory_;
  PosixFileSystem files_;
  SystemClock clock_;
  MemoryBudget budget_{256U << 20};
  journal::BufferPool pool_{budget_};
  Ignore ignore_;
  journal::JournalOptions options_;
  std::uint64_t scan_bytes_ = 6U << 20;
  std::vector<std::unique_ptr<journal::Ticket>> tickets_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<Tenants> tenants_;
  std::unique_ptr<JournalShares> shares_;
};

TEST_F(JournalSharesTest, a_record_counts_at_once_and_until_every_sink_is_past_it) {
  EXPECT_FALSE(shares_->scanning());
  std::uint64_t acme = store("acme", 1000);
  const std::uint64_t initech = store("initech", 50'000);
  EXPECT_EQ(undelivered("acme"), acme);
  shares_->turn();
  acme += store("acme", 10);
  shares_->turn();
  EXPECT_EQ(undelivered("acme"), acme);
  EXPECT_EQ(undelivered("initech"), initech);
  deliver_to(2);  // Not to the end of the first stretch.
  shares_->turn();
  EXPECT_EQ(undelivered("acme"), acme);
  deliver_to(3);
  shares_->turn();
  EXPECT_EQ(undelivered("acme"), journal_bytes({.tenant = "acme", .stream = "demo"}, 10));
  EXPECT_EQ(undelivered("initech"), 0U);
  deliver_to(4);
  shares_->turn();
  EXPECT_EQ(undelivered("acme"), 0U);
}

TEST_F(JournalSharesTest, what_a_record_takes_up_is_what_the_journal_writes) {
  const std::uint64_t before = journal_->status().written_bytes;
  const std::uint64_t counted = store("acme", 40'000);
  const std::uint64_t written = journal_->status().written_bytes - before;
  EXPECT_EQ(round_up(counted, limits::block_bytes), written);
}

TEST_F(JournalSharesTest, the_backlog_is_counted_after_a_restart_and_taken_off_when_delivered) {
  std::uint64_t acme = 0;
  std::uint64_t initech = 0;
  std::uint64_t unknown = 0;
  for (int i = 0; i < 60; i++) acme += store("acme", 50'000);
  for (int i = 0; i < 5; i++) initech += store("initech", 50'000);
  for (int i = 0; i < 5; i++) unknown += store("gone", 20'000);
  scan_bytes_ = 500'000;
  reopen();
  EXPECT_TRUE(shares_->scanning());
  EXPECT_EQ(undelivered("acme"), 0U);
  shares_->scan();
  EXPECT_GE(undelivered("acme"), scan_bytes_);
  EXPECT_LT(undelivered("acme"), scan_bytes_ + 51'000);  // The pace is bounded.
  const std::uint64_t fresh = store("initech", 100);     // Meanwhile the door is open.
  for (int i = 0; i < 10 && shares_->scanning(); i++) {
    shares_->turn();
    shares_->scan();
  }
  EXPECT_FALSE(shares_->scanning());
  EXPECT_EQ(undelivered("acme"), acme);
  EXPECT_EQ(undelivered("initech"), initech + fresh);
  EXPECT_EQ(undelivered("other"), unknown);
  deliver_to(71);
  shares_->turn();
  EXPECT_EQ(undelivered("acme"), 0U);
  EXPECT_EQ(undelivered("initech"), fresh);
  deliver_to(72);
  shares_->turn();
  EXPECT_EQ(undelivered("initech"), 0U);
}

TEST_F(JournalSharesTest, what_is_delivered_while_the_backlog_is_counted_is_not_counted_for_ever) {
  for (int i = 0; i < 40; i++) store("acme", 50'000);
  scan_bytes_ = 200'000;
  reopen();
  shares_->scan();
  EXPECT_GT(undelivered("acme"), 0U);
  deliver_to(21);
  shares_->turn();
  EXPECT_EQ(undelivered("acme"), 0U);
  for (int i = 0; i < 40 && shares_->scanning(); i++) shares_->scan();
  EXPECT_EQ(undelivered("acme"), 20 * journal_bytes({.tenant = "acme", .stream = "demo"}, 50'000));
  deliver_to(41);
  shares_->turn();
  EXPECT_EQ(undelivered("acme"), 0U);
}

TEST_F(JournalSharesTest, a_backlog_that_is_all_delivered_is_not_read) {
  for (int i = 0; i < 3; i++) store("acme", 100);
  deliver_to(4);
  reopen();
  EXPECT_FALSE(shares_->scanning());
}

TEST_F(JournalSharesTest, a_backlog_that_cannot_be_read_keeps_nobody_out) {
  for (int i = 0; i < 3; i++) store("acme", 100);
  std::filesystem::rename(options_.store.directory, directory_ + "/elsewhere");
  make_shares();
  for (int i = 0; i < 2000 && shares_->scanning(); i++) shares_->scan();
  EXPECT_FALSE(shares_->scanning());
  shares_->turn();
  std::filesystem::rename(directory_ + "/elsewhere", options_.store.directory);
}

TEST_F(JournalSharesTest, when_the_journal_is_pressed_who_is_over_his_share_is_refused_first) {
  const auto fill_to = [&](double ratio) {
    while (journal_->status().fullness.ratio() < ratio) {
      store("acme", 60'000);
      journal_->keep_house();
    }
    shares_->turn();
  };
  store("initech", 60'000);
  const auto ask = [&](const char* tenant) {
    Visit visit;
    return visit.begin(tenants_->of(tenant), 100, shares_->facts(budget_), clock_.steady_us());
  };
  fill_to(journal_filling_ratio);
  EXPECT_EQ(shares_->level(), JournalLevel::filling);
  EXPECT_TRUE(ask("acme").ok());
  fill_to(journal_pressed_ratio);
  EXPECT_EQ(shares_->level(), JournalLevel::pressed);
  const Judgement refused = ask("acme");
  EXPECT_EQ(refused.reason, Refused::journal_share);
  EXPECT_EQ(refused.status(), 429);
  EXPECT_GE(refused.retry_after_s, 1U);
  EXPECT_TRUE(ask("initech").ok());
  const std::uint64_t next = journal_->status().next_sequence;
  deliver_to(next / 2);
  shares_->turn();
  EXPECT_EQ(shares_->level(), JournalLevel::calm);
  EXPECT_TRUE(ask("acme").ok());
}

TEST_F(JournalSharesTest, tenants_answer_for_the_padding_of_their_small_commits_too) {
  options_.store.bytes_max = 4 * limits::segment_bytes_min;
  reopen();
  store("initech", 60'000);
  while (journal_->status().fullness.ratio() < journal_pressed_ratio) {
    for (int i = 0; i < 20; i++) store("acme", 100);  // A block each.
    journal_->keep_house();
  }
  shares_->turn();
  // By its frames alone it would hold a few percent.
  EXPECT_LT(undelivered("acme"), 1U << 20);
  Visit visit;
  EXPECT_EQ(
      visit.begin(tenants_->of("acme"), 100, shares_->facts(budget_), clock_.steady_us()).reason,
      Refused::journal_share);
  EXPECT_TRUE(
      visit.begin(tenants_->of("initech"), 100, shares_->facts(budget_), clock_.steady_us()).ok());
}

TEST_F(JournalSharesTest, the_thread_does_it_by_itself_and_stops) {
  for (int i = 0; i < 10; i++) store("acme", 1000);
  reopen();
  shares_->start();
  while (shares_->scanning()) std::this_thread::yield();
  EXPECT_GT(undelivered("acme"), 0U);
  deliver_to(11);
  while (undelivered("acme") > 0) std::this_thread::yield();
  shares_->stop();
  shares_->stop();
}

}  // namespace
}  // namespace inlet::serve
