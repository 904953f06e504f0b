// Goal: a keyed record that was answered is known after any end of the process, the journal keeps
// what the log has yet to pass, and a log that cannot be written holds nothing back.
// Method: a real journal and a real log in a temporary directory, driven by hand: ends without
// stop() are kills. A file system that refuses the log stands for a broken disk.

#include "serve/idempotency.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/directory_test.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/posix_file.h"
#include "journal/catalog.h"
#include "journal/cursor.h"

namespace inlet::serve {
namespace {

// Refuses to open or rename the log while told to.
class FaultyFiles final : public FileSystem {
 public:
  bool log_refused = false;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override {
    if (refuses(path)) return fail(ErrorKind::retry, "refused", EIO);
    return files_.open(path, options);
  }
  Status rename(const std::string& from, const std::string& to) override {
    if (refuses(from)) return fail(ErrorKind::retry, "refused", EIO);
    return files_.rename(from, to);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return files_.list(path);
  }
  Status make_directories(const std::string& path) override {
    return files_.make_directories(path);
  }
  Status remove(const std::string& path) override { return files_.remove(path); }
  Status sync_directory(const std::string& path) override { return files_.sync_directory(path); }
  Result<Space> space(const std::string& path) override { return files_.space(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return files_.lock(path);
  }

 private:
  bool refuses(const std::string& path) const {
    return log_refused && (path.ends_with("/idempotency") || path.ends_with("/idempotency.new"));
  }
  PosixFileSystem files_;
};

class SetClock final : public Clock {
 public:
  Microseconds wall_us() override { return now_us; }
  Microseconds steady_us() override { return now_us; }
  void sleep(Microseconds duration) override { now_us += duration; }
  std::atomic<Microseconds> now_us = 1'800'000'000'000'000;
};

constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds hour_us = 3600 * second_us;

// One request, as a door has it.
struct Request : journal::Ticket, KeyedRequest {
  std::string body;
  Claim claim = Claim::first;
};

class IdempotencyTest : public testing::Test, public journal::CommitListener {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::off);
    directory = make_test_directory("idempotency_test");
    store.directory = directory + "/journal";
    store.segment_bytes = limits::segment_bytes_min;
    store.bytes_max = 32 * limits::segment_bytes_min;
    store.sinks = {"archive"};
    store.floor = 1;
    open();
  }
  void TearDown() override {
    kill();
    std::filesystem::remove_all(directory);
  }

  void kill() {
    idempotency.reset();
    journal.reset();
    requests.clear();
  }
  void open() {
    auto opened = journal::Journal::open(files, clock, pool, *this, {.store = store, .loops = 2});
    ASSERT_TRUE(opened) << opened.error().what;
    journal = std::move(*opened);
    idempotency = Idempotency::open(
        files, clock, memory, *journal,
        {.journal_directory = store.directory, .max_keys = max_keys, .window_us = hour_us},
        [this](unsigned loop, KeyedRequest* list) {
          for (; list != nullptr; list = list->next) {
            EXPECT_EQ(list->loop, loop);
            handed_back.push_back(static_cast<Request*>(list));
          }
        });
  }
  Claim begin(KeyedRequest& request, const journal::Metadata& metadata, Bytes body) {
    idempotency->name(request, metadata.tenant, metadata.stream,
                      *IdempotencyKey::parse(metadata.idempotency_key));
    return idempotency->begin(request, metadata.content_encoding, body, clock.wall_us());
  }
  void reopen() {
    kill();
    open();
  }

  journal::Metadata metadata(std::string_view key, std::string_view stream = "demo") {
    return {.tenant = "acme", .stream = stream, .idempotency_key = key};
  }

  // Begins; a first one is appended but not committed.
  Request& ask(std::string_view key, std::string body = "body", unsigned loop = 0,
               std::string_view stream = "demo") {
    Request& request = requests.emplace_back();
    request.body = std::move(body);
    request.Ticket::loop = request.KeyedRequest::loop = loop;
    request.claim = begin(request, metadata(key, stream), as_bytes(request.body));
    if (request.claim == Claim::first) {
      journal::RecordBuffer record(
          pool.acquire(journal::RecordBuffer::bytes_for(metadata(key, stream), 500'000)),
          metadata(key, stream));
      std::memcpy(record.body_space().data(), request.body.data(), request.body.size());
      EXPECT_TRUE(journal->append(request, record, request.body.size(), clock.wall_us()));
    }
    return request;
  }
  std::uint64_t stored(std::string_view key, std::string body = "body") {
    Request& request = ask(key, std::move(body));
    EXPECT_EQ(request.claim, Claim::first) << key;
    EXPECT_TRUE(journal->commit_once());
    return request.Ticket::sequence;
  }
  void expect_duplicate(std::string_view key, std::uint64_t sequence, std::string body = "body") {
    const Request& request = ask(key, std::move(body));
    EXPECT_EQ(request.claim, Claim::duplicate) << key;
    EXPECT_EQ(request.KeyedRequest::sequence, sequence) << key;
  }

  void on_commits(unsigned /*loop*/, journal::Ticket* tickets) override {
    if (!idempotency) return;  // Killed.
    while (tickets != nullptr) {
      auto& request = static_cast<Request&>(*tickets);
      tickets = tickets->next;
      const bool committed = request.result == journal::CommitResult::committed;
      idempotency->settled(request,
                           committed ? std::optional(request.Ticket::sequence) : std::nullopt);
    }
  }

  void deliver_everything() {
    auto cursor = journal::Cursor::open(files, store.directory, "archive");
    ASSERT_TRUE(cursor);
    journal::CursorState state = (*cursor)->state();
    state.next.sequence = journal->next_sequence();
    state.journal_id = journal->journal_id();
    ASSERT_TRUE((*cursor)->save(state));
    ASSERT_TRUE((*cursor)->save(state));
    journal->keep_house();
  }
  std::uint64_t first_sequence_kept() {
    const auto catalog = journal::read_catalog(files, store.directory, journal::Look::quick);
    EXPECT_TRUE(catalog && !catalog->segments.empty());
    return catalog->segments.front().header.first_sequence;
  }
  void fill_segments(int count) {
    for (int i = 0; i < 3 * count; i++) {
      const std::string key = "filler-" + std::to_string(journal->next_sequence());
      stored(key, std::string(400'000, 'x'));
    }
  }

  std::string directory;
  FaultyFiles files;
  SetClock clock;
  MemoryBudget memory{SIZE_MAX / 2};
  journal::BufferPool pool{memory};
  journal::StoreOptions store;
  std::uint64_t max_keys = 10'000;
  std::deque<Request> requests;
  std::deque<Request*> handed_back;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<Idempotency> idempotency;
};

TEST_F(IdempotencyTest, a_key_stored_once_is_answered_alike_in_this_life_and_the_next) {
  const std::uint64_t sequence = stored("k-1");
  expect_duplicate("k-1", sequence);
  expect_duplicate("\"k-1\"", sequence);
  EXPECT_EQ(ask("k-1", "other").claim, Claim::other_body);
  EXPECT_EQ(ask("k-2").claim, Claim::first);
  EXPECT_EQ(ask("k-1", "body", 0, "elsewhere").claim, Claim::first);
  ASSERT_TRUE(journal->commit_once());
  for (int life = 0; life < 3; life++) {
    reopen();
    expect_duplicate("k-1", sequence);
    EXPECT_EQ(ask("k-1", "other").claim, Claim::other_body);
    EXPECT_EQ(ask("k-1", "body", 0, "elsewhere").claim, Claim::duplicate);
  }
}

TEST_F(IdempotencyTest, what_the_log_holds_is_not_scanned_again) {
  const std::uint64_t first = stored("k-1");
  clock.now_us += 2 * second_us;
  idempotency->keep_log();
  EXPECT_EQ(idempotency->status().complete_to, journal->next_sequence());
  const std::uint64_t second = stored("k-2");
  reopen();
  EXPECT_EQ(idempotency->status().entries_loaded, 1U);
  EXPECT_EQ(idempotency->status().records_scanned, 1U);
  expect_duplicate("k-1", first);
  expect_duplicate("k-2", second);
  reopen();
  EXPECT_EQ(idempotency->status().entries_loaded, 2U);
  EXPECT_EQ(idempotency->status().records_scanned, 0U);
}

TEST_F(IdempotencyTest, a_record_that_was_stored_but_never_answered_is_found_by_its_retry) {
  const Request& request = ask("k-1");
  ASSERT_TRUE(journal->commit_once());
  const std::uint64_t sequence = request.Ticket::sequence;
  reopen();
  expect_duplicate("k-1", sequence);
}

TEST_F(IdempotencyTest, equal_requests_at_once_share_one_record_and_come_back_on_their_loops) {
  const Request& first = ask("k-1", "body", 0);
  ASSERT_EQ(first.claim, Claim::first);
  for (const unsigned loop : {1U, 0U, 1U}) ASSERT_EQ(ask("k-1", "body", loop).claim, Claim::joined);
  EXPECT_EQ(ask("k-1", "other", 1).claim, Claim::other_body);
  EXPECT_TRUE(handed_back.empty());
  ASSERT_TRUE(journal->commit_once());
  ASSERT_EQ(handed_back.size(), 3U);
  for (const Request* joined : handed_back) {
    EXPECT_TRUE(joined->stored);
    EXPECT_EQ(joined->KeyedRequest::sequence, first.Ticket::sequence);
  }
}

TEST_F(IdempotencyTest, those_that_joined_a_request_that_failed_are_told_so) {
  Request& first = requests.emplace_back();
  ASSERT_EQ(begin(first, metadata("k-1"), {}), Claim::first);
  ASSERT_EQ(ask("k-1", "").claim, Claim::joined);
  idempotency->settled(first, {});
  ASSERT_EQ(handed_back.size(), 1U);
  EXPECT_FALSE(handed_back[0]->stored);
  EXPECT_EQ(ask("k-1", "").claim, Claim::first);
  ASSERT_TRUE(journal->commit_once());
}

TEST_F(IdempotencyTest, a_key_out_of_the_window_is_new_again_also_after_a_restart) {
  stored("k-1");
  clock.now_us += hour_us;
  reopen();
  const std::uint64_t again = stored("k-1", "other");
  reopen();
  expect_duplicate("k-1", again, "other");
}

TEST_F(IdempotencyTest, segments_are_kept_until_the_log_has_passed_them) {
  fill_segments(4);
  deliver_everything();
  EXPECT_EQ(first_sequence_kept(), 1U);
  idempotency->keep_log();
  EXPECT_EQ(idempotency->status().complete_to, journal->next_sequence());
  journal->keep_house();
  fill_segments(4);  // Goes into the files that came free.
  EXPECT_GT(first_sequence_kept(), 1U);
  const std::uint64_t keys = idempotency->status().table.keys;
  reopen();
  EXPECT_EQ(idempotency->status().table.keys, keys);
  expect_duplicate("filler-1", 1, std::string(400'000, 'x'));
}

TEST_F(IdempotencyTest, a_journal_opened_again_keeps_them_too) {
  fill_segments(4);
  deliver_everything();
  reopen();
  EXPECT_EQ(idempotency->status().records_scanned, 12U);
  expect_duplicate("filler-1", 1, std::string(400'000, 'x'));
}

TEST_F(IdempotencyTest, a_request_under_way_holds_the_log_and_the_floor_back) {
  Request& slow = requests.emplace_back();
  ASSERT_EQ(begin(slow, metadata("slow"), {}), Claim::first);
  const std::uint64_t began_at = journal->next_sequence();
  stored("quick");
  clock.now_us += 2 * second_us;
  idempotency->keep_log();
  EXPECT_EQ(idempotency->status().complete_to, began_at);
  idempotency->settled(slow, {});
  stored("again");
  clock.now_us += 2 * second_us;
  idempotency->keep_log();
  EXPECT_EQ(idempotency->status().complete_to, journal->next_sequence());
}

TEST_F(IdempotencyTest, a_log_that_cannot_be_written_lets_the_floor_go_and_is_begun_anew_later) {
  const std::uint64_t early = stored("early");
  fill_segments(1);
  // The open file is a real one: a new one is asked for when it must be begun anew.
  kill();
  files.log_refused = true;
  open();
  EXPECT_TRUE(idempotency->status().log_failing);
  EXPECT_EQ(idempotency->status().log_failures, 1U);
  fill_segments(4);
  deliver_everything();
  fill_segments(4);
  EXPECT_GT(first_sequence_kept(), early);
  idempotency->keep_log();  // Not so soon.
  EXPECT_EQ(idempotency->status().log_failures, 1U);
  clock.now_us += 2 * second_us;
  idempotency->keep_log();
  EXPECT_EQ(idempotency->status().log_failures, 2U);
  files.log_refused = false;
  clock.now_us += 2 * second_us;
  idempotency->keep_log();
  EXPECT_FALSE(idempotency->status().log_failing);
  EXPECT_EQ(idempotency->status().complete_to, journal->next_sequence());
  const std::uint64_t keys = idempotency->status().table.keys;
  reopen();
  EXPECT_EQ(idempotency->status().records_scanned, 0U);
  EXPECT_EQ(idempotency->status().table.keys, keys);
}

TEST_F(IdempotencyTest, a_log_of_another_journal_is_begun_anew) {
  stored("k-1");
  kill();
  const std::string log = store.directory + "/idempotency";
  const std::string kept = directory + "/kept";
  std::filesystem::rename(log, kept);
  std::filesystem::remove_all(store.directory);
  std::filesystem::create_directory(store.directory);
  std::filesystem::rename(kept, log);
  open();
  EXPECT_EQ(idempotency->status().entries_loaded, 0U);
  EXPECT_EQ(ask("k-1").claim, Claim::first);
  ASSERT_TRUE(journal->commit_once());
  reopen();
  EXPECT_EQ(ask("k-1").claim, Claim::duplicate);
}

TEST_F(IdempotencyTest, without_its_log_the_keys_are_read_from_the_journal) {
  const std::uint64_t first = stored("k-1");
  const std::uint64_t second = stored("k-2");
  clock.now_us += 2 * second_us;
  idempotency->keep_log();
  kill();
  std::filesystem::remove(store.directory + "/idempotency");
  open();
  EXPECT_EQ(idempotency->status().entries_loaded, 0U);
  EXPECT_EQ(idempotency->status().records_scanned, 2U);
  expect_duplicate("k-1", first);
  expect_duplicate("k-2", second);
}

TEST_F(IdempotencyTest, damage_to_the_log_costs_what_it_held_and_nothing_else) {
  stored("k-1");
  clock.now_us += 2 * second_us;
  idempotency->keep_log();
  const std::uint64_t second = stored("k-2");
  clock.now_us += 2 * second_us;
  idempotency->keep_log();
  kill();
  {
    std::fstream file(store.directory + "/idempotency",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(limits::block_bytes + 70);  // The first block has no entries yet.
    file.put('x');
    file.put('y');
  }
  open();
  EXPECT_EQ(idempotency->status().stretches_damaged, 1U);
  EXPECT_EQ(ask("k-1").claim, Claim::first);
  expect_duplicate("k-2", second);
  ASSERT_TRUE(journal->commit_once());
}

TEST_F(IdempotencyTest, the_longest_key_survives_beside_the_longest_of_other_fields) {
  std::string key = "\"";
  for (int i = 0; i < 255; i++) key += "\\\\";
  key += "\"";
  const std::string name(64, 'n');
  const std::string long_text(1900, 'c');
  const journal::Metadata long_metadata{.tenant = name,
                                        .stream = name,
                                        .content_type = long_text,
                                        .content_encoding = "deflate",
                                        .trace_id = long_text,
                                        .idempotency_key = key};
  Request& request = requests.emplace_back();
  ASSERT_EQ(begin(request, long_metadata, {}), Claim::first);
  ASSERT_TRUE(journal->append(request, long_metadata, {}, clock.wall_us()));
  ASSERT_TRUE(journal->commit_once());
  reopen();
  EXPECT_EQ(begin(requests.emplace_back(), long_metadata, {}), Claim::duplicate);
}

TEST_F(IdempotencyTest, its_thread_writes_the_log_and_stop_writes_the_rest) {
  journal->start();
  idempotency->start();
  std::array<std::deque<Request>, 2> of_loops;
  std::vector<std::thread> loops;
  for (unsigned loop = 0; loop < 2; loop++) {
    loops.emplace_back([&, loop] {
      for (int i = 0; i < 2000; i++) {
        const std::string key = "k-" + std::to_string(loop) + "-" + std::to_string(i);
        Request& request = of_loops[loop].emplace_back();
        request.Ticket::loop = request.KeyedRequest::loop = loop;
        ASSERT_EQ(begin(request, metadata(key), as_bytes(key)), Claim::first);
        ASSERT_TRUE(journal->append(request, metadata(key), as_bytes(key), clock.wall_us()));
        if (i % 500 == 0) clock.now_us += 2 * second_us;
      }
    });
  }
  for (std::thread& loop : loops) loop.join();
  journal->stop();
  idempotency->stop();
  EXPECT_EQ(idempotency->status().complete_to, 4001U);
  reopen();
  EXPECT_EQ(idempotency->status().records_scanned, 0U);
  EXPECT_EQ(idempotency->status().table.keys, 4000U);
}

}  // namespace
}  // namespace inlet::serve
