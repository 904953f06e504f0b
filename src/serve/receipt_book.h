// receipt_book: gathers from this node's files what a receipt rests on (receipt.h).
//
// The journal is read first, the sinks' files after it: a record that is gone was passed by every
// sink, so what is read later cannot contradict it. Within a sink the cursor is read before the
// ledger, whose line is always there first.
//
// Bounded: the catalog and, at worst, all of one segment to find a record; of each ledger, damage
// log and folder of dead letters no more than the limits below. Nothing is kept between questions.
//
// Reads only. Blocks on the disk: never on an event loop. One thread at a time.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/memory.h"
#include "serve/receipt.h"

namespace inlet::serve {

struct ReceiptSink {
  std::string name;
  std::vector<std::string> streams;  // Patterns.
};

struct ReceiptOptions {
  std::string journal_directory;
  std::string dead_directory;  // Each sink has a folder of its name in it.
  std::string node;
  std::vector<ReceiptSink> sinks;
  std::uint64_t body_bytes_max = 16U << 20;  // Of a record, for the memory to reserve.
};

class ReceiptBook {
 public:
  // `files` and `memory` (null: unlimited) outlive the book.
  ReceiptBook(FileSystem& files, std::uint64_t journal_id, ReceiptOptions options,
              MemoryBudget* memory = nullptr);

  // What can be answered without looking at a file. Any thread.
  [[nodiscard]] std::optional<ReceiptAnswer> answer_at_once(const ReceiptQuestion& question) const;
  [[nodiscard]] ReceiptAnswer answer(const ReceiptQuestion& question);

  static constexpr std::uint64_t damage_log_bytes_max = 1U << 20;
  static constexpr std::uint64_t letters_bytes_max = 256U << 20;  // Read through for one receipt.
  // Memory reserved for a lookup: this and one record, but of all there is no more than one part in
  // memory_share, so that small nodes answer too.
  static constexpr std::size_t lookup_bytes = 12U << 20;
  static constexpr std::size_t memory_share = 4;

 private:
  [[nodiscard]] std::size_t bytes_to_reserve() const;
  [[nodiscard]] Result<ReceiptAnswer> look_up(const ReceiptQuestion& question);
  [[nodiscard]] Result<JournalEvidence> look_into_journal(std::uint64_t sequence);
  [[nodiscard]] Result<SinkEvidence> look_at_sink(const ReceiptSink& sink, std::uint64_t sequence);
  [[nodiscard]] SinkEvidence::Damage look_into_damage_log(const std::string& sink,
                                                          std::uint64_t sequence);

  FileSystem& files_;
  const std::uint64_t journal_id_;
  const ReceiptOptions options_;
  MemoryBudget* const memory_;
};

}  // namespace inlet::serve
