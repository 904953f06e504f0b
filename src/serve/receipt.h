// receipt: what is known of one record: where it is stored, and what became of it at each sink.
//
// The evidence (journal, ledgers, cursors, dead letters, damage logs) is gathered elsewhere
// (receipt_book.h); here it is judged, for an operator or for a tenant, and put into words. Where
// the books hold only counts, and these leave several fates possible, the receipt says `settled`
// and shows the counts: it never guesses.
//
// What a tenant is told:
//   - of a record that can be read, or that a dead letter holds: everything if it is the tenant's
//     own, nothing if not.
//   - of another: only if the ledger line it fell into counts records of the tenant, and no line
//     rules out that it is the tenant's. Of a foreign id, a tenant may so learn that a batch which
//     also held records of its own was settled, and when; nothing else.
//   - never a segment, a file name, what damage looked like, or counts that are not its own.
//
// Pure; any thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "base/result.h"
#include "base/time.h"
#include "journal/cursor.h"
#include "journal/ledger.h"

namespace inlet::serve {

// ---- Evidence.

struct RecordFacts {
  std::string tenant;
  std::string stream;
  Microseconds received_us = 0;
  std::optional<std::uint64_t> bytes;  // Of the body.

  bool operator==(const RecordFacts&) const = default;
};

struct JournalEvidence {
  enum class Is : std::uint8_t {
    readable,
    damaged,
    gone,  // Its segment was recycled.
  };
  Is is = Is::gone;
  std::uint64_t segment = 0;          // Of a readable record.
  std::optional<RecordFacts> record;  // The same.
  std::string damage;                 // Why it cannot be read.
};

struct Letter {
  RecordFacts record;
  std::string reason;
};

struct SinkEvidence {
  std::string sink;
  std::vector<std::string> streams;         // Patterns of those that go to the sink.
  std::uint64_t next_sequence = 1;          // Its cursor's, in this journal.
  journal::CursorState totals;              // The same cursor's counts.
  std::optional<journal::LedgerLine> line;  // The one the record fell into.
  enum class Damage : std::uint8_t { listed, not_listed, unknown };
  Damage damage = Damage::unknown;  // What the sink's damage log says of the record.
  std::optional<Letter> letter;
  bool letters_whole = false;  // Every dead letter of the line's batch is still there.
};

struct Evidence {
  RecordId id{};
  JournalEvidence journal;
  std::vector<SinkEvidence> sinks;
};

// ---- Judgement.

enum class Fate : std::uint8_t {
  pending,
  delivered,
  dead,
  not_for_this_sink,
  lost,     // To damage in the journal.
  settled,  // The sink is past it; the counts say how it may have gone.
};

// What the time and the fate rest on.
enum class Precision : std::uint8_t { none, batch, sum };

struct SinkReceipt {
  std::string sink;
  Fate fate = Fate::pending;
  Microseconds at_us = 0;  // When it was settled, of a sum at the latest; 0: not known.
  Precision precision = Precision::none;
  std::string reason;
  struct Counts {
    std::uint64_t delivered = 0;
    std::uint64_t dead = 0;
    std::optional<std::uint64_t> lost;
    std::optional<std::uint64_t> skipped;
  };
  std::optional<Counts> counts;  // Of a `settled` one.
};

struct Receipt {
  RecordId id{};
  bool in_journal = false;
  std::uint64_t segment = 0;  // 0: not told.
  std::optional<RecordFacts> record;
  std::vector<SinkReceipt> sinks;
};

// `tenant`: who asks; "" is an operator. Empty: the asker is not to be told that it exists.
[[nodiscard]] std::optional<Receipt> judge(const Evidence& evidence, std::string_view tenant);

// {"schema":1,"id","stored":{...},"sinks":[...]}, one line.
[[nodiscard]] std::string receipt_json(const Receipt& receipt, std::string_view node);

// ---- Questions and answers.

inline constexpr std::string_view receipts_prefix = "/receipts/";

struct ReceiptQuestion {
  RecordId id{};
  std::string tenant;               // Who asks; "": an operator.
  std::uint64_t next_sequence = 0;  // First not yet given out; 0: as the commit mark says.
};

struct ReceiptAnswer {
  int status = 200;
  std::string_view content_type;  // Lives for ever.
  std::string body;
  std::string extra_lines;
  std::string detail;  // What a problem's body says, as a sentence.
};

[[nodiscard]] ReceiptAnswer found_answer(const Receipt& receipt, std::string_view node);
// Nothing is said of the id itself, and the same to all, so that it tells nobody anything.
[[nodiscard]] ReceiptAnswer unknown_answer();
[[nodiscard]] ReceiptAnswer malformed_answer();
[[nodiscard]] ReceiptAnswer other_journal_answer(std::string_view node, std::uint64_t journal_id);
// 503 with Retry-After.
[[nodiscard]] ReceiptAnswer later_answer(std::string_view why);

}  // namespace inlet::serve
