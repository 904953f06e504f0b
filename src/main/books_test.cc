// Goal: books that balance are said to balance, whatever the history, and every way in which they
// can fail to is found.
// Method: small worlds by hand for the wording and the edges; then random histories of a journal
// and a sink (batches, damage, dead letters, patterns, folded lines, recycled and pending records)
// that must balance, and the same with one thing put wrong, of each kind, that must not.

#include "main/books.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/names.h"

namespace inlet::main {
namespace {

constexpr std::uint64_t journal_id = 0xabc;
constexpr std::uint64_t segment_records = 16;  // As many as all segments of a world hold.

std::uint64_t segment_of(std::uint64_t sequence) { return 1 + (sequence - 1) / segment_records; }

struct Event {
  std::string tenant;
  std::string stream;
  std::uint64_t bytes = 0;
  bool damaged = false;
  bool dead = false;  // The sink would not take it.

  [[nodiscard]] std::string name() const { return tenant + "/" + stream; }
};

// A journal, and what one sink made of it.
struct World {
  std::vector<Event> journal;  // Sequence 1 first.
  std::uint64_t oldest = 1;
  std::vector<std::string> patterns = {"*"};
  journal::CursorState cursor;
  journal::LedgerView ledger;
  std::vector<SetAside> set_aside;
  std::vector<std::string> archive;
  std::set<std::uint64_t> used_again;  // Segments whose records are gone since.

  void store(const std::string& stream, std::uint64_t count, std::uint64_t bytes = 10) {
    for (std::uint64_t i = 0; i < count; i++) journal.push_back({"t", stream, bytes});
  }
  [[nodiscard]] Event& at(std::uint64_t sequence) { return journal[sequence - 1]; }
  [[nodiscard]] std::uint64_t end() const { return journal.size() + 1; }

  // Settles [next, batch_end), as the shipper does.
  void settle(std::uint64_t batch_end) {
    journal::LedgerLine line;
    line.first = cursor.next.sequence;
    line.end = batch_end;
    for (std::uint64_t sequence = line.first; sequence < batch_end; sequence++) {
      const Event& event = at(sequence);
      if (event.damaged) {
        line.lost++;
      } else if (!matches_any(patterns, event.stream)) {
        line.skipped++;
      } else {
        journal::LedgerCounts& counts = line.streams[event.name()];
        counts.delivered += event.dead ? 0 : 1;
        counts.bytes += event.dead ? 0 : event.bytes;
        counts.dead += event.dead ? 1 : 0;
        if (event.dead) {
          set_aside.push_back({sequence, event.name()});
        } else {
          archive.push_back(line_of(sequence));
        }
      }
    }
    for (const auto& [name, counts] : line.streams) {
      cursor.records_delivered += counts.delivered;
      cursor.bytes_delivered += counts.bytes;
      cursor.records_rejected += counts.dead;
    }
    cursor.records_lost += line.lost;
    cursor.records_skipped += line.skipped;
    cursor.next.sequence = batch_end;
    cursor.journal_id = ledger.journal_id = journal_id;
    ledger.lines.push_back(line);
  }

  // Every third record is split.
  [[nodiscard]] static std::string line_of(std::uint64_t sequence) {
    return fmt::format("{{\"id\":\"{}{}\",\"tenant\":…}}", record_id(journal_id, sequence),
                       sequence % 3 == 0 ? ".0" : "");
  }

  void fold(std::size_t lines) {
    for (std::size_t i = 1; i < lines; i++) journal::add_to(ledger.lines[0], ledger.lines[i]);
    ledger.lines.erase(ledger.lines.begin() + 1,
                       ledger.lines.begin() + static_cast<std::ptrdiff_t>(lines));
  }

  [[nodiscard]] Balance audit(bool with_archive = false) const {
    ArchiveMarks marks(journal_id, oldest, cursor.next.sequence);
    for (const std::string& line : archive) marks.take_line(line);
    Books books({.sink = "s",
                 .patterns = patterns,
                 .cursor = cursor,
                 .ledger = ledger,
                 .set_aside = set_aside},
                {.journal_id = journal_id, .sequence = end()}, with_archive ? &marks : nullptr);
    std::set<std::uint64_t> standing;
    for (std::uint64_t sequence = oldest; sequence < end(); sequence++) {
      const Event& event = journal[sequence - 1];
      const std::uint64_t segment = segment_of(sequence);
      if (event.damaged || used_again.contains(segment)) {
        if (!used_again.contains(segment)) standing.insert(segment);
        books.add(journal::Damage{segment, 0, sequence, sequence + 1, "damaged"});
      } else {
        books.add(Stored{.sequence = sequence,
                         .received_us = static_cast<Microseconds>(sequence),
                         .tenant = event.tenant,
                         .stream = event.stream,
                         .bytes = event.bytes});
      }
    }
    return books.close(standing);
  }
};

World small_world() {
  World world;
  world.store("a", 5);
  world.store("b", 3);
  world.settle(4);
  world.settle(8);
  return world;
}

bool says(const Balance& balance, std::string_view part) {
  return std::ranges::any_of(balance.findings, [&](const std::string& finding) {
    return finding.find(part) != std::string::npos;
  });
}

std::string all_of(const std::vector<std::string>& sentences) {
  std::string all;
  for (const std::string& sentence : sentences) all += sentence + "\n";
  return all;
}

TEST(Books, a_sink_that_delivered_some_has_them_in_its_table) {
  World world = small_world();
  world.at(2).dead = true;  // Too late: it was delivered.
  const Balance balance = world.audit();
  EXPECT_EQ(all_of(balance.findings), "");
  EXPECT_EQ(balance.streams.at("t/a"), (StreamBook{.stored = 5, .delivered = 5}));
  EXPECT_EQ(balance.streams.at("t/b"), (StreamBook{.stored = 3, .delivered = 2, .pending = 1}));
  EXPECT_EQ(balance.total, (StreamBook{.stored = 8, .delivered = 7, .pending = 1}));
  EXPECT_EQ(balance.pending_bytes, 10U);
  EXPECT_EQ(balance.oldest_pending_us, 8);
}

TEST(Books, an_empty_journal_and_a_sink_that_never_ran_balance) {
  EXPECT_TRUE(World().audit(true).findings.empty());
  World stored;
  stored.store("a", 3);
  const Balance balance = stored.audit(true);
  EXPECT_TRUE(balance.findings.empty());
  EXPECT_EQ(balance.total.pending, 3U);
}

TEST(Books, a_cursor_of_another_journal_is_found_and_not_believed) {
  World world = small_world();
  world.cursor.journal_id++;
  const Balance balance = world.audit();
  EXPECT_EQ(all_of(balance.findings),
            "the cursor is of journal 000000000abd, this one is 000000000abc\n");
  EXPECT_EQ(balance.total.pending, 8U);
}

TEST(Books, a_cursor_beyond_the_end_is_found) {
  World world = small_world();
  world.settle(9);
  world.journal.pop_back();
  EXPECT_TRUE(says(world.audit(), "stands at 9, beyond the end of the journal at 8"));
}

TEST(Books, a_missing_ledger_is_found_once) {
  World world = small_world();
  world.ledger = {};
  EXPECT_EQ(all_of(world.audit().findings), "there is no ledger\n");
}

TEST(Books, a_ledger_that_ends_early_is_found) {
  World world = small_world();
  world.ledger.lines.pop_back();
  EXPECT_TRUE(says(world.audit(), "the ledger says nothing of records 4 to 7"));
}

TEST(Books, a_line_beyond_the_cursor_is_of_a_batch_being_settled) {
  World world = small_world();
  const journal::CursorState before = world.cursor;
  world.at(8).dead = true;
  world.settle(9);
  world.cursor = before;
  EXPECT_EQ(all_of(world.audit(true).findings), "");
}

TEST(Books, a_ledger_folded_after_the_cursor_was_read_is_told_from_one_of_the_same_moment) {
  World world = small_world();
  EXPECT_TRUE(are_of_one_moment(world.cursor, world.ledger));
  const journal::CursorState before = world.cursor;
  world.settle(9);
  EXPECT_TRUE(are_of_one_moment(before, world.ledger));
  world.fold(3);
  EXPECT_FALSE(are_of_one_moment(before, world.ledger));
  EXPECT_FALSE(are_of_one_moment(journal::CursorState{}, world.ledger));
  EXPECT_TRUE(are_of_one_moment(journal::CursorState{}, journal::LedgerView{}));
}

TEST(Books, dead_letters_that_are_gone_are_no_fault) {
  World world;
  world.store("a", 4);
  world.at(2).dead = world.at(3).dead = true;
  world.settle(5);
  world.set_aside.pop_back();
  const Balance balance = world.audit(true);
  EXPECT_EQ(all_of(balance.findings), "");
  EXPECT_EQ(all_of(balance.notes), "1 of 2 dead letters are gone: redriven or removed\n");
  EXPECT_EQ(balance.archive->looked_for, 2U);
}

TEST(Books, a_redriven_record_stands_in_the_archive_and_is_no_fault) {
  World world;
  world.store("a", 4);
  world.at(2).dead = world.at(3).dead = true;
  world.settle(5);
  world.set_aside.erase(world.set_aside.begin());
  world.archive.push_back(World::line_of(2));
  EXPECT_EQ(all_of(world.audit(true).findings), "");
}

TEST(Books, damage_in_a_segment_that_was_used_again_is_no_fault) {
  World world;
  world.store("a", 3 * segment_records);
  world.settle(segment_records / 2);
  world.settle(2 * segment_records);
  world.used_again = {1};
  EXPECT_EQ(all_of(world.audit(true).findings), "");
  world.used_again.clear();
  world.at(3).damaged = true;
  EXPECT_TRUE(says(world.audit(), "records 1 to 7: 1 cannot be read in the journal"));
}

TEST(Books, a_hole_where_a_segment_was_taken_away_is_no_fault) {
  World world = small_world();
  Books books({.sink = "s", .patterns = {"*"}, .cursor = world.cursor, .ledger = world.ledger},
              {.journal_id = journal_id, .sequence = 9}, nullptr);
  books.add(Stored{.sequence = 1, .tenant = "t", .stream = "a", .bytes = 10});
  books.add(journal::Damage{0, 0, 2, 9, "the segment is missing"});
  EXPECT_EQ(all_of(books.close({}).findings), "");
}

TEST(Books, pending_records_that_cannot_be_read_are_noted) {
  World world = small_world();
  world.at(8).damaged = true;
  const Balance balance = world.audit();
  EXPECT_EQ(all_of(balance.findings), "");
  EXPECT_EQ(all_of(balance.notes), "pending and not to be read: 1 of segment 1\n");
}

TEST(Books, streams_left_out_later_are_noted_and_streams_let_in_later_are_found) {
  World world = small_world();
  world.patterns = {"a"};
  const Balance narrowed = world.audit(true);
  EXPECT_EQ(all_of(narrowed.findings), "");
  EXPECT_TRUE(all_of(narrowed.notes).starts_with("2 records were delivered"));

  World before = World();
  before.patterns = {"a"};
  before.store("a", 2);
  before.store("b", 2);
  before.settle(5);
  EXPECT_EQ(all_of(before.audit(true).findings), "");
  before.patterns = {"*"};
  EXPECT_TRUE(says(before.audit(), "skips 2 records of streams that go to this sink"));
}

TEST(Books, what_is_missing_from_the_archive_is_named) {
  World world;
  world.store("a", 20);
  world.settle(21);
  world.archive.erase(world.archive.begin() + 1, world.archive.begin() + 15);
  world.archive.push_back(world.archive.back());
  const Balance balance = world.audit(true);
  EXPECT_EQ(balance.archive->missing, 14U);
  EXPECT_EQ(balance.archive->first_missing.size(), records_named_max);
  EXPECT_EQ(balance.archive->first_missing[0], 2U);
  EXPECT_TRUE(says(balance,
                   "missing from the archive, 14 of 20 records: "
                   "000000000abc-000000000002, "));
  EXPECT_TRUE(says(balance,
                   "more than once in the archive, 1 of 20 records: "
                   "000000000abc-000000000014"));
}

TEST(Books, only_the_first_event_of_a_split_body_stands_for_its_record) {
  ArchiveMarks marks(journal_id, 5, 10);
  const std::string id = record_id(journal_id, 7);
  marks.take_line("{\"id\":\"" + id + ".1\",");
  EXPECT_FALSE(marks.is_found(7));
  marks.take_line("{\"id\":\"" + id + ".0\",");
  EXPECT_TRUE(marks.is_found(7));
  marks.take_line("{\"id\":\"" + id + ".10\",");
  EXPECT_FALSE(marks.is_twice(7));
  marks.take_line("{\"id\":\"" + id + "\",");
  EXPECT_TRUE(marks.is_twice(7));
  EXPECT_EQ(marks.lines_foreign(), 0U);
}

TEST(Books, lines_that_are_not_ours_are_counted_and_mark_nothing) {
  ArchiveMarks marks(journal_id, 5, 10);
  for (const std::string& line :
       {std::string(), std::string("{}"), std::string("{\"id\":\"x\"}"),
        "{\"id\":\"" + record_id(journal_id, 7), "{\"id\":\"" + record_id(journal_id, 7) + "x\"",
        "{\"id\":\"" + record_id(journal_id, 7) + ".\"",
        "{\"id\":\"" + record_id(journal_id, 7) + ".0"}) {
    marks.take_line(line);
  }
  EXPECT_EQ(marks.lines_foreign(), 7U);
  marks.take_line("{\"id\":\"" + record_id(journal_id + 1, 7) + "\"");
  marks.take_line("{\"id\":\"" + record_id(journal_id, 4) + "\"");
  marks.take_line("{\"id\":\"" + record_id(journal_id, 10) + "\"");
  EXPECT_EQ(marks.lines_foreign(), 7U);
  for (std::uint64_t sequence = 0; sequence < 20; sequence++) {
    EXPECT_FALSE(marks.is_found(sequence));
  }
}

TEST(Books, findings_beyond_the_bound_are_counted) {
  World world;
  world.store("a", 300);
  for (std::uint64_t end = 2; end <= 301; end++) world.settle(end);
  for (Event& event : world.journal) event.stream = "b";
  const Balance balance = world.audit();
  EXPECT_EQ(balance.findings.size(), findings_told_max);
  EXPECT_GT(balance.findings_untold, 0U);
}

// ---- Random histories.

class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed) {}

  World make() {
    World world;
    if (one_in(2)) world.patterns = {"web.*", "x"};
    const std::uint64_t count = below(120);
    for (std::uint64_t i = 0; i < count; i++) {
      static const std::vector<std::string> streams = {"web.a", "web.b", "x", "y", "z"};
      world.journal.push_back({.tenant = one_in(3) ? "u" : "t",
                               .stream = streams[below(streams.size())],
                               .bytes = below(50),
                               .damaged = one_in(20),
                               .dead = one_in(10)});
    }
    const std::uint64_t settled = count == 0 ? 0 : below(count + 1);
    while (world.cursor.next.sequence <= settled) {
      const std::uint64_t from = world.cursor.next.sequence;
      world.settle(std::min(from + 1 + below(15), settled + 1));
    }
    if (world.ledger.lines.size() > 1 && one_in(3)) {
      world.fold(1 + below(world.ledger.lines.size()));
    }
    forget_some(world);
    return world;
  }

  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
  }
  bool one_in(std::uint64_t count) { return below(count) == 0; }

 private:
  // What happens to a live node: letters are removed or redriven, segments used again, also while
  // they are being read, and what was delivered may have been damaged in what is gone.
  void forget_some(World& world) {
    std::erase_if(world.set_aside, [&](const SetAside& one) {
      if (!one_in(4)) return false;
      if (one_in(2)) world.archive.push_back(World::line_of(one.sequence));
      return true;
    });
    const std::uint64_t next = world.cursor.next.sequence;
    if (next > 1 && one_in(2)) world.oldest = 1 + below(next);
    for (std::uint64_t segment = segment_of(world.oldest); segment < segment_of(next); segment++) {
      if (!one_in(3)) break;
      world.used_again.insert(segment);
    }
  }

  std::mt19937_64 random_;
};

TEST(Books, every_honest_history_balances) {
  for (std::uint64_t seed = 1; seed <= 5000; seed++) {
    const World world = History(seed).make();
    const Balance balance = world.audit(true);
    ASSERT_EQ(all_of(balance.findings), "") << "seed " << seed;
    ASSERT_EQ(balance.total.delivered, world.cursor.records_delivered) << "seed " << seed;
    ASSERT_EQ(balance.total.dead, world.cursor.records_rejected) << "seed " << seed;
  }
}

// One thing put wrong; false if this world has nothing that it could be done to.
using Wrong = bool (*)(World& world, History& chance);

// Of a line that is wholly in the journal; null if there is none.
journal::LedgerLine* whole_line(World& world, History& chance) {
  std::vector<journal::LedgerLine*> whole;
  for (journal::LedgerLine& line : world.ledger.lines) {
    bool stands = line.first >= world.oldest;
    for (std::uint64_t sequence = line.first; sequence < line.end; sequence++) {
      stands = stands && !world.used_again.contains(segment_of(sequence));
    }
    if (stands) whole.push_back(&line);
  }
  return whole.empty() ? nullptr : whole[chance.below(whole.size())];
}

journal::LedgerCounts* some_counts(journal::LedgerLine& line, History& chance) {
  if (line.streams.empty()) return nullptr;
  return &std::next(line.streams.begin(),
                    static_cast<std::ptrdiff_t>(chance.below(line.streams.size())))
              ->second;
}

journal::LedgerLine* any_line(World& world, History& chance) {
  auto& lines = world.ledger.lines;
  return lines.empty() ? nullptr : &lines[chance.below(lines.size())];
}

// A record in the journal, behind the cursor, in a line that is wholly there; 0 if none.
std::uint64_t whole_record(World& world, History& chance) {
  const journal::LedgerLine* const line = whole_line(world, chance);
  if (line == nullptr) return 0;
  const std::uint64_t sequence = line->first + chance.below(line->end - line->first);
  return world.at(sequence).damaged ? 0 : sequence;
}

struct Kind {
  const char* name;
  Wrong wrong;
};

const Kind kinds[] = {
    {"the cursor is of another journal",
     [](World& world, History&) {
       world.cursor.journal_id ^= 1;
       return world.cursor.next.sequence > 1;
     }},
    {"the cursor stands further than it delivered",
     [](World& world, History& chance) {
       world.cursor.next.sequence += 1 + chance.below(3);
       return world.cursor.journal_id != 0;
     }},
    {"the cursor stands less far than it delivered",
     [](World& world, History&) {
       if (world.cursor.next.sequence < 3) return false;
       world.cursor.next.sequence--;
       return true;
     }},
    {"the cursor miscounts",
     [](World& world, History& chance) {
       std::uint64_t* const counts[] = {&world.cursor.records_delivered,
                                        &world.cursor.records_rejected, &world.cursor.records_lost,
                                        &world.cursor.records_skipped,
                                        &world.cursor.bytes_delivered};
       (*counts[chance.below(5)])++;
       return world.cursor.next.sequence > 1;
     }},
    {"the cursor calls delivered what was lost",
     [](World& world, History&) {
       if (world.cursor.records_lost == 0) return false;
       world.cursor.records_lost--;
       world.cursor.records_delivered++;
       return true;
     }},
    {"a line is missing",
     [](World& world, History& chance) {
       if (world.ledger.lines.empty()) return false;
       const std::size_t index = chance.below(world.ledger.lines.size());
       world.ledger.lines.erase(world.ledger.lines.begin() + static_cast<std::ptrdiff_t>(index));
       return true;
     }},
    {"a line begins early",
     [](World& world, History& chance) {
       journal::LedgerLine* const line = any_line(world, chance);
       if (line == nullptr || line->first == 1) return false;
       line->first--;
       return true;
     }},
    {"a line ends late",
     [](World& world, History& chance) {
       journal::LedgerLine* const line = any_line(world, chance);
       if (line == nullptr) return false;
       line->end++;
       return true;
     }},
    {"the ledger is of another journal",
     [](World& world, History&) {
       world.ledger.journal_id ^= 1;
       return world.cursor.next.sequence > 1;
     }},
    {"a line miscounts",
     [](World& world, History& chance) {
       journal::LedgerLine* const line = any_line(world, chance);
       journal::LedgerCounts* const counts = line == nullptr ? nullptr : some_counts(*line, chance);
       if (counts == nullptr) return false;
       std::uint64_t* const numbers[] = {&counts->delivered, &counts->bytes, &counts->dead,
                                         &line->lost, &line->skipped};
       (*numbers[chance.below(5)])++;
       return true;
     }},
    {"two lines miscount and make up for it",
     [](World& world, History&) {
       auto& lines = world.ledger.lines;
       if (lines.size() < 2 || lines[0].streams.empty() || lines[1].streams.empty()) return false;
       journal::LedgerCounts& one = lines[0].streams.begin()->second;
       if (one.delivered == 0) return false;
       one.delivered--;
       lines[1].streams.begin()->second.delivered++;
       return true;
     }},
    {"a record is counted for another stream",
     [](World& world, History& chance) {
       journal::LedgerLine* const line = whole_line(world, chance);
       if (line == nullptr || line->streams.empty()) return false;
       journal::LedgerCounts& counts = line->streams.begin()->second;
       if (counts.delivered == 0) return false;
       counts.delivered--;
       line->streams["t/nowhere"].delivered++;
       return true;
     }},
    {"a record is skipped that was for the sink, everywhere",
     [](World& world, History& chance) {
       journal::LedgerLine* const line = whole_line(world, chance);
       journal::LedgerCounts* const counts = line == nullptr ? nullptr : some_counts(*line, chance);
       if (counts == nullptr || counts->delivered == 0) return false;
       counts->delivered--;
       line->skipped++;
       world.cursor.records_delivered--;
       world.cursor.records_skipped++;
       return true;
     }},
    {"a record is delivered that was not for the sink, everywhere",
     [](World& world, History& chance) {
       journal::LedgerLine* const line = whole_line(world, chance);
       if (line == nullptr || line->skipped == 0) return false;
       line->skipped--;
       line->streams["t/web.a"].delivered++;
       world.cursor.records_skipped--;
       world.cursor.records_delivered++;
       return true;
     }},
    {"a record is lost that can be read, everywhere",
     [](World& world, History& chance) {
       journal::LedgerLine* const line = whole_line(world, chance);
       journal::LedgerCounts* const counts = line == nullptr ? nullptr : some_counts(*line, chance);
       if (counts == nullptr || counts->delivered == 0) return false;
       counts->delivered--;
       line->lost++;
       world.cursor.records_delivered--;
       world.cursor.records_lost++;
       return true;
     }},
    {"bytes are counted that were not stored, everywhere",
     [](World& world, History& chance) {
       journal::LedgerLine* const line = whole_line(world, chance);
       journal::LedgerCounts* const counts = line == nullptr ? nullptr : some_counts(*line, chance);
       if (counts == nullptr || counts->dead > 0) return false;
       counts->bytes++;
       world.cursor.bytes_delivered++;
       return true;
     }},
    {"a record cannot be read that was delivered",
     [](World& world, History& chance) {
       const std::uint64_t sequence = whole_record(world, chance);
       if (sequence == 0) return false;
       world.at(sequence).damaged = true;
       return true;
     }},
    {"a record is of another stream than was delivered",
     [](World& world, History& chance) {
       const std::uint64_t sequence = whole_record(world, chance);
       if (sequence == 0 || !matches_any(world.patterns, world.at(sequence).stream)) return false;
       world.at(sequence).stream = "other";
       return true;
     }},
    {"a dead letter too many",
     [](World& world, History& chance) {
       if (world.cursor.next.sequence < 2) return false;
       const std::uint64_t sequence = 1 + chance.below(world.cursor.next.sequence - 1);
       world.set_aside.push_back({sequence, "t/nowhere"});
       return true;
     }},
    {"a dead letter twice",
     [](World& world, History&) {
       if (world.set_aside.empty()) return false;
       world.set_aside.push_back(world.set_aside.front());
       return true;
     }},
    {"a record is missing from the archive",
     [](World& world, History& chance) {
       const std::uint64_t sequence = whole_record(world, chance);
       if (sequence == 0 || world.at(sequence).dead) return false;
       // A dead letter that was redriven may hide it: nobody knows any more which one it was.
       const std::uint64_t dead = world.cursor.records_rejected;
       if (world.set_aside.size() != dead) return false;
       return std::erase(world.archive, World::line_of(sequence)) > 0;
     }},
    {"a record stands in the archive twice",
     [](World& world, History& chance) {
       const std::uint64_t sequence = whole_record(world, chance);
       if (sequence == 0 || world.at(sequence).dead) return false;
       if (!matches_any(world.patterns, world.at(sequence).stream)) return false;
       world.archive.push_back(World::line_of(sequence));
       return true;
     }},
};

class BooksImbalance : public testing::TestWithParam<Kind> {};

TEST_P(BooksImbalance, is_found) {
  int done = 0;
  for (std::uint64_t seed = 1; seed <= 3000; seed++) {
    History history(seed);
    World world = history.make();
    if (!GetParam().wrong(world, history)) continue;
    done++;
    ASSERT_FALSE(world.audit(true).findings.empty()) << GetParam().name << ", seed " << seed;
  }
  EXPECT_GT(done, 100) << "too few worlds have what it takes";
}

INSTANTIATE_TEST_SUITE_P(OfEachKind, BooksImbalance, testing::ValuesIn(kinds),
                         [](const testing::TestParamInfo<Kind>& kind) {
                           std::string name = kind.param.name;
                           std::ranges::replace_if(
                               name, [](char c) { return c == ' ' || c == ','; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace inlet::main
