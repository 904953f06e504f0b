// record_arena: the records of one batch, copied out of the reader, in memory that is used again.
//
// One block of the size a batch may have; what does not fit any more (the last record of a batch,
// or a repeated batch planned under larger limits) gets memory of its own until clear().
//
// One thread.

#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "journal/format.h"
#include "sinks/sink.h"

namespace inlet::ship {

class RecordArena {
 public:
  explicit RecordArena(std::size_t block_bytes);
  RecordArena(const RecordArena&) = delete;
  RecordArena& operator=(const RecordArena&) = delete;

  // Copies a record; returns the bytes it takes. The copy lives until clear().
  std::size_t add(const journal::Record& record);
  void clear();

  [[nodiscard]] std::span<const sinks::Record> records() const { return records_; }

 private:
  [[nodiscard]] std::byte* copy(const void* from, std::size_t bytes);
  [[nodiscard]] std::string_view copy(std::string_view text);

  const std::size_t block_bytes_;
  std::unique_ptr<std::byte[]> block_;
  std::size_t used_bytes_ = 0;
  std::vector<std::unique_ptr<std::byte[]>> overflow_;
  std::vector<sinks::Record> records_;
};

}  // namespace inlet::ship
