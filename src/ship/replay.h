// replay: delivers a range of the journal to a sink again, beside the running shipper.
//
// Only records that the sink's cursor has passed and that are still in the journal (delivered
// segments stay for journal.retain). The cursor and the ledger do not move.
//
// A sink that replaces (sink.h) gets whole batches of the first delivery, as the ledger names them:
// objects that are missing come back, the others are written once more, and nothing is there twice.
// Where the ledger knows them no more or damage has made them smaller, and with every other sink,
// records go out in batches named NODE-replay-FIRST-LAST, which take no other's place. Records the
// sink will not take go to the dead letters, as ever.
//
// One thread.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "journal/ledger.h"
#include "ship/batcher.h"
#include "ship/courier.h"
#include "ship/dead_letters.h"
#include "ship/record_source.h"

namespace inlet::ship {

struct ReplayOptions {
  std::string node;
  std::vector<std::string> streams = {"*"};  // Patterns; others are left out.
  BatchLimits batch;
  Microseconds from_us = 0;  // Of received_at: [from_us, to_us).
  Microseconds to_us = 0;
  bool replaces = false;  // The sink does.
};

struct ReplaySummary {
  std::uint64_t records = 0;
  std::uint64_t batches = 0;
  std::uint64_t dead = 0;
  std::uint64_t damaged = 0;          // Records that could not be read.
  std::uint64_t oldest_sequence = 0;  // Of the journal; what is older cannot be delivered.
  Microseconds oldest_us = 0;         // When it was received; 0: the journal is empty.
  bool stopped = false;
};

using OnReplayed = std::function<void(std::uint64_t sequences_done, std::uint64_t sequences)>;

// `end_sequence`: where the sink's cursor stands.
[[nodiscard]] Result<ReplaySummary> replay(RecordSource& source, std::uint64_t end_sequence,
                                           const std::vector<journal::LedgerLine>& ledger,
                                           Courier& courier, DeadLetters& dead_letters,
                                           const ReplayOptions& options,
                                           const OnReplayed& on_replayed);

}  // namespace inlet::ship
