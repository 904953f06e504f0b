// Goal: what was committed is read back, over reopening, rolling, recycling, damage and refusal.
// Method: the journal on the real file system in a temporary directory, driven step by step without
// its threads; one test runs them.

#include "journal/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/directory_test.h"
#include "base/log.h"
#include "base/posix_file.h"
#include "journal/cursor.h"
#include "journal/reader.h"

namespace inlet::journal {
namespace {

class Collector final : public CommitListener {
 public:
  void on_commits(unsigned, Ticket* tickets) override {
    for (; tickets != nullptr; tickets = tickets->next) {
      tickets->result == CommitResult::committed ? committed++ : failed++;
    }
  }
  std::atomic<int> committed = 0;
  std::atomic<int> failed = 0;
};

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::off);
    directory = make_test_directory("journal_test");
    options.store.directory = directory + "/journal";
    options.store.segment_bytes = limits::segment_bytes_min;
    options.store.bytes_max = 16 * limits::segment_bytes_min;
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  void open() {
    journal.reset();
    auto opened = Journal::open(files, clock, pool, collector, options);
    ASSERT_TRUE(opened) << opened.error().what;
    journal = std::move(*opened);
  }

  void append(const std::string& body) {
    Ticket& ticket = *tickets.emplace_back(std::make_unique<Ticket>());
    const Metadata metadata{.tenant = "acme", .stream = "demo"};
    if (body.size() <= limits::staged_record_bytes_max) {
      ASSERT_TRUE(journal->append(ticket, metadata, as_bytes(body), 7));
      return;
    }
    RecordBuffer record(pool.acquire(RecordBuffer::bytes_for(metadata, body.size())), metadata);
    std::memcpy(record.body_space().data(), body.data(), body.size());
    ASSERT_TRUE(journal->append(ticket, record, body.size(), 7));
  }

  void commit(const std::string& body) {
    append(body);
    ASSERT_TRUE(journal->commit_once());
  }

  std::vector<std::string> read(Position from = {}) {
    Reader reader(files, options.store.directory);
    reader.seek(from);
    std::vector<std::string> bodies;
    while (true) {
      const auto record = reader.next();
      EXPECT_TRUE(record) << record.error().what;
      if (!record || !*record) break;
      EXPECT_EQ((*record)->metadata.stream, "demo");
      bodies.emplace_back(as_text((*record)->body));
      last_position = reader.position();
    }
    for (const Damage& damage : reader.take_damage())
      lost += damage.end_sequence - damage.first_sequence;
    return bodies;
  }

  void advance_cursor(std::uint64_t sequence) { advance_cursor(sequence, journal->journal_id()); }
  void advance_cursor(std::uint64_t sequence, std::uint64_t journal_id) {
    auto cursor = Cursor::open(files, options.store.directory, "archive");
    ASSERT_TRUE(cursor);
    CursorState state = (*cursor)->state();
    state.next.sequence = sequence;
    state.journal_id = journal_id;
    ASSERT_TRUE((*cursor)->save(state));
    ASSERT_TRUE((*cursor)->save(state));  // Both slots: durable for certain.
  }

  std::string directory;
  PosixFileSystem files;
  SystemClock clock;
  MemoryBudget budget{256U << 20};
  BufferPool pool{budget};
  Collector collector;
  JournalOptions options;
  std::vector<std::unique_ptr<Ticket>> tickets;  // Before the journal that returns them.
  std::unique_ptr<Journal> journal;
  Position last_position;
  std::uint64_t lost = 0;
};

TEST_F(JournalTest, reads_back_what_was_committed_also_after_reopening) {
  open();
  std::vector<std::string> bodies;
  for (std::size_t size : {0, 1, 63, 64, 4096, 65536, 65537, 200000}) {
    bodies.push_back(std::string(size, static_cast<char>('a' + bodies.size())));
    append(bodies.back());
  }
  EXPECT_EQ(read(), std::vector<std::string>{});
  while (journal->commit_once()) {
  }
  EXPECT_EQ(collector.committed, 8);
  EXPECT_EQ(read(), bodies);
  open();
  EXPECT_EQ(read(), bodies);
  bodies.push_back("after");
  commit("after");
  EXPECT_EQ(read(), bodies);
  EXPECT_EQ(journal->status().next_sequence, 10u);
  EXPECT_EQ(lost, 0u);
}

TEST_F(JournalTest, shows_nothing_beyond_the_commit_mark) {
  open();
  commit("one");
  append("two");
  EXPECT_EQ(read(), std::vector<std::string>{"one"});
}

TEST_F(JournalTest, rolls_over_segments_and_reads_from_any_position) {
  open();
  std::vector<std::string> bodies;
  for (int i = 0; i < 40; i++) {
    bodies.push_back(std::string(100'000, static_cast<char>('a' + i % 26)) + std::to_string(i));
    commit(bodies.back());
    if (i % 7 == 0) journal->keep_house();
  }
  EXPECT_EQ(read(), bodies);
  for (std::uint64_t sequence = 1; sequence <= 41; sequence++) {
    const auto rest = read({.sequence = sequence});
    ASSERT_EQ(rest.size(), 41 - sequence);
    if (!rest.empty()) {
      EXPECT_EQ(rest.front(), bodies[sequence - 1]);
    }
  }
}

TEST_F(JournalTest, refuses_when_full_and_goes_on_when_the_cursor_has_moved) {
  options.store.sinks = {"archive"};
  options.store.bytes_max = 4 * limits::segment_bytes_min;
  open();
  int taken = 0;
  const std::string body(100'000, 'x');
  while (collector.failed == 0) {
    commit(body);
    taken++;
    ASSERT_LT(taken, 100);
    journal->keep_house();
  }
  EXPECT_GE(journal->status().fullness.ratio(), 0.95);
  EXPECT_EQ(journal->admission(), Admission::full);
  EXPECT_EQ(read().size(), static_cast<std::size_t>(collector.committed));
  advance_cursor(static_cast<std::uint64_t>(collector.committed) + 1);
  journal->keep_house();
  EXPECT_EQ(journal->admission(), Admission::open);
  collector.failed = 0;
  commit("again");
  EXPECT_EQ(collector.failed, 0);
  EXPECT_EQ(read(last_position), std::vector<std::string>{"again"});
}

TEST_F(JournalTest, a_cursor_of_another_journal_frees_no_segment_and_moves_no_sequence) {
  options.store.sinks = {"archive"};
  options.store.bytes_max = 4 * limits::segment_bytes_min;
  open();
  commit("first");
  advance_cursor(1'000'000, journal->journal_id() + 1);
  for (int i = 0; i < 100; i++) {
    commit(std::string(100'000, 'x'));
    journal->keep_house();
  }
  EXPECT_GT(collector.failed, 0);
  EXPECT_EQ(journal->status().fullness.delivered_sequence, 1U);
  const std::uint64_t next = journal->status().next_sequence;
  open();
  EXPECT_EQ(journal->status().next_sequence, next);
  EXPECT_EQ(read().front(), "first");
  EXPECT_EQ(lost, 0U);
}

TEST_F(JournalTest, never_takes_a_recycled_segments_old_frames_for_new_ones) {
  options.store.sinks = {"archive"};
  options.store.bytes_max = 4 * limits::segment_bytes_min;
  open();
  for (std::uint64_t i = 1; i <= 200; i++) {
    commit(std::string(50'000, static_cast<char>('a' + i % 26)));
    if (i % 5 == 0) {
      advance_cursor(i + 1);
      journal->keep_house();
    }
    if (i % 13 == 0) open();
  }
  EXPECT_EQ(collector.failed, 0);
  commit("end");
  EXPECT_EQ(read({.sequence = 201}), std::vector<std::string>{"end"});
  EXPECT_EQ(lost, 0u);
}

TEST_F(JournalTest, a_floor_keeps_delivered_segments_until_it_moves_on) {
  options.store.sinks = {"archive"};
  options.store.bytes_max = 8 * limits::segment_bytes_min;
  options.store.floor = 1;
  open();
  for (int i = 0; i < 60; i++) commit(std::string(50'000, 'x'));
  advance_cursor(journal->next_sequence());
  open();  // What is kept is kept from the first moment on.
  for (int i = 0; i < 200 && collector.failed == 0; i++) commit(std::string(50'000, 'y'));
  EXPECT_EQ(collector.failed, 1);
  EXPECT_EQ(read().size(), journal->next_sequence() - 1);
  advance_cursor(journal->next_sequence());
  journal->set_floor(UINT64_MAX);
  journal->keep_house();
  for (int i = 0; i < 60; i++) commit(std::string(50'000, 'z'));
  EXPECT_EQ(collector.failed, 1);
}

TEST_F(JournalTest, keeps_the_lock_for_itself) {
  open();
  const auto second = Journal::open(files, clock, pool, collector, options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::reject);
}

TEST_F(JournalTest, steps_over_damage_and_counts_it) {
  open();
  for (const char* body : {"one", "two", "three", "four"}) commit(body);
  journal.reset();
  const std::string path = options.store.directory + "/segment-000001";
  const int fd = ::open(path.c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  // The second commit stands in the third block.
  ASSERT_EQ(::pwrite(fd, "damage", 6, 2 * 4096 + 64), 6);
  ::close(fd);
  open();
  EXPECT_EQ(journal->status().records_lost, 1u);
  EXPECT_EQ(read(), (std::vector<std::string>{"one", "three", "four"}));
  EXPECT_EQ(lost, 1u);
  commit("five");
  EXPECT_EQ(read(), (std::vector<std::string>{"one", "three", "four", "five"}));
}

TEST_F(JournalTest, finds_a_segment_whose_header_block_is_gone) {
  open();
  for (const char* body : {"one", "two"}) commit(body);
  journal.reset();
  const int fd = ::open((options.store.directory + "/segment-000001").c_str(), O_RDWR);
  const std::string zeros(4096, '\0');
  ASSERT_EQ(::pwrite(fd, zeros.data(), zeros.size(), 0), 4096);
  ::close(fd);
  ::unlink((options.store.directory + "/commit").c_str());
  open();
  commit("three");
  EXPECT_EQ(read(), (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(JournalTest, commits_from_its_own_threads) {
  options.store.bytes_max = 64 * limits::segment_bytes_min;
  open();
  journal->start();
  for (int i = 0; i < 5000; i++) append(std::string(1000, 'x'));
  for (int i = 0; i < 20; i++) append(std::string(300'000, 'y'));
  journal->stop();
  EXPECT_EQ(collector.committed, 5020);
  EXPECT_EQ(read().size(), 5020u);
  Ticket late;
  EXPECT_FALSE(journal->append(late, {}, {}, 0));
}

}  // namespace
}  // namespace inlet::journal
