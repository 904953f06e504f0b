// batch_in_hand: one batch on its way from the journal to the sink, and what is known about it.
//
// Filled while it is collected, unchanged from then on until it is settled. The arena's memory is
// used again by the batch after it.
//
// One thread.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "journal/format.h"
#include "journal/ledger.h"
#include "ship/batcher.h"
#include "ship/record_arena.h"
#include "sinks/sink.h"

namespace inlet::ship {

struct BatchInHand {
  enum class Stage : unsigned char {
    collecting,
    waiting,    // To be started, for the first time or again.
    under_way,  // The sink has it.
    delivered,  // But not settled: the dead letters, the ledger and the cursor come.
  };

  explicit BatchInHand(const BatchLimits& limits) : batcher(limits), arena(limits.batch_bytes) {}

  // Makes an empty batch of it that begins at `sequence`.
  void start_at(std::uint64_t sequence) {
    stage = Stage::collecting;
    first = end = sequence;
    behind = {.sequence = sequence};
    batcher.clear();
    arena.clear();
    body_bytes = lost = skipped = 0;
    rejected.clear();
  }

  [[nodiscard]] bool has_records() const { return !arena.records().empty(); }

  Stage stage = Stage::collecting;
  std::uint64_t first = 1;  // Sequences [first, end).
  std::uint64_t end = 1;
  journal::Position behind;  // Of the first record after it.
  Batcher batcher;
  RecordArena arena;
  std::uint64_t body_bytes = 0;
  std::uint64_t lost = 0;     // Damaged in the journal.
  std::uint64_t skipped = 0;  // Not for this sink.
  std::vector<sinks::Rejection> rejected;
};

// The ledger's line about a settled batch.
[[nodiscard]] journal::LedgerLine ledger_line(const BatchInHand& batch, Microseconds at_us);

}  // namespace inlet::ship
