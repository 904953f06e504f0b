// The command `inlet audit`: whether the books balance. Reads cursors, ledgers, dead letters, the
// journal and, if asked to, an archive; writes nothing; may run beside a live node.
//
// The order of reading is what keeps a live node from looking wrong: each sink's cursor, then its
// ledger, then the commit mark, then the dead letters and the archive, then the journal. What is
// compared lies behind the cursors of the first moment and does not move any more, but that
// segments are used again.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/names.h"
#include "base/posix_file.h"
#include "codec/dead_letter.h"
#include "journal/catalog.h"
#include "load/archive.h"
#include "main/books.h"
#include "main/cli.h"
#include "main/progress.h"
#include "main/values.h"

namespace inlet::main {
namespace {

constexpr int looks_max = 100;  // At something that may not hold for a moment,
constexpr Microseconds look_again_us = 20'000;
constexpr Microseconds reuse_wait_us = 1'000'000;  // Longer than writing a commit takes.
constexpr std::uint64_t dead_file_bytes_max = std::uint64_t{4} << 30;
constexpr std::uint64_t progress_every = 4096;  // Records.
constexpr Microseconds redraw_us = 250'000;
constexpr std::size_t objects_named_max = 10;

struct AuditFlags {
  std::string sink;
  std::string archive;
  bool json = false;
};

// Beside what the books say.
struct Remarks {
  std::vector<std::string> findings;
  std::vector<std::string> notes;
};

struct SinkAudit {
  const SinkConfig* config;
  Accounts accounts;
  Remarks remarks;
};

// ---- Reading.

Result<SinkAudit> take_snapshot(FileSystem& files, Clock& clock, const std::string& journal,
                                const SinkConfig& sink) {
  SinkAudit audit{.config = &sink, .accounts = {}, .remarks = {}};
  audit.accounts.sink = sink.name;
  audit.accounts.patterns = sink.streams;
  for (int look = 0; look < looks_max; look++) {
    if (look > 0) clock.sleep(look_again_us);
    const auto cursor = journal::read_cursor(files, journal, sink.name);
    if (!cursor) return fail(cursor);
    auto ledger = journal::read_ledger(files, journal, sink.name);
    if (!ledger) return fail(ledger);
    audit.accounts.cursor = *cursor ? (*cursor)->latest : journal::CursorState{};
    audit.accounts.ledger = std::move(*ledger);
    if (are_of_one_moment(audit.accounts.cursor, audit.accounts.ledger)) break;
  }
  return audit;
}

// Whether the commit mark is missing or blank, as of a journal in which nothing was ever stored.
Result<bool> is_unwritten(FileSystem& files, const std::string& path) {
  const auto file = files.open(path, {});
  if (!file && file.error().os == ENOENT) return true;
  if (!file) return fail(file);
  std::array<std::byte, journal::commit_mark_bytes> bytes{};
  if (const auto got = (*file)->read_at(bytes, 0); !got) return fail(got);
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

Result<JournalEnd> read_end(FileSystem& files, Clock& clock, const std::string& journal) {
  const std::string path = journal + "/" + std::string(journal::commit_file_name);
  for (int look = 0; look < looks_max; look++) {
    if (look > 0) clock.sleep(look_again_us);
    if (const auto mark = journal::read_commit_mark(files, journal)) {
      return JournalEnd{.journal_id = mark->journal_id, .sequence = mark->next_sequence};
    }
    const auto unwritten = is_unwritten(files, path);
    if (!unwritten) return fail(unwritten);
    if (*unwritten) return JournalEnd{};
  }
  return fail(ErrorKind::corrupt, path + " is damaged");
}

Result<std::string> read_text(FileSystem& files, const std::string& path) {
  const auto file = files.open(path, {});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  if (*bytes > dead_file_bytes_max) return fail(ErrorKind::reject, path + " is too large to read");
  std::string text(*bytes, '\0');
  const MutableBytes room(reinterpret_cast<std::byte*>(text.data()), text.size());
  if (const Status got = read_all(**file, room, 0); !got) return fail(got);
  return text;
}

// Whether a file of dead letters is of a replay: NODE-replay-FIRST-LAST.ndjson. Those were counted
// when they were delivered first.
bool is_of_replay(std::string_view name) {
  constexpr std::size_t numbers_chars = 26;  // "-FIRST-LAST", 12 hex digits each.
  constexpr std::size_t tail = numbers_chars + std::string_view(".ndjson").size();
  return name.size() > tail && name.substr(0, name.size() - tail).ends_with("-replay");
}

// Takes the letters of one file into the accounts; returns how many were not of this journal.
std::uint64_t take_letters(std::string_view text, const std::string& path, std::uint64_t journal_id,
                           SinkAudit& audit) {
  std::uint64_t foreign = 0;
  std::uint64_t malformed = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto letter = codec::parse_dead_letter(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!letter) {
      malformed++;
    } else if (letter->journal_id != journal_id) {
      foreign++;
    } else {
      audit.accounts.set_aside.push_back(
          {.sequence = letter->sequence, .stream = letter->tenant + "/" + letter->stream});
    }
  }
  if (malformed > 0) {
    audit.remarks.findings.push_back(
        fmt::format("{} lines of {} are not dead letters", malformed, path));
  }
  return foreign;
}

Status read_dead_letters(FileSystem& files, const std::string& directory, std::uint64_t journal_id,
                         SinkAudit& audit) {
  const auto names = files.list(directory);
  if (!names && names.error().os == ENOENT) return {};
  if (!names) return fail(names);
  std::uint64_t foreign = 0;
  std::uint64_t replayed = 0;
  for (const std::string& name : *names) {
    if (name.starts_with('.') || !name.ends_with(".ndjson")) continue;
    const std::string path = directory + "/" + name;
    const auto text = read_text(files, path);
    if (!text && text.error().os == ENOENT) continue;  // Redriven or removed meanwhile.
    if (!text) {
      audit.remarks.findings.push_back(text.error().what);
    } else if (is_of_replay(name)) {
      replayed += static_cast<std::uint64_t>(std::ranges::count(*text, '\n'));
    } else {
      foreign += take_letters(*text, path, journal_id, audit);
    }
  }
  const auto note = [&](std::uint64_t count, const char* what) {
    if (count > 0) audit.remarks.notes.push_back(fmt::format("{} dead letters {}", count, what));
  };
  note(foreign, "are of another journal");
  note(replayed, "are of replays, beside those counted");
  return {};
}

// A few bits for each record that is in the journal and behind the cursor.
Result<ArchiveMarks> read_archive(FileSystem& files, Clock& clock, const std::string& directory,
                                  const std::string& journal, SinkAudit& audit) {
  const auto catalog = journal::read_catalog(files, journal, journal::Look::quick);
  if (!catalog) return fail(catalog);
  const journal::CursorState& cursor = audit.accounts.cursor;
  std::uint64_t oldest = cursor.next.sequence;
  if (!catalog->segments.empty()) {
    oldest = std::min(oldest, catalog->segments.front().header.first_sequence);
  }
  ArchiveMarks marks(cursor.journal_id, oldest, cursor.next.sequence);
  loader::Archive archive(files, directory);
  ProgressLine line(false);
  Microseconds drawn_us = 0;
  const auto show = [&] {
    if (clock.steady_us() - drawn_us >= redraw_us) {
      drawn_us = clock.steady_us();
      line.show(fmt::format("audit  the archive  {} objects  {} lines", archive.objects(),
                            marks.lines()));
    }
    return true;
  };
  const auto take = [&](std::string_view text, bool has_end) {
    const bool whole = has_end || text.ends_with('}');
    if (whole) marks.take_line(text);
    return whole;
  };
  if (const Status read = archive.read_new(take, show); !read) return fail(read);
  for (std::string& problem : archive.problems(objects_named_max)) {
    audit.remarks.findings.push_back("in the archive, " + problem);
  }
  if (archive.problem_count() > objects_named_max) {
    audit.remarks.findings.push_back(fmt::format(
        "in the archive, {} objects cannot be read to their end", archive.problem_count()));
  }
  return marks;
}

// Reads the journal once, for all sinks.
class JournalPass {
 public:
  JournalPass(FileSystem& files, Clock& clock, const std::string& journal, const JournalEnd& end,
              std::vector<Books>& books)
      : files_(files),
        clock_(clock),
        journal_(journal),
        end_(end.sequence),
        books_(books),
        reader_(files, journal),
        bar_(clock, "audit  the journal", "records", false) {}

  Status run() {
    int looks = 0;  // In a row that showed nothing: the journal is being written.
    while (reader_.position().sequence < end_) {
      const auto record = reader_.next();
      take_damage();
      if (!record || !*record) {
        if (++looks < looks_max) {
          clock_.sleep(look_again_us);
          continue;
        }
        if (!record) return fail(record);
        return fail(ErrorKind::corrupt, fmt::format("{}: nothing can be read from record {} on",
                                                    journal_, reader_.position().sequence));
      }
      looks = 0;
      if ((*record)->sequence >= end_) break;
      take(**record);
    }
    bar_.clear();
    return {};
  }

  // Of the segments with damage, those that are still there a while later: the others were used
  // again under our eyes.
  Result<std::set<std::uint64_t>> damaged_and_standing() {
    std::set<std::uint64_t> standing = std::move(damaged_segments_);
    for (const bool last : {false, true}) {
      if (standing.empty()) break;
      if (last) clock_.sleep(reuse_wait_us);
      const auto catalog = journal::read_catalog(files_, journal_, journal::Look::quick);
      if (!catalog) return fail(catalog);
      std::set<std::uint64_t> there;
      for (const journal::CatalogEntry& entry : catalog->segments) {
        if (standing.contains(entry.header.number)) there.insert(entry.header.number);
      }
      standing = std::move(there);
    }
    return standing;
  }

  [[nodiscard]] std::uint64_t oldest() const { return oldest_ == 0 ? end_ : oldest_; }
  [[nodiscard]] std::uint64_t records() const { return records_; }

 private:
  void take_damage() {
    for (journal::Damage& damage : reader_.take_damage()) {
      damage.end_sequence = std::min(damage.end_sequence, end_);
      if (damage.first_sequence >= damage.end_sequence) continue;
      if (oldest_ == 0) oldest_ = damage.first_sequence;
      if (damage.segment != 0) damaged_segments_.insert(damage.segment);
      for (Books& books : books_) books.add(damage);
    }
  }

  void take(const journal::Record& record) {
    if (oldest_ == 0) oldest_ = record.sequence;
    records_++;
    const Stored stored{.sequence = record.sequence,
                        .received_us = record.received_us,
                        .tenant = record.metadata.tenant,
                        .stream = record.metadata.stream,
                        .bytes = record.body.size()};
    for (Books& books : books_) books.add(stored);
    if (record.sequence % progress_every == 0) {
      bar_.update(record.sequence - oldest_, end_ - oldest_);
    }
  }

  FileSystem& files_;
  Clock& clock_;
  const std::string& journal_;
  const std::uint64_t end_;
  std::vector<Books>& books_;
  journal::Reader reader_;
  ProgressBar bar_;
  std::uint64_t oldest_ = 0;
  std::uint64_t records_ = 0;
  std::set<std::uint64_t> damaged_segments_;
};

// ---- All of it.

struct Report {
  JournalEnd end;
  std::uint64_t oldest_sequence = 1;
  std::uint64_t records = 0;  // That can be read.
  Microseconds at_us = 0;
  std::vector<Balance> balances;

  [[nodiscard]] bool is_balanced() const {
    return std::ranges::all_of(balances, [](const Balance& one) { return one.findings.empty(); });
  }
  [[nodiscard]] double lag_s(const Balance& balance) const {
    if (balance.oldest_pending_us == 0) return 0;
    return static_cast<double>(std::max<Microseconds>(0, at_us - balance.oldest_pending_us)) / 1e6;
  }
};

Result<Report> audit(FileSystem& files, const Config& config,
                     const std::vector<const SinkConfig*>& sinks, const std::string& archive) {
  SystemClock clock;
  const std::string& journal = config.journal.path;
  std::vector<SinkAudit> audits;
  for (const SinkConfig* const sink : sinks) {
    auto snapshot = take_snapshot(files, clock, journal, *sink);
    if (!snapshot) return fail(snapshot);
    audits.push_back(std::move(*snapshot));
  }
  const auto end = read_end(files, clock, journal);
  if (!end) return fail(end);
  std::optional<ArchiveMarks> marks;  // Of the one sink, if any.
  std::vector<Books> books;
  books.reserve(audits.size());
  for (SinkAudit& one : audits) {
    const std::string dead = config.data + "/dead/" + one.config->name;
    const Status read = read_dead_letters(files, dead, end->journal_id, one);
    if (!read) return fail(read);
    if (!archive.empty()) {
      auto found = read_archive(files, clock, archive, journal, one);
      if (!found) return fail(found);
      marks.emplace(std::move(*found));
    }
    books.emplace_back(std::move(one.accounts), *end, marks ? &*marks : nullptr);
  }
  JournalPass pass(files, clock, journal, *end, books);
  if (const Status read = pass.run(); !read) return fail(read);
  const auto standing = pass.damaged_and_standing();
  if (!standing) return fail(standing);
  Report report{.end = *end,
                .oldest_sequence = pass.oldest(),
                .records = pass.records(),
                .at_us = clock.wall_us(),
                .balances = {}};
  for (std::size_t i = 0; i < books.size(); i++) {
    Balance balance = books[i].close(*standing);
    for (std::string& finding : audits[i].remarks.findings) balance.find(std::move(finding));
    for (std::string& note : audits[i].remarks.notes) balance.notes.push_back(std::move(note));
    report.balances.push_back(std::move(balance));
  }
  return report;
}

// ---- Printing.

void print_row(std::string_view name, std::size_t name_chars, const StreamBook& book) {
  fmt::print("  {:<{}}  {:>12}  {:>12}  {:>12}  {:>12}\n", name, name_chars, book.stored,
             book.delivered, book.pending, book.dead);
}

void print_balance(const Report& report, const Balance& balance) {
  std::size_t name_chars = 24;
  for (const auto& [name, book] : balance.streams) name_chars = std::max(name_chars, name.size());
  fmt::print("\nsink {}\n  {:<{}}  {:>12}  {:>12}  {:>12}  {:>12}\n", balance.sink, "tenant/stream",
             name_chars, "in journal", "delivered", "pending", "dead");
  for (const auto& [name, book] : balance.streams) print_row(name, name_chars, book);
  print_row("all", name_chars, balance.total);
  fmt::print("  lost {}, skipped {}, dead letters there {}; lag {:.1f} s, {} bytes\n", balance.lost,
             balance.skipped, balance.dead_letters, report.lag_s(balance), balance.pending_bytes);
  if (balance.archive) {
    fmt::print("  archive: {} looked for, {} missing, {} more than once\n",
               balance.archive->looked_for, balance.archive->missing, balance.archive->twice);
  }
  for (const std::string& note : balance.notes) fmt::print("  note: {}\n", note);
}

void print_report(const Report& report) {
  fmt::print("journal {:012x}: {} records, sequence {} to {}\n", report.end.journal_id,
             report.records, report.oldest_sequence, report.end.sequence - 1);
  for (const Balance& balance : report.balances) print_balance(report, balance);
  fmt::print("\n");
  if (report.is_balanced()) fmt::print("the books balance\n");
  for (const Balance& balance : report.balances) {
    for (const std::string& finding : balance.findings) {
      fmt::print("sink {}: {}\n", balance.sink, finding);
    }
    if (balance.findings_untold == 0) continue;
    fmt::print("sink {}: and {} findings more\n", balance.sink, balance.findings_untold);
  }
}

void append_list(std::string& out, std::string_view key, const std::vector<std::string>& texts) {
  out += fmt::format(",\"{}\":[", key);
  for (const std::string& text : texts) {
    if (&text != texts.data()) out += ',';
    append_json_string(out, text);
  }
  out += ']';
}

std::string book_json(const StreamBook& book) {
  return fmt::format("\"stored\":{},\"delivered\":{},\"pending\":{},\"dead\":{}", book.stored,
                     book.delivered, book.pending, book.dead);
}

void append_archive(std::string& out, const ArchiveBook& book, std::uint64_t journal_id) {
  const auto ids = [&](const std::vector<std::uint64_t>& sequences) {
    std::vector<std::string> out_ids;
    for (const std::uint64_t sequence : sequences) {
      out_ids.push_back(record_id(journal_id, sequence));
    }
    return out_ids;
  };
  out += fmt::format(",\"archive\":{{\"looked_for\":{},\"missing\":{},\"twice\":{}",
                     book.looked_for, book.missing, book.twice);
  append_list(out, "first_missing", ids(book.first_missing));
  append_list(out, "first_twice", ids(book.first_twice));
  out += '}';
}

void append_balance(std::string& out, const Report& report, const Balance& balance) {
  out += "{\"sink\":";
  append_json_string(out, balance.sink);
  out += fmt::format(",\"next_sequence\":{},{},\"lost\":{},\"skipped\":{},\"dead_letters\":{}",
                     balance.next_sequence, book_json(balance.total), balance.lost, balance.skipped,
                     balance.dead_letters);
  out += fmt::format(",\"lag_seconds\":{:.6f},\"lag_bytes\":{},\"streams\":[",
                     report.lag_s(balance), balance.pending_bytes);
  for (bool first = true; const auto& [name, book] : balance.streams) {
    out += first ? "{\"stream\":" : ",{\"stream\":";
    append_json_string(out, name);
    out += "," + book_json(book) + "}";
    first = false;
  }
  out += ']';
  if (balance.archive) append_archive(out, *balance.archive, report.end.journal_id);
  append_list(out, "findings", balance.findings);
  out += fmt::format(",\"findings_untold\":{}", balance.findings_untold);
  append_list(out, "notes", balance.notes);
  out += '}';
}

void print_json(const Report& report) {
  std::string out = fmt::format(
      "{{\"balanced\":{},\"journal\":\"{:012x}\",\"oldest_sequence\":{},\"end_sequence\":{},"
      "\"records\":{},\"sinks\":[",
      report.is_balanced(), report.end.journal_id, report.oldest_sequence, report.end.sequence,
      report.records);
  for (const Balance& balance : report.balances) {
    if (&balance != report.balances.data()) out += ',';
    append_balance(out, report, balance);
  }
  fmt::print("{}]}}\n", out);
}

// The sinks to look at; a sentence about what is wrong with the flags.
Result<std::vector<const SinkConfig*>> choose(FileSystem& files, const Config& config,
                                              const AuditFlags& flags) {
  std::vector<const SinkConfig*> chosen;
  std::vector<std::string_view> names;
  for (const SinkConfig& sink : config.sinks) {
    names.push_back(sink.name);
    if (flags.sink.empty() || flags.sink == sink.name) chosen.push_back(&sink);
  }
  if (chosen.empty() && !flags.sink.empty()) {
    return fail(ErrorKind::reject,
                fmt::format("no sink is called {}{}", flags.sink, suggestion(flags.sink, names)));
  }
  if (flags.archive.empty()) return chosen;
  if (chosen.size() != 1) {
    return fail(ErrorKind::reject, "--archive needs --sink: whose archive is it?");
  }
  if (!chosen.front()->envelope) {
    return fail(ErrorKind::reject,
                fmt::format("sink {} writes lines without envelope, so without ids to look for",
                            chosen.front()->name));
  }
  // A mistyped name must not look like an archive without records.
  if (const auto there = files.list(flags.archive); !there) {
    return fail(ErrorKind::reject, "--archive: " + there.error().what);
  }
  return chosen;
}

}  // namespace

int audit_command(int argc, char** argv) {
  CLI::App app(
      "Says whether the books balance: everything stored is delivered, pending, dead, lost or "
      "skipped, once. Reads only, also while everything runs; exit 1 if not.",
      "inlet audit");
  CommonFlags common;
  AuditFlags flags;
  add_common_flags(app, common);
  app.add_option("--sink", flags.sink, "Only this sink")->type_name("SINK");
  app.add_option("--archive", flags.archive,
                 "Look in this directory (the path of a file sink, or a copy of a bucket) for "
                 "every record delivered")
      ->type_name("DIR");
  app.add_flag("--json", flags.json, "Print one JSON object");
  if (const auto code = parse(app, argc, argv)) return *code;
  PosixFileSystem files;
  const auto config = require_config(files, common);
  if (!config) return exit_mistake;
  const auto sinks = choose(files, *config, flags);
  if (!sinks) return report_mistake(sinks.error().what);
  const auto there = files.list(config->journal.path);
  if (!there) return report_fault(there.error());
  const auto report = audit(files, *config, *sinks, flags.archive);
  if (!report) return report_fault(report.error());
  if (flags.json) {
    print_json(*report);
  } else {
    print_report(*report);
  }
  return report->is_balanced() ? exit_fine : exit_fault;
}

}  // namespace inlet::main
