#include "serve/receipt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/json.h"
#include "http/answer.h"

namespace inlet::serve {
namespace {

constexpr std::string_view gone_before = "it was gone before this sink was configured";
constexpr std::string_view was_set_aside =
    "it was set aside; its dead letter was sent again or removed";
constexpr std::string_view may_be_set_aside =
    "it may be among those set aside, whose dead letters were sent again or removed";

using Names = std::vector<std::string_view>;  // "TENANT/STREAM", sorted.

// What a ledger line is asked for: some of its streams.
struct Share {
  std::string_view tenant;     // "": an operator asks.
  std::optional<Names> names;  // Of one of these the record is; empty: of any that may be seen.

  [[nodiscard]] bool may_see(std::string_view name) const {
    return tenant.empty() || (name.starts_with(tenant) && name.substr(tenant.size(), 1) == "/");
  }
};

// How a record that a sink has passed may have gone, as counts.
struct Possible {
  std::uint64_t delivered = 0;
  std::uint64_t dead = 0;
  std::uint64_t lost = 0;
  std::uint64_t skipped = 0;

  [[nodiscard]] int fates() const {
    return (delivered > 0) + (dead > 0) + (lost > 0) + (skipped > 0);
  }
};

Possible possible_by_line(const journal::LedgerLine& line, const Share& share) {
  Possible possible{.lost = line.lost, .skipped = line.skipped};
  const auto add = [&](const journal::LedgerCounts& counts) {
    possible.delivered += counts.delivered;
    possible.dead += counts.dead;
  };
  if (!share.names) {
    for (const auto& [name, counts] : line.streams) {
      if (share.may_see(name)) add(counts);
    }
    return possible;
  }
  bool all_taken = true;
  for (const std::string_view name : *share.names) {
    const auto found = line.streams.find(name);
    if (found != line.streams.end()) {
      add(found->second);
    } else {
      all_taken = false;
    }
  }
  // Within one batch a stream goes to the sink or does not.
  if (all_taken && !line.is_sum) possible.skipped = 0;
  return possible;
}

Possible possible_by(const SinkEvidence& sink, const Share& share) {
  Possible possible = sink.line ? possible_by_line(*sink.line, share)
                                : Possible{.delivered = sink.totals.records_delivered,
                                           .dead = sink.totals.records_rejected,
                                           .lost = sink.totals.records_lost,
                                           .skipped = sink.totals.records_skipped};
  if (sink.damage == SinkEvidence::Damage::not_listed) possible.lost = 0;
  if (sink.letters_whole && !sink.letter) possible.dead = 0;  // It would be among them.
  if (sink.damage == SinkEvidence::Damage::listed && possible.lost > 0) {
    return {.lost = possible.lost};
  }
  return possible;
}

bool is_settled(const SinkEvidence& sink, std::uint64_t sequence) {
  return sink.line.has_value() || sink.next_sequence > sequence;
}

// Of a record that the sink has not passed.
void judge_unsettled(const SinkEvidence& sink, const JournalEvidence& journal,
                     const RecordFacts* record, SinkReceipt& out) {
  if (record != nullptr && !matches_any(sink.streams, record->stream)) {
    out.fate = Fate::not_for_this_sink;
  } else if (journal.is == JournalEvidence::Is::damaged) {
    out.fate = Fate::lost;
  } else if (journal.is == JournalEvidence::Is::gone) {
    out.fate = Fate::not_for_this_sink;
    out.reason = gone_before;
  }
}

void judge_settled(const SinkEvidence& sink, const Share& share, SinkReceipt& out) {
  if (sink.line) out.at_us = sink.line->at_us;
  out.precision = sink.line && !sink.line->is_sum ? Precision::batch : Precision::sum;
  if (sink.letter) {
    out.fate = Fate::dead;
    out.reason = sink.letter->reason;
    return;
  }
  const Possible possible = possible_by(sink, share);
  if (possible.fates() == 1) {
    if (possible.dead > 0) out.reason = was_set_aside;
    out.fate = possible.delivered > 0 ? Fate::delivered
               : possible.dead > 0    ? Fate::dead
               : possible.lost > 0    ? Fate::lost
                                      : Fate::not_for_this_sink;
    return;
  }
  out.fate = Fate::settled;
  if (possible.dead > 0) out.reason = may_be_set_aside;
  // The cursor's totals are of all tenants.
  if (!sink.line && !share.tenant.empty()) return;
  out.counts = {.delivered = possible.delivered, .dead = possible.dead};
  if (!share.tenant.empty()) return;
  out.counts->lost = possible.lost;
  out.counts->skipped = possible.skipped;
}

const RecordFacts* facts_of(const Evidence& evidence) {
  if (evidence.journal.record) return &*evidence.journal.record;
  for (const SinkEvidence& sink : evidence.sinks) {
    if (sink.letter) return &sink.letter->record;
  }
  return nullptr;
}

// The streams that a record nobody can read any more may be of: those that every line names which
// left nothing out.
std::optional<Names> names_by_lines(const Evidence& evidence, const Share& share) {
  std::optional<Names> names;
  for (const SinkEvidence& sink : evidence.sinks) {
    if (!sink.line || sink.line->skipped > 0 || sink.line->lost > 0) continue;
    Names common;
    for (const auto& [name, counts] : sink.line->streams) {
      const bool was = !names || std::ranges::binary_search(*names, std::string_view(name));
      if (was && share.may_see(name)) common.emplace_back(name);
    }
    names = std::move(common);
  }
  return names;
}

// Of a record whose owner is not known. A line that rules the tenant out has left no names.
bool may_be_of_tenant(const Evidence& evidence, const Share& share) {
  return std::ranges::any_of(evidence.sinks, [&](const SinkEvidence& sink) {
    if (!sink.line) return false;
    const Possible possible = possible_by_line(*sink.line, share);
    return possible.delivered + possible.dead > 0;
  });
}

std::string utc(Microseconds wall_us) {
  using std::chrono::floor;
  const std::chrono::sys_time<std::chrono::microseconds> at{std::chrono::microseconds(wall_us)};
  const auto day = floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(at - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count(),
                     time.subseconds().count());
}

void append_member(std::string& out, std::string_view key, std::string_view value) {
  out += fmt::format(",\"{}\":", key);
  append_json_string(out, value);
}

std::string_view word_of(Fate fate) {
  constexpr std::array<std::string_view, 6> words = {"pending",           "delivered", "dead",
                                                     "not_for_this_sink", "lost",      "settled"};
  return words[static_cast<std::size_t>(fate)];
}

void append_sink(std::string& out, const SinkReceipt& sink) {
  out += "{\"sink\":";
  append_json_string(out, sink.sink);
  append_member(out, "state", word_of(sink.fate));
  if (sink.at_us != 0) append_member(out, "at", utc(sink.at_us));
  if (sink.precision != Precision::none) {
    append_member(out, "precision", sink.precision == Precision::batch ? "batch" : "sum");
  }
  if (!sink.reason.empty()) append_member(out, "reason", sink.reason);
  if (sink.counts) {
    out += fmt::format(",\"counts\":{{\"delivered\":{},\"dead\":{}", sink.counts->delivered,
                       sink.counts->dead);
    if (sink.counts->lost) out += fmt::format(",\"lost\":{}", *sink.counts->lost);
    if (sink.counts->skipped) out += fmt::format(",\"skipped\":{}", *sink.counts->skipped);
    out += '}';
  }
  out += '}';
}

constexpr std::string_view no_store = "Cache-Control: no-store\r\n";

ReceiptAnswer problem(int status, std::string_view detail, std::string extra_lines = {}) {
  return {.status = status,
          .content_type = http::problem_content_type,
          .body = http::problem_json(status, detail),
          .extra_lines = std::move(extra_lines) + std::string(no_store),
          .detail = std::string(detail)};
}

}  // namespace

std::optional<Receipt> judge(const Evidence& evidence, std::string_view tenant) {
  const RecordFacts* const record = facts_of(evidence);
  const std::string name = record != nullptr ? record->tenant + "/" + record->stream : "";
  Share share{.tenant = tenant};
  share.names = record != nullptr ? Names{name} : names_by_lines(evidence, share);
  if (!tenant.empty()) {
    const bool is_told =
        record != nullptr ? record->tenant == tenant : may_be_of_tenant(evidence, share);
    if (!is_told) return std::nullopt;
  }
  Receipt receipt{.id = evidence.id,
                  .in_journal = evidence.journal.is == JournalEvidence::Is::readable};
  if (tenant.empty()) receipt.segment = evidence.journal.segment;
  if (record != nullptr) receipt.record = *record;
  for (const SinkEvidence& sink : evidence.sinks) {
    SinkReceipt one{.sink = sink.sink};
    if (is_settled(sink, evidence.id.sequence)) {
      judge_settled(sink, share, one);
    } else {
      judge_unsettled(sink, evidence.journal, record, one);
    }
    if (one.fate == Fate::lost && tenant.empty()) one.reason = evidence.journal.damage;
    receipt.sinks.push_back(std::move(one));
  }
  return receipt;
}

std::string receipt_json(const Receipt& receipt, std::string_view node) {
  std::string out = "{\"schema\":1";
  append_member(out, "id", record_id(receipt.id.journal_id, receipt.id.sequence));
  out += ",\"stored\":{\"node\":";
  append_json_string(out, node);
  out += fmt::format(",\"journal\":\"{:012x}\",\"sequence\":{}", receipt.id.journal_id,
                     receipt.id.sequence);
  if (receipt.segment != 0) out += fmt::format(",\"segment\":{}", receipt.segment);
  if (receipt.record) {
    append_member(out, "received_at", utc(receipt.record->received_us));
    append_member(out, "tenant", receipt.record->tenant);
    append_member(out, "stream", receipt.record->stream);
    if (receipt.record->bytes) out += fmt::format(",\"bytes\":{}", *receipt.record->bytes);
  }
  out += fmt::format(",\"in_journal\":{}}},\"sinks\":[", receipt.in_journal);
  for (const SinkReceipt& sink : receipt.sinks) {
    if (&sink != receipt.sinks.data()) out += ',';
    append_sink(out, sink);
  }
  return out + "]}\n";
}

ReceiptAnswer found_answer(const Receipt& receipt, std::string_view node) {
  return {.status = 200,
          .content_type = "application/json",
          .body = receipt_json(receipt, node),
          .extra_lines = std::string(no_store),
          .detail = {}};
}

ReceiptAnswer unknown_answer() { return problem(404, "no record with this id is known here"); }

ReceiptAnswer malformed_answer() {
  return problem(400, "a record id is 12 hex digits, a dash and 12 hex digits");
}

ReceiptAnswer other_journal_answer(std::string_view node, std::uint64_t journal_id) {
  return problem(404,
                 fmt::format("this id is of another node or an earlier journal; this is node {}, "
                             "whose ids begin with {:012x}-",
                             node, journal_id));
}

ReceiptAnswer later_answer(std::string_view why) { return problem(503, why, "Retry-After: 1\r\n"); }

}  // namespace inlet::serve
