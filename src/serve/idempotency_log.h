// idempotency_log: the file `idempotency` of the journal's directory: settled keys, and how far
// they are complete.
//
// A sequence of blocks on boundaries of 4096 bytes, little-endian, each all that one write added:
//
//    0  u64 magic "INLETIDM"        8  u32 version            12  u32 crc of bytes 0..11, 16..end
//   16  u64 journal id             24  u64 offset of this block in the file
//   32  u64 complete to            40  u32 entries            44  u32 0
//   48  the secret of the journal's keys (16 bytes, the same in every block)
//   64  entries of 44 bytes: key (16), body (16), u48 sequence, u48 received, ms; then zeros
//
// Keys of records before `complete to` are all in this block or before it, but for those that were
// older than the window or more than the table holds; keys from there on may be in the file or not
// and are read from the journal. A block is valid if its crc, journal id and offset are right, and
// its secret is that of the first valid one.
//
// A block is flushed before the next is written, so after a crash at most the last is torn. An
// invalid block with valid ones behind it is damage: stepped over and counted. With damage at the
// end the file only says less: the journal tells the rest. Nothing in the file is an error.
//
// A file that failed a write is not written again, and one that has grown to twice what it needs is
// not gone on with either: a new one with all the table holds is written beside it, flushed, and
// renamed over it.
//
// One thread.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "serve/idempotency_key.h"
#include "serve/idempotency_table.h"

namespace inlet::serve {

class IdempotencyLog {
 public:
  IdempotencyLog(FileSystem& files, const std::string& journal_directory, std::uint64_t journal_id);

  struct Loaded {
    IdempotencySecret secret;
    std::uint64_t complete_to = 1;
    std::uint64_t entries = 0;
    std::uint64_t stretches_damaged = 0;  // Between blocks that can be read.
  };
  // Gives every entry of the file in order and makes sure it is on stable storage. Entries from
  // `next_sequence` on are of records that the journal lost, and left out. Empty: there is no file
  // of this journal.
  [[nodiscard]] Result<std::optional<Loaded>> read(
      std::uint64_t next_sequence, const std::function<void(const IdempotencyEntry&)>& each);

  // True if append() can go on with the file there is; else a rewrite() is due.
  [[nodiscard]] bool is_open() const { return file_ != nullptr; }
  // Writes and flushes a round; returns what is now complete. After an error the file is closed.
  [[nodiscard]] Result<std::uint64_t> append(IdempotencyTable::Collection round);
  // The same, of a round of everything, to a new file that takes the place of the old.
  [[nodiscard]] Result<std::uint64_t> rewrite(IdempotencyTable::Collection round,
                                              const IdempotencySecret& secret);

  [[nodiscard]] std::uint64_t bytes() const { return end_; }
  // Half of the file is of no use, and it is not small.
  [[nodiscard]] bool overgrown(std::uint64_t keys_held) const;

 private:
  struct Block;
  [[nodiscard]] std::optional<Block> read_block(File& file, std::uint64_t offset,
                                                std::uint64_t file_bytes);
  [[nodiscard]] Status write_round(File& file, std::uint64_t& end,
                                   IdempotencyTable::Collection& round);
  void seal(MutableBytes block, std::uint64_t offset, std::size_t entries,
            std::uint64_t complete_to) const;

  FileSystem& files_;
  const std::string directory_;
  const std::string path_;
  const std::uint64_t journal_id_;
  IdempotencySecret secret_{};
  std::unique_ptr<File> file_;
  std::uint64_t end_ = 0;          // Where the next block goes.
  std::uint64_t complete_to_ = 1;  // By the last block.
  std::vector<std::byte> buffer_;  // One block; kept between writes.
};

inline constexpr std::string_view idempotency_file_name = "idempotency";

}  // namespace inlet::serve
