#include "serve/receipt_book.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "journal/catalog.h"
#include "journal/ledger_lookup.h"
#include "journal/locate.h"
#include "journal/reader.h"
#include "serve/letter_search.h"

namespace inlet::serve {
namespace {

constexpr std::string_view short_of_memory = "this node is short of memory";
constexpr std::string_view unreadable = "this node's files cannot be read at this moment";

// Holds what a lookup may take of the one ceiling.
class Reservation {
 public:
  Reservation(MemoryBudget* memory, std::size_t bytes)
      : memory_(memory),
        bytes_(bytes),
        held_(memory != nullptr && memory->try_reserve(bytes, MemoryUse::body)) {}
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() {
    if (held_) memory_->release(bytes_);
  }
  [[nodiscard]] bool granted() const { return held_ || memory_ == nullptr; }

 private:
  MemoryBudget* const memory_;
  const std::size_t bytes_;
  const bool held_;
};

// Whether one line of a damage log (ship's: {"segment","offset","first_sequence","end_sequence",
// "why"}) is about the record.
bool is_about(simdjson::dom::parser& parser, std::string_view line, std::uint64_t sequence) {
  simdjson::dom::object object;
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  return parser.parse(line.data(), line.size()).get(object) == simdjson::SUCCESS &&
         object["first_sequence"].get(first) == simdjson::SUCCESS &&
         object["end_sequence"].get(end) == simdjson::SUCCESS && first <= sequence &&
         sequence < end;
}

}  // namespace

ReceiptBook::ReceiptBook(FileSystem& files, std::uint64_t journal_id, ReceiptOptions options,
                         MemoryBudget* memory)
    : files_(files), journal_id_(journal_id), options_(std::move(options)), memory_(memory) {}

std::optional<ReceiptAnswer> ReceiptBook::answer_at_once(const ReceiptQuestion& question) const {
  if (question.id.journal_id != journal_id_) {
    return other_journal_answer(options_.node, journal_id_);
  }
  return std::nullopt;
}

ReceiptAnswer ReceiptBook::answer(const ReceiptQuestion& question) {
  if (auto known = answer_at_once(question)) return std::move(*known);
  const Reservation reservation(memory_, bytes_to_reserve());
  if (!reservation.granted()) return later_answer(short_of_memory);
  auto answer = look_up(question);
  if (answer) return std::move(*answer);
  return later_answer(question.tenant.empty() ? answer.error().what : unreadable);
}

std::size_t ReceiptBook::bytes_to_reserve() const {
  const std::size_t bytes = lookup_bytes + options_.body_bytes_max;
  return memory_ == nullptr ? bytes : std::min(bytes, memory_->bytes_max() / memory_share);
}

// A tenant that asks for what was never given out waits for a lookup all the same: that of the
// newest record.
Result<ReceiptAnswer> ReceiptBook::look_up(const ReceiptQuestion& question) {
  const std::string& tenant = question.tenant;
  const auto mark = journal::read_commit_mark(files_, options_.journal_directory);
  const std::uint64_t next =
      std::max(question.next_sequence, mark ? mark->next_sequence : std::uint64_t{1});
  const bool was_given = question.id.sequence >= 1 && question.id.sequence < next;
  if (!was_given && (tenant.empty() || next <= 1)) return unknown_answer();
  Evidence evidence{.id = question.id};
  if (!was_given) evidence.id.sequence = next - 1;
  auto journal = look_into_journal(evidence.id.sequence);
  if (!journal) return fail(journal);
  evidence.journal = std::move(*journal);
  if (!tenant.empty() && evidence.journal.record &&
      (!was_given || evidence.journal.record->tenant != tenant)) {
    return unknown_answer();
  }
  for (const ReceiptSink& sink : options_.sinks) {
    auto seen = look_at_sink(sink, evidence.id.sequence);
    if (!seen) return fail(seen);
    evidence.sinks.push_back(std::move(*seen));
  }
  const auto receipt = judge(evidence, tenant);
  if (!receipt || !was_given) return unknown_answer();
  return found_answer(*receipt, options_.node);
}

Result<JournalEvidence> ReceiptBook::look_into_journal(std::uint64_t sequence) {
  using Is = JournalEvidence::Is;
  const auto located = journal::locate(files_, options_.journal_directory, sequence);
  if (!located) return fail(located);
  // Gone before the oldest segment, or damaged. Files are used again in any order, so what was
  // recycled may also lie between others: for a sink that has not passed it, it is lost.
  const auto missing = [&](std::string why) {
    return JournalEvidence{.is = located->is_gone ? Is::gone : Is::damaged,
                           .segment = 0,
                           .record = std::nullopt,
                           .damage = std::move(why)};
  };
  journal::Reader reader(files_, options_.journal_directory);
  reader.seek(located->at.value_or(journal::Position{.sequence = sequence}));
  const auto record = reader.next();
  if (!record) return fail(record);
  if (*record && (*record)->sequence == sequence) {
    const journal::Record& found = **record;
    return JournalEvidence{.is = Is::readable,
                           .segment = reader.position().segment,
                           .record = RecordFacts{.tenant = std::string(found.metadata.tenant),
                                                 .stream = std::string(found.metadata.stream),
                                                 .received_us = found.received_us,
                                                 .bytes = found.body.size()},
                           .damage = {}};
  }
  const std::vector<journal::Damage> damages = reader.take_damage();
  for (const journal::Damage& damage : damages) {
    if (sequence >= damage.first_sequence && sequence < damage.end_sequence) {
      return missing(damage.why);
    }
  }
  // Of the journal's first record the reader does not say that it is missing.
  if (*record) return missing("the segment is missing");
  return fail(ErrorKind::retry, "the journal does not show the record yet");
}

Result<SinkEvidence> ReceiptBook::look_at_sink(const ReceiptSink& sink, std::uint64_t sequence) {
  SinkEvidence seen{.sink = sink.name, .streams = sink.streams};
  const std::string& directory = options_.journal_directory;
  const auto cursor = journal::read_cursor(files_, directory, sink.name);
  if (!cursor) return fail(cursor);
  if (*cursor && (*cursor)->latest.journal_id == journal_id_) {
    seen.totals = (*cursor)->latest;
    seen.next_sequence = seen.totals.next.sequence;
  }
  auto line = journal::find_ledger_line(files_, directory, sink.name, journal_id_, sequence);
  if (!line) return fail(line);
  seen.line = std::move(*line);
  if (!seen.line && seen.next_sequence <= sequence) return seen;
  std::uint64_t lost = seen.totals.records_lost;
  std::uint64_t dead = seen.totals.records_rejected;
  if (seen.line) {
    lost = seen.line->lost;
    dead = 0;
    for (const auto& [name, counts] : seen.line->streams) dead += counts.dead;
  }
  if (lost > 0) seen.damage = look_into_damage_log(sink.name, sequence);
  if (dead == 0) return seen;
  auto found = find_letter(files_, options_.dead_directory + "/" + sink.name,
                           {.journal_id = journal_id_, .sequence = sequence},
                           seen.line ? seen.line->first : 1,
                           seen.line ? seen.line->end : seen.next_sequence, letters_bytes_max);
  if (!found) return fail(found);
  seen.letters_whole = found->letters == dead;
  seen.letter = std::move(found->letter);
  return seen;
}

SinkEvidence::Damage ReceiptBook::look_into_damage_log(const std::string& sink,
                                                       std::uint64_t sequence) {
  using enum SinkEvidence::Damage;
  const auto file = files_.open(fmt::format("{}/{}/{}.damage", options_.journal_directory,
                                            journal::cursors_directory_name, sink),
                                {});
  if (!file) return file.error().os == ENOENT ? not_listed : unknown;
  std::string text(damage_log_bytes_max, '\0');
  const MutableBytes room(reinterpret_cast<std::byte*>(text.data()), text.size());
  const auto got = (*file)->read_at(room, 0);
  if (!got) return unknown;
  text.resize(*got);
  simdjson::dom::parser parser;
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    if (is_about(parser, std::string_view(text).substr(begin, end - begin), sequence)) {
      return listed;
    }
    begin = end + 1;
  }
  return *got < damage_log_bytes_max ? not_listed : unknown;
}

}  // namespace inlet::serve
