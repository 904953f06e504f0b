// scanner: looks at the bytes of one segment and says what stands where.
//
// Reads through a window of its own, past the page cache where the file was opened so. Knows
// nothing of order, commits or acknowledgement: recovery and reader decide what to make of it.
//
// One thread.

#pragma once

#include <cstdint>
#include <optional>

#include "base/file.h"
#include "journal/buffers.h"
#include "journal/format.h"

namespace inlet::journal {

class Scanner {
 public:
  // Scans the part of `file` below `end_offset`. The file outlives the scanner.
  Scanner(File& file, std::uint64_t salt, std::uint64_t segment, std::uint64_t end_offset);

  struct Frame {
    FrameHeader header;
    bool payload_intact;
    Bytes payload;  // Until the next call.
  };

  // The frame whose header stands at `offset` and belongs there (format.h, rules 1 to 3); empty if
  // there is none.
  [[nodiscard]] Result<std::optional<Frame>> frame_at(std::uint64_t offset);

  // The first offset >= `from` (a multiple of frame_alignment) at which a header that belongs there
  // stands, with a sequence of at least `sequence_min`; empty if there is none.
  [[nodiscard]] Result<std::optional<std::uint64_t>> find(std::uint64_t from,
                                                          std::uint64_t sequence_min);

  // Raw bytes, fewer at the end.
  [[nodiscard]] Result<Bytes> bytes_at(std::uint64_t offset, std::uint64_t length) {
    return window(offset, length);
  }

  // The limit may grow while the segment is being written.
  void set_end(std::uint64_t end_offset) { end_offset_ = end_offset; }
  [[nodiscard]] std::uint64_t end() const { return end_offset_; }

 private:
  // Bytes [offset, offset + length) of the file; fewer at its end.
  [[nodiscard]] Result<Bytes> window(std::uint64_t offset, std::uint64_t length);
  // read_at(), but blocks the disk cannot read come back as zeros, which are never a frame.
  [[nodiscard]] Result<std::size_t> read(MutableBytes out, std::uint64_t offset);
  [[nodiscard]] bool belongs(const FrameHeader& header, std::uint64_t offset) const;

  File& file_;
  const std::uint64_t salt_;
  const std::uint64_t segment_;
  std::uint64_t end_offset_;

  MemoryBudget budget_{SIZE_MAX};  // Bounded by the largest record, not by clients.
  BufferPool pool_{budget_};
  Buffer buffer_;
  std::uint64_t window_offset_ = 0;
  std::uint64_t window_bytes_ = 0;
};

// Opens a file for reading, past the page cache if the file system can.
[[nodiscard]] Result<std::unique_ptr<File>> open_for_scan(FileSystem& files,
                                                          const std::string& path);

}  // namespace inlet::journal
