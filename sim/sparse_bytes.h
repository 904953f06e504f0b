// sparse_bytes: the bytes of a simulated file, in pages, where pages of zeros take no memory.
//
// Journals are zero-filled ahead, so nearly all of a simulated disk is zeros; a run of the
// simulator must cost what it writes, not what it reserves. Bytes may stand beyond size(): after a
// crash a write can have reached the disk while the growth it caused has not; cut() drops them.
//
// A value: copies are deep. One thread.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"

namespace inlet::sim {

class SparseBytes {
 public:
  static constexpr std::uint64_t page_bytes = 4096;

  SparseBytes() = default;
  SparseBytes(const SparseBytes& other);
  SparseBytes& operator=(const SparseBytes& other);
  SparseBytes(SparseBytes&&) noexcept = default;
  SparseBytes& operator=(SparseBytes&&) noexcept = default;
  ~SparseBytes() = default;

  [[nodiscard]] std::uint64_t size() const { return size_; }
  void grow(std::uint64_t size) { size_ = size > size_ ? size : size_; }
  // Sets the size to `size` and drops whatever stands beyond it.
  void cut(std::uint64_t size);

  // Does not change size().
  void write(Bytes bytes, std::uint64_t offset);
  void write_zeros(std::uint64_t bytes, std::uint64_t offset);
  // Zeros where nothing was written.
  void read(MutableBytes out, std::uint64_t offset) const;

  // What a file system would have handed out: written pages, also those of zeros.
  [[nodiscard]] std::uint64_t allocated_bytes() const;
  // How much of a write of `bytes` at `offset` fits if only `free_bytes` more may be allocated.
  [[nodiscard]] std::uint64_t fitting(std::uint64_t bytes, std::uint64_t offset,
                                      std::uint64_t free_bytes) const;

 private:
  struct Page {
    std::unique_ptr<std::array<std::byte, page_bytes>> bytes;  // Null: zeros.
    bool allocated = false;
  };
  Page& allocate(std::uint64_t index);

  std::vector<Page> pages_;
  std::uint64_t size_ = 0;
};

// True if every byte is zero.
[[nodiscard]] bool all_zeros(Bytes bytes);

}  // namespace inlet::sim
