// file_contents: what one simulated file holds, and what a power cut may leave of it.
//
// Two images: what a reader sees now, and what is on stable storage. Between them stands the list
// of changes not known to be flushed. A power cut decides about each of them by itself: kept, lost
// or torn at 512-byte sectors (optionally with garbage where the tear is), and separately whether
// the growth of the file it caused is kept. That is the least POSIX promises.
//
// Invariants:
//   - a change that was flushed survives every power cut, and is not covered by an earlier one.
//   - after a failed flush the changes it should have covered are abandoned: readers still see
//     them, later flushes succeed, and only luck saves them at a power cut (what Linux does with
//     its page cache). Direct writes do not pass through that cache: what is read back is what the
//     device holds, and a later flush covers it.
//
// One thread.

#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "sim/random.h"
#include "sim/sparse_bytes.h"

namespace inlet::sim {

// How merciful one power cut is; each crash draws its own.
struct Mercy {
  double kept;         // Probability that an unflushed change is kept whole,
  double torn;         // and that one not kept whole is torn instead of lost.
  double growth_kept;  // Probability that growth of a file by an unflushed change is kept.
  double name_kept;    // Probability that an unsynced directory entry is kept.
  bool garbage;        // Whether sectors of a torn write may hold neither old nor new bytes.
};

inline constexpr std::uint64_t sector_bytes = 512;

class FileContents {
 public:
  FileContents() = default;
  explicit FileContents(const SparseBytes& flushed) : seen_(flushed), stable_(flushed) {}

  [[nodiscard]] const SparseBytes& seen() const { return seen_; }

  void write(Bytes bytes, std::uint64_t offset, bool flushed);
  void truncate(std::uint64_t size);
  void flush();
  void flush_failed();
  // A write that failed: any of its sectors may have been written.
  void write_failed(Bytes bytes, std::uint64_t offset, bool direct, Random& random);

  void lose_power(Random& random, const Mercy& mercy);

  // Damage to a disk at rest: changes both images.
  void overwrite(Bytes bytes, std::uint64_t offset);
  void cut(std::uint64_t size);

 private:
  enum class Fate : unsigned char { open, flushed, abandoned };
  struct Change {
    bool truncates;  // To `offset` bytes; else a write.
    std::uint64_t offset;
    std::uint64_t length;
    std::vector<std::byte> bytes;  // Empty: zeros.
    Fate fate;
  };

  static void apply(const Change& change, SparseBytes& image);
  static void tear(const Change& change, SparseBytes& image, Random& random, bool garbage);
  void add(Change change);
  void settle();  // Moves changes that no earlier one keeps open to stable storage.

  SparseBytes seen_;
  SparseBytes stable_;
  std::deque<Change> changes_;
};

}  // namespace inlet::sim
