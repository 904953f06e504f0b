// Goal: a receipt rests on what the node's files say at that moment, over delivery, recycling,
//   damage, dead letters and ledgers; tenants learn nothing of others; nothing unbounded is read.
// Method: a real journal in a temporary directory; cursors, ledgers and dead letters as the
//   shippers write them; answers read as JSON.

#include "serve/receipt_book.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/log.h"
#include "base/posix_file.h"
#include "journal/journal.h"

namespace inlet::serve {
namespace {

class NoListener final : public journal::CommitListener {
 public:
  void on_commits(unsigned, journal::Ticket*) override {}
};

class ReceiptBookTest : public testing::Test {
 protected:
  ReceiptBookTest() {
    set_log_level(LogLevel::off);
    std::filesystem::create_directories(root + "/journal/cursors");
    options.journal_directory = root + "/journal";
    options.dead_directory = root + "/dead";
    options.node = "n1";
    options.sinks = {{"all", {"*"}}, {"web", {"web.*"}}};
    open_journal();
  }
  ~ReceiptBookTest() override {
    journal.reset();
    std::filesystem::remove_all(root);
  }

  void open_journal() {
    journal.reset();
    auto opened = journal::Journal::open(files, clock, pool, listener,
                                         {.store = {.directory = options.journal_directory,
                                                    .segment_bytes = limits::segment_bytes_min,
                                                    .bytes_max = 4 * limits::segment_bytes_min,
                                                    .sinks = {"all", "web"}}});
    ASSERT_TRUE(opened) << opened.error().what;
    journal = std::move(*opened);
    for (int i = 0; i < 4; i++) journal->keep_house();
  }
  void store(std::string_view tenant, std::string_view stream, std::size_t bytes = 5) {
    const std::string body(bytes, 'x');
    journal::Ticket ticket;
    ASSERT_TRUE(journal->append(ticket, {.tenant = tenant, .stream = stream}, as_bytes(body), 7));
    journal->commit_once();
    ASSERT_EQ(ticket.result, journal::CommitResult::committed);
    newest = ticket.sequence;
  }
  // The sink is past everything below `end`, in one batch.
  void settle(const std::string& sink, journal::LedgerLine line) {
    line.at_us = 1795428000'000'000;
    journal::Ledger ledger(files, options.journal_directory, sink);
    ASSERT_TRUE(ledger.add(journal->journal_id(), line));
    pass(sink, line.end);
  }
  void pass(const std::string& sink, std::uint64_t next, std::uint64_t delivered = 0) {
    auto cursor = journal::Cursor::open(files, options.journal_directory, sink);
    ASSERT_TRUE(cursor);
    for (int i = 0; i < 2; i++) {  // Both slots.
      ASSERT_TRUE((*cursor)->save({.journal_id = journal->journal_id(),
                                   .next = {.sequence = next},
                                   .records_delivered = delivered}));
    }
  }
  void write_letters(const std::string& name, const std::vector<std::uint64_t>& sequences,
                     const std::string& reason = "422") {
    std::filesystem::create_directories(root + "/dead/all");
    std::ofstream out(root + "/dead/all/" + name, std::ios::binary);
    for (const std::uint64_t sequence : sequences) {
      out << fmt::format(
          R"({{"id":"{}","tenant":"acme","stream":"web.a",)"
          R"("received_at":"2026-11-23T10:00:00.000000Z","content_type":"","content_encoding":"",)"
          R"("peer":"","trace_id":"","idempotency_key":"","sink":"all","reason":"{}",)"
          R"("body":"aGVsbG8="}})"
          "\n",
          record_id(journal->journal_id(), sequence), reason);
    }
  }
  std::string batch_file(std::uint64_t first, std::uint64_t last) {
    return fmt::format("n1-{:012x}-{:012x}-{:012x}.ndjson", journal->journal_id(), first, last);
  }

  ReceiptAnswer ask(std::uint64_t sequence, const std::string& tenant = "") {
    ReceiptBook book(files, journal->journal_id(), options);
    return book.answer({.id = {journal->journal_id(), sequence}, .tenant = tenant});
  }
  // A member of the answer, by JSON pointer; "" if it is not there.
  static std::string member(const ReceiptAnswer& answer, std::string_view pointer) {
    simdjson::dom::parser parser;
    simdjson::dom::element found;
    if (parser.parse(answer.body).at_pointer(pointer).get(found) != simdjson::SUCCESS) return "";
    const std::string_view text = found.is_string() ? found.get_string().value() : "";
    return found.is_string() ? std::string(text) : simdjson::minify(found);
  }
  std::string state(std::uint64_t sequence, int sink = 0, const std::string& tenant = "") {
    return member(ask(sequence, tenant), fmt::format("/sinks/{}/state", sink));
  }
  void fill_and_recycle() {
    const std::uint64_t first = newest + 1;
    for (int i = 0; i < 40; i++) store("acme", "web.a", 60'000);
    const std::uint64_t end = newest + 1;
    for (const auto* sink : {"all", "web"}) {
      settle(sink, {.first = first, .end = end, .streams = {{"acme/web.a", {.delivered = 40}}}});
    }
    for (int i = 0; i < 4; i++) journal->keep_house();
    for (int i = 0; i < 40; i++) {
      store("acme", "web.a", 60'000);
      pass("all", newest + 1, newest);
      pass("web", newest + 1, newest);
      journal->keep_house();
    }
  }

  PosixFileSystem files;
  SystemClock clock;
  MemoryBudget budget{SIZE_MAX};
  journal::BufferPool pool{budget};
  NoListener listener;
  const std::string root = make_test_directory("receipt_book_test");
  ReceiptOptions options;
  std::unique_ptr<journal::Journal> journal;
  std::uint64_t newest = 0;
};

TEST_F(ReceiptBookTest, says_what_is_stored_and_that_it_is_pending) {
  store("acme", "web.a");
  store("acme", "api", 9);
  const ReceiptAnswer answer = ask(2);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(member(answer, "/id"), record_id(journal->journal_id(), 2));
  EXPECT_EQ(member(answer, "/stored/node"), "n1");
  EXPECT_EQ(member(answer, "/stored/tenant"), "acme");
  EXPECT_EQ(member(answer, "/stored/stream"), "api");
  EXPECT_EQ(member(answer, "/stored/bytes"), "9");
  EXPECT_EQ(member(answer, "/stored/segment"), "1");
  EXPECT_EQ(member(answer, "/stored/received_at"), "1970-01-01T00:00:00.000007Z");
  EXPECT_EQ(member(answer, "/stored/in_journal"), "true");
  EXPECT_EQ(state(2, 0), "pending");
  EXPECT_EQ(state(2, 1), "not_for_this_sink");
  EXPECT_EQ(state(1, 1), "pending");
}

TEST_F(ReceiptBookTest, knows_no_id_that_was_not_given_out_and_whose_journal_another_is_of) {
  EXPECT_EQ(ask(1).status, 404);
  EXPECT_EQ(ask(1, "acme").status, 404);
  store("acme", "web.a");
  for (const std::uint64_t sequence : {std::uint64_t{0}, std::uint64_t{2}, journal_id_mask}) {
    EXPECT_EQ(ask(sequence).body, unknown_answer().body);
    EXPECT_EQ(ask(sequence, "acme").body, unknown_answer().body);
  }
  ReceiptBook book(files, journal->journal_id(), options);
  const auto other = book.answer_at_once({.id = {journal->journal_id() ^ 1, 1}});
  ASSERT_TRUE(other);
  EXPECT_EQ(other->status, 404);
  EXPECT_NE(other->body.find("another node or an earlier journal"), std::string::npos);
  EXPECT_FALSE(book.answer_at_once({.id = {journal->journal_id(), 1}}));
}

TEST_F(ReceiptBookTest, says_when_a_batch_was_delivered) {
  store("acme", "web.a");
  store("acme", "api");
  settle("all",
         {.first = 1, .end = 3, .streams = {{"acme/web.a", {1, 5, 0}}, {"acme/api", {1, 5, 0}}}});
  const ReceiptAnswer answer = ask(1);
  EXPECT_EQ(member(answer, "/sinks/0/state"), "delivered");
  EXPECT_EQ(member(answer, "/sinks/0/at"), "2026-11-23T10:00:00.000000Z");
  EXPECT_EQ(member(answer, "/sinks/0/precision"), "batch");
  EXPECT_EQ(member(answer, "/sinks/1/state"), "pending");
}

TEST_F(ReceiptBookTest, a_tenant_sees_its_own_records_and_no_segment) {
  store("acme", "web.a");
  store("rival", "web.a");
  EXPECT_EQ(ask(1, "acme").status, 200);
  EXPECT_EQ(member(ask(1, "acme"), "/stored/segment"), "");
  EXPECT_EQ(ask(2, "acme").body, unknown_answer().body);
  EXPECT_EQ(ask(2, "rival").status, 200);
}

TEST_F(ReceiptBookTest, of_a_recycled_record_says_what_the_ledger_says) {
  store("acme", "web.a");
  store("rival", "api");
  settle("all",
         {.first = 1, .end = 3, .streams = {{"acme/web.a", {1, 5, 0}}, {"rival/api", {1, 5, 0}}}});
  settle("web", {.first = 1, .end = 3, .skipped = 1, .streams = {{"acme/web.a", {1, 5, 0}}}});
  fill_and_recycle();
  const ReceiptAnswer answer = ask(1);
  ASSERT_EQ(member(answer, "/stored/in_journal"), "false") << answer.body;
  EXPECT_EQ(member(answer, "/stored/stream"), "");
  EXPECT_EQ(member(answer, "/sinks/0/state"), "delivered");
  EXPECT_EQ(member(answer, "/sinks/1/state"), "settled");
  EXPECT_EQ(member(answer, "/sinks/1/counts/skipped"), "1");
  const ReceiptAnswer own = ask(1, "acme");
  EXPECT_EQ(member(own, "/sinks/0/state"), "delivered");
  EXPECT_EQ(member(own, "/sinks/1/state"), "delivered");  // All of its streams went there.
  EXPECT_EQ(member(ask(2, "rival"), "/sinks/1/state"), "not_for_this_sink");
  EXPECT_EQ(ask(1, "third").body, unknown_answer().body);
  EXPECT_EQ(state(newest), "delivered");  // No line, but the cursor counts nothing else.
}

TEST_F(ReceiptBookTest, of_a_dead_letter_says_why_also_when_the_record_is_gone) {
  for (int i = 0; i < 4; i++) store("acme", "web.a");
  settle("all", {.first = 1, .end = 5, .streams = {{"acme/web.a", {2, 10, 2}}}});
  settle("web", {.first = 1, .end = 5, .streams = {{"acme/web.a", {4, 20, 0}}}});
  write_letters(batch_file(1, 4), {2, 4}, "no such field");
  for (const bool recycled : {false, true}) {
    if (recycled) fill_and_recycle();
    for (const auto* tenant : {"", "acme"}) {
      const ReceiptAnswer dead = ask(4, tenant);
      EXPECT_EQ(member(dead, "/sinks/0/state"), "dead") << dead.body;
      EXPECT_EQ(member(dead, "/sinks/0/reason"), "no such field");
      EXPECT_EQ(member(dead, "/stored/stream"), "web.a");
      EXPECT_EQ(state(3, 0, tenant), "delivered");
    }
    EXPECT_EQ(ask(4, "rival").status, 404);
  }
  // Sent again or removed: which two it were is not known any more.
  std::filesystem::remove(root + "/dead/all/" + batch_file(1, 4));
  EXPECT_EQ(state(4), "settled");
  EXPECT_EQ(state(4, 1), "delivered");
}

TEST_F(ReceiptBookTest, of_a_damaged_record_says_that_it_is_lost) {
  for (int i = 0; i < 3; i++) store("acme", "web.a");
  journal.reset();
  {
    std::fstream file(options.journal_directory + "/segment-000001",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 2 + 64 + 8);  // In the second commit's payload.
    file << "?";
  }
  open_journal();
  settle("web", {.first = 1, .end = 4, .lost = 1, .streams = {{"acme/web.a", {2, 10, 0}}}});
  std::ofstream(options.journal_directory + "/cursors/web.damage")
      << R"({"segment":1,"offset":8192,"first_sequence":2,"end_sequence":3,"why":"x"})" << "\n";
  EXPECT_EQ(state(2, 0), "lost");
  EXPECT_EQ(state(2, 1), "lost");
  EXPECT_EQ(state(1, 0), "pending");
  EXPECT_EQ(state(1, 1), "delivered");
  EXPECT_NE(member(ask(2), "/sinks/0/reason"), "");
  EXPECT_EQ(member(ask(2, "acme"), "/sinks/0/reason"), "");
}

TEST_F(ReceiptBookTest, what_a_new_sink_never_saw_was_not_for_it) {
  store("acme", "web.a");
  settle("all", {.first = 1, .end = 2, .streams = {{"acme/web.a", {1, 5, 0}}}});
  settle("web", {.first = 1, .end = 2, .streams = {{"acme/web.a", {1, 5, 0}}}});
  fill_and_recycle();
  options.sinks.push_back({"new", {"*"}});
  EXPECT_EQ(state(1, 2), "not_for_this_sink");
  EXPECT_EQ(state(newest, 2), "pending");
}

TEST_F(ReceiptBookTest, holds_its_memory_only_while_it_looks_and_waits_for_none) {
  store("acme", "web.a");
  for (const std::size_t bytes : {std::size_t{1} << 20, std::size_t{1} << 30}) {
    MemoryBudget memory(bytes);
    ReceiptBook book(files, journal->journal_id(), options, &memory);
    const ReceiptQuestion question{.id = {journal->journal_id(), 1}};
    EXPECT_EQ(book.answer(question).status, 200);
    EXPECT_EQ(memory.bytes_used(), 0U);
    ASSERT_TRUE(memory.try_reserve(bytes - 1000, MemoryUse::commit));
    EXPECT_EQ(book.answer(question).status, 503);
  }
}

TEST_F(ReceiptBookTest, a_record_the_mark_does_not_show_yet_is_asked_for_again) {
  store("acme", "web.a");
  ReceiptBook book(files, journal->journal_id(), options);
  const RecordId next{journal->journal_id(), 2};
  EXPECT_EQ(book.answer({.id = next, .next_sequence = 3}).status, 503);
  EXPECT_EQ(book.answer({.id = next, .next_sequence = 2}).status, 404);
}

}  // namespace
}  // namespace inlet::serve
