#include "main/books.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/names.h"

namespace inlet::main {

using journal::CursorState;
using journal::LedgerCounts;
using journal::LedgerLine;

namespace {

std::string range_of(const LedgerLine& line) {
  return fmt::format("records {} to {}", line.first, line.end - 1);
}

// The record that a line is about, if it is its first or only event.
struct Named {
  bool is_id = false;
  bool is_first = false;
  RecordId id{};
};

Named read_id(std::string_view line) {
  constexpr std::string_view opening = "{\"id\":\"";
  if (!line.starts_with(opening) || line.size() <= opening.size() + record_id_chars) return {};
  const auto id = parse_record_id(line.substr(opening.size(), record_id_chars));
  if (!id) return {};
  const std::string_view rest = line.substr(opening.size() + record_id_chars);
  if (rest.starts_with('"')) return {true, true, *id};
  if (!rest.starts_with('.')) return {};
  std::uint64_t event = 0;
  const char* const digits = rest.data() + 1;
  const auto [end, error] = std::from_chars(digits, rest.data() + rest.size(), event);
  const bool closed = end != rest.data() + rest.size() && *end == '"';
  if (error != std::errc() || !closed) return {};
  return {true, event == 0, *id};
}

std::uint64_t accounted(const LedgerLine& line) {
  std::uint64_t sum = line.lost + line.skipped;
  for (const auto& [name, counts] : line.streams) sum += counts.delivered + counts.dead;
  return sum;
}

std::uint64_t less(std::uint64_t from, std::uint64_t what) { return from - std::min(from, what); }

void name_some(std::vector<std::uint64_t>& named, const std::vector<std::uint64_t>& more,
               std::uint64_t count_max) {
  for (const std::uint64_t sequence : more) {
    if (named.size() >= records_named_max || count_max-- == 0) return;
    named.push_back(sequence);
  }
}

}  // namespace

// ---- The archive.

ArchiveMarks::ArchiveMarks(std::uint64_t journal_id, std::uint64_t first, std::uint64_t end)
    : journal_id_(journal_id), first_(first), end_(std::min(end, first + loader::numbers_max)) {}

void ArchiveMarks::take_line(std::string_view line) {
  lines_++;
  const Named named = read_id(line);
  if (!named.is_id) lines_foreign_++;
  if (!named.is_first || named.id.journal_id != journal_id_) return;
  if (named.id.sequence < first_ || named.id.sequence >= end_) return;
  const std::uint64_t number = named.id.sequence - first_;
  if (!found_.insert(number)) twice_.insert(number);
}

bool ArchiveMarks::is_found(std::uint64_t sequence) const {
  return sequence >= first_ && found_.contains(sequence - first_);
}

bool ArchiveMarks::is_twice(std::uint64_t sequence) const {
  return sequence >= first_ && twice_.contains(sequence - first_);
}

// ---- What is known before the journal is read.

void Balance::find(std::string sentence) {
  if (findings.size() < findings_told_max) {
    findings.push_back(std::move(sentence));
  } else {
    findings_untold++;
  }
}

bool are_of_one_moment(const CursorState& cursor, const journal::LedgerView& ledger) {
  if (cursor.journal_id == 0) return ledger.lines.empty();
  return std::ranges::none_of(ledger.lines, [&](const LedgerLine& line) {
    return line.first < cursor.next.sequence && line.end > cursor.next.sequence;
  });
}

Books::Books(Accounts accounts, const JournalEnd& journal, const ArchiveMarks* archive)
    : accounts_(std::move(accounts)), archive_(archive) {
  balance_.sink = accounts_.sink;
  if (archive_ != nullptr) balance_.archive.emplace();
  check_cursor(journal);
  check_ledger();
  check_sums();
  check_set_aside();
}

// Rule 1. A cursor of another journal says nothing about this one.
void Books::check_cursor(const JournalEnd& journal) {
  const CursorState& cursor = accounts_.cursor;
  if (cursor.journal_id == 0) return;  // Nothing was planned or settled yet.
  if (cursor.journal_id != journal.journal_id) {
    balance_.find(fmt::format("the cursor is of journal {:012x}, this one is {:012x}",
                              cursor.journal_id, journal.journal_id));
    return;
  }
  next_ = cursor.next.sequence;
  balance_.next_sequence = next_;
  balance_.lost = cursor.records_lost;
  balance_.skipped = cursor.records_skipped;
  if (next_ > journal.sequence) {
    balance_.find(fmt::format("the cursor stands at {}, beyond the end of the journal at {}", next_,
                              journal.sequence));
  }
  const std::uint64_t sum = cursor.records_delivered + cursor.records_rejected +
                            cursor.records_lost + cursor.records_skipped;
  if (next_ != sum + 1) {
    balance_.find(fmt::format(
        "the cursor has passed {} records and accounts for {}: {} delivered, {} dead, {} lost, "
        "{} skipped",
        next_ - 1, sum, cursor.records_delivered, cursor.records_rejected, cursor.records_lost,
        cursor.records_skipped));
  }
}

// Rule 2, line by line. What begins at the cursor or beyond is being settled.
void Books::check_ledger() {
  const journal::LedgerView& ledger = accounts_.ledger;
  if (next_ == 1) {
    if (accounts_.cursor.journal_id == 0 && !ledger.lines.empty()) {
      balance_.notes.emplace_back("the cursor was made anew: what was delivered comes again");
    }
    return;
  }
  if (ledger.journal_id != accounts_.cursor.journal_id) {
    balance_.find(ledger.journal_id == 0
                      ? std::string("there is no ledger")
                      : fmt::format("the ledger is of journal {:012x}", ledger.journal_id));
    return;
  }
  std::uint64_t due = 1;
  for (const LedgerLine& line : ledger.lines) {
    if (line.first >= next_) break;
    if (line.end > next_) {
      balance_.find(fmt::format("the cursor stands at {}, inside the ledger's line of {}", next_,
                                range_of(line)));
      return;
    }
    if (line.first < due || line.end == line.first) {
      balance_.find(fmt::format("the ledger's lines overlap at record {}", line.first));
      continue;
    }
    if (line.first > due) find_gap(due, line.first);
    if (accounted(line) != line.end - line.first) {
      balance_.find(fmt::format("the ledger's line of {} accounts for {} of {}", range_of(line),
                                accounted(line), line.end - line.first));
    }
    due = line.end;
    lines_.push_back(line);
  }
  if (due < next_) find_gap(due, next_);
}

void Books::find_gap(std::uint64_t first, std::uint64_t end) {
  balance_.find(fmt::format("the ledger says nothing of records {} to {}", first, end - 1));
}

// Rule 2, the sums.
void Books::check_sums() {
  LedgerLine sum;
  for (const LedgerLine& line : lines_) journal::add_to(sum, line);
  LedgerCounts all;
  for (const auto& [name, counts] : sum.streams) {
    Row& row = row_named(name);
    row.book.delivered = counts.delivered;
    row.book.dead = counts.dead;
    all.delivered += counts.delivered;
    all.bytes += counts.bytes;
    all.dead += counts.dead;
  }
  if (lines_.empty() || !balance_.findings.empty()) return;  // They cannot agree.
  const CursorState& cursor = accounts_.cursor;
  const auto agree = [&](std::string_view what, std::uint64_t ours, std::uint64_t theirs) {
    if (ours == theirs) return;
    balance_.find(fmt::format("the ledger counts {} {}, the cursor {}", ours, what, theirs));
  };
  agree("records delivered", all.delivered, cursor.records_delivered);
  agree("bytes delivered", all.bytes, cursor.bytes_delivered);
  agree("records dead", all.dead, cursor.records_rejected);
  agree("records lost", sum.lost, cursor.records_lost);
  agree("records skipped", sum.skipped, cursor.records_skipped);
}

// Rule 4.
void Books::check_set_aside() {
  set_aside_ = accounts_.set_aside;
  // Of a batch that is being settled, or is delivered again from a cursor made anew.
  std::erase_if(set_aside_, [&](const SetAside& one) { return one.sequence >= next_; });
  std::ranges::sort(set_aside_);
  const std::size_t there = set_aside_.size();
  const auto doubles = std::ranges::unique(set_aside_, {}, &SetAside::sequence);
  set_aside_.erase(doubles.begin(), doubles.end());
  balance_.dead_letters = set_aside_.size();
  if (there > set_aside_.size()) {
    balance_.find(
        fmt::format("{} dead letters are there more than once", there - set_aside_.size()));
  }
  for (const SetAside& one : set_aside_) {
    const LedgerLine* const line = line_at(one.sequence);
    if (line != nullptr) dead_there_[{line->first, one.stream}]++;
  }
  std::uint64_t counted = 0;
  for (const auto& [name, row] : rows_) counted += row.book.dead;
  for (const auto& [key, there_now] : dead_there_) {
    const LedgerLine& line = *line_at(key.first);
    const auto found = line.streams.find(key.second);
    const std::uint64_t dead = found == line.streams.end() ? 0 : found->second.dead;
    if (there_now <= dead) continue;
    balance_.find(fmt::format("{}: there are {} dead letters of {}, the ledger counts {}",
                              range_of(line), there_now, key.second, dead));
  }
  if (counted > set_aside_.size()) {
    balance_.notes.push_back(fmt::format("{} of {} dead letters are gone: redriven or removed",
                                         counted - set_aside_.size(), counted));
  }
}

// ---- The journal.

Books::Rows::value_type& Books::row_of(std::string_view tenant, std::string_view stream) {
  if (last_row_ == nullptr || stream != last_stream_ || tenant != last_tenant_) {
    last_tenant_ = tenant;
    last_stream_ = stream;
    const std::string name = last_tenant_ + "/" + last_stream_;
    static_cast<void>(row_named(name));
    last_row_ = &*rows_.find(name);
  }
  return *last_row_;
}

Books::Row& Books::row_named(const std::string& name) {
  const auto [place, is_new] = rows_.try_emplace(name);
  if (is_new) {
    const std::string_view stream = std::string_view(name).substr(name.find('/') + 1);
    place->second.for_us = matches_any(accounts_.patterns, stream);
  }
  return place->second;
}

// The line that `sequence` is in.
const LedgerLine* Books::line_at(std::uint64_t sequence) const {
  const auto after = std::ranges::upper_bound(lines_, sequence, {}, &LedgerLine::first);
  if (after == lines_.begin()) return nullptr;
  const LedgerLine& line = *std::prev(after);
  return sequence < line.end ? &line : nullptr;
}

// Closes the lines that end at or before `sequence`.
void Books::pass_to(std::uint64_t sequence) {
  if (!begin_) begin_ = sequence;
  while (at_ < lines_.size() && lines_[at_].end <= sequence) close_line();
}

void Books::add(const Stored& record) {
  pass_to(record.sequence);
  Rows::value_type& entry = row_of(record.tenant, record.stream);
  Row& row = entry.second;
  row.book.stored++;
  if (record.sequence >= next_) {
    if (!row.for_us) return;
    row.book.pending++;
    balance_.pending_bytes += record.bytes;
    if (balance_.oldest_pending_us == 0) balance_.oldest_pending_us = record.received_us;
    return;
  }
  if (at_ == lines_.size() || lines_[at_].first > record.sequence) return;  // A gap, found already.
  if (row.tally.records++ == 0) touched_.push_back(&entry);
  row.tally.bytes += record.bytes;
  if (archive_ != nullptr) look_in_archive(record.sequence, row.tally);
}

void Books::look_in_archive(std::uint64_t sequence, Tally& tally) {
  while (next_set_aside_ < set_aside_.size() && set_aside_[next_set_aside_].sequence < sequence) {
    next_set_aside_++;
  }
  const bool is_dead =
      next_set_aside_ < set_aside_.size() && set_aside_[next_set_aside_].sequence == sequence;
  ArchiveBook& book = *balance_.archive;
  if (archive_->is_twice(sequence)) {
    book.twice++;
    name_some(book.first_twice, {sequence}, 1);
  }
  if (is_dead || archive_->is_found(sequence)) {
    book.looked_for += is_dead ? 0 : 1;
    return;
  }
  tally.missing++;
  name_some(tally.first_missing, {sequence}, 1);
}

void Books::add(const journal::Damage& damage) {
  std::uint64_t sequence = damage.first_sequence;
  while (sequence < damage.end_sequence) {
    pass_to(sequence);
    if (sequence >= next_) {
      if (damage.segment != 0) pending_damage_[damage.segment] += damage.end_sequence - sequence;
      return;
    }
    std::uint64_t end = std::min(damage.end_sequence, next_);
    if (at_ < lines_.size()) {
      const LedgerLine& line = lines_[at_];
      const bool inside = sequence >= line.first;
      end = std::min(end, inside ? line.end : line.first);
      if (inside && damage.segment == 0) has_hole_ = true;
      if (inside && damage.segment != 0) {
        damaged_ += end - sequence;
        damaged_segments_.insert(damage.segment);
      }
    }
    sequence = end;
  }
}

void Books::close_line() {
  const LedgerLine& line = lines_[at_];
  const bool whole = line.first >= *begin_ && !has_hole_;
  if (archive_ != nullptr) count_missing(line, whole && damaged_ == 0);
  if (whole) {
    std::vector<std::string> findings = compare(line);
    if (damaged_segments_.empty()) {
      for (std::string& finding : findings) balance_.find(std::move(finding));
    } else if (!findings.empty()) {
      suspicions_.push_back({damaged_segments_, std::move(findings)});
    }
  }
  for (Rows::value_type* const entry : touched_) entry->second.tally = {};
  touched_.clear();
  damaged_ = 0;
  damaged_segments_.clear();
  has_hole_ = false;
  at_++;
}

// Rule 5, of one line. Some are missing with good reason: they were not for the sink, or were set
// aside and their dead letters are gone since. Which ones is not known, but how many; so a letter
// that was redriven may hide a record that is missing.
void Books::count_missing(const LedgerLine& line, bool whole) {
  for (const Rows::value_type* const entry : touched_) {
    const Tally& tally = entry->second.tally;
    if (tally.missing == 0) continue;
    const auto found = line.streams.find(entry->first);
    const LedgerCounts counts = found == line.streams.end() ? LedgerCounts{} : found->second;
    const auto letters = dead_there_.find({line.first, entry->first});
    const std::uint64_t dead_there = letters == dead_there_.end() ? 0 : letters->second;
    std::uint64_t excused = less(counts.dead, dead_there);
    if (whole) excused = less(tally.records, counts.delivered + dead_there);
    // Of part of a line nobody knows which records were left out by patterns of an earlier time.
    if (counts.delivered == 0 || (!whole && !entry->second.for_us)) excused = tally.missing;
    const std::uint64_t missing = less(tally.missing, excused);
    balance_.archive->looked_for += missing;
    balance_.archive->missing += missing;
    name_some(balance_.archive->first_missing, tally.first_missing, missing);
  }
}

// Rule 3.
std::vector<std::string> Books::compare(const LedgerLine& line) {
  if (damaged_ != line.lost) {  // Then what else does not fit may follow from it.
    return {fmt::format("{}: {} cannot be read in the journal, the ledger counts {} lost",
                        range_of(line), damaged_, line.lost)};
  }
  Weighing weighing;
  for (const Rows::value_type* const entry : touched_) {
    const auto found = line.streams.find(entry->first);
    weigh(*entry, found == line.streams.end() ? LedgerCounts{} : found->second, weighing);
  }
  for (const auto& [name, counts] : line.streams) {
    static_cast<void>(row_named(name));
    const Rows::value_type& entry = *rows_.find(name);
    if (entry.second.tally.records == 0) weigh(entry, counts, weighing);
  }
  const bool all_skipped =
      weighing.withheld > 0 && line.skipped == weighing.left_out + weighing.withheld;
  if (all_skipped) {
    weighing.findings.push_back(
        fmt::format("the ledger skips {} records of streams that go to this sink (were they left "
                    "out by its streams before?)",
                    weighing.withheld));
  } else if (line.skipped != weighing.left_out) {
    weighing.findings.push_back(
        fmt::format("{} are of streams that do not go to this sink, the ledger skips {}",
                    weighing.left_out, line.skipped));
  }
  for (std::string& finding : weighing.findings) finding = range_of(line) + ": " + finding;
  return std::move(weighing.findings);
}

// One stream of one line: what the journal holds against what the ledger says.
void Books::weigh(const Rows::value_type& entry, const LedgerCounts& counts, Weighing& weighing) {
  const auto& [name, row] = entry;
  const Tally& tally = row.tally;
  const std::uint64_t records = counts.delivered + counts.dead;
  // How large the dead ones were nobody wrote down.
  const bool bytes_fit = counts.dead == 0 && records == tally.records ? counts.bytes == tally.bytes
                                                                      : counts.bytes <= tally.bytes;
  const bool is_short = row.for_us && records < tally.records;
  if (records > tally.records || !bytes_fit || is_short) {
    weighing.findings.push_back(fmt::format(
        "of {} the journal holds {} records, {} bytes; the ledger has {} delivered, {} bytes, and "
        "{} dead",
        name, tally.records, tally.bytes, counts.delivered, counts.bytes, counts.dead));
  }
  if (is_short) weighing.withheld += tally.records - records;
  if (row.for_us) return;
  weighing.left_out += less(tally.records, records);
  earlier_patterns_ += records;
}

// ---- The end.

Balance Books::close(const std::set<std::uint64_t>& standing) {
  if (begin_) pass_to(next_);
  for (Suspicion& suspicion : suspicions_) {
    if (!std::ranges::includes(standing, suspicion.segments)) continue;  // Used again meanwhile.
    for (std::string& finding : suspicion.findings) balance_.find(std::move(finding));
  }
  suspicions_.clear();
  for (const auto& [segment, records] : pending_damage_) {
    if (!standing.contains(segment)) continue;
    balance_.notes.push_back(
        fmt::format("pending and not to be read: {} of segment {}", records, segment));
  }
  if (earlier_patterns_ > 0) {
    balance_.notes.push_back(
        fmt::format("{} records were delivered or set aside that the streams configured now leave "
                    "out",
                    earlier_patterns_));
  }
  for (const auto& [name, row] : rows_) {
    if (!row.for_us && row.book.delivered == 0 && row.book.dead == 0) continue;
    balance_.streams[name] = row.book;
    balance_.total.stored += row.book.stored;
    balance_.total.delivered += row.book.delivered;
    balance_.total.pending += row.book.pending;
    balance_.total.dead += row.book.dead;
  }
  if (balance_.archive) conclude_archive();
  return std::move(balance_);
}

void Books::conclude_archive() {
  const ArchiveBook& book = *balance_.archive;
  const auto names = [&](const std::vector<std::uint64_t>& sequences, std::uint64_t count) {
    std::string text;
    for (const std::uint64_t sequence : sequences) {
      text += (text.empty() ? "" : ", ") + record_id(accounts_.cursor.journal_id, sequence);
    }
    return count > sequences.size() ? text + ", ..." : text;
  };
  if (book.missing > 0) {
    balance_.find(fmt::format("missing from the archive, {} of {} records: {}", book.missing,
                              book.looked_for, names(book.first_missing, book.missing)));
  }
  if (book.twice > 0) {
    balance_.find(fmt::format("more than once in the archive, {} of {} records: {}", book.twice,
                              book.looked_for, names(book.first_twice, book.twice)));
  }
  if (archive_->lines_foreign() > 0) {
    balance_.notes.push_back(fmt::format("{} of {} lines in the archive have no record's id",
                                         archive_->lines_foreign(), archive_->lines()));
  }
}

}  // namespace inlet::main
