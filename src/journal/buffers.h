// buffers: pooled, block-aligned memory for bodies on their way to disk.
//
// Bodies are read from sockets straight into these and written from them with O_DIRECT, so a large
// body is never copied. Pages stay with the pool between uses: a fresh 256 KiB would cost 64 page
// faults a request. All of it, in use or kept for reuse, is reserved from the MemoryBudget.
//
// Threads: a BufferPool may be used from any; a Buffer has one owner at a time.

#pragma once

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/memory.h"

namespace inlet::journal {

class BufferPool;

// Owns one piece of a pool's memory, aligned to a block; gives it back when destroyed. The pool
// outlives it. Contents are whatever was there before.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer() { reset(); }

  explicit operator bool() const { return pool_ != nullptr; }
  [[nodiscard]] MutableBytes bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  void reset();

 private:
  friend class BufferPool;
  Buffer(BufferPool& pool, MutableBytes bytes) : pool_(&pool), bytes_(bytes) {}

  BufferPool* pool_ = nullptr;
  MutableBytes bytes_;
};

class BufferPool {
 public:
  explicit BufferPool(MemoryBudget& budget) : budget_(budget) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  // At least `bytes_needed`; empty if the budget has no room even after giving up what is kept.
  [[nodiscard]] Buffer acquire(std::size_t bytes_needed, MemoryUse use = MemoryUse::commit);
  [[nodiscard]] bool plentiful() const { return budget_.plentiful(); }

  // Returns memory that is kept for reuse to the system until at most `bytes_kept_max` are kept.
  void trim(std::size_t bytes_kept_max);

  // What acquire(bytes_needed) takes from the budget: rounded up by at most an eighth.
  [[nodiscard]] static std::size_t size_class(std::size_t bytes_needed);

 private:
  friend class Buffer;
  void give_back(MutableBytes bytes);
  void trim_locked(std::size_t bytes_kept_max);

  struct Shelf {
    std::size_t bytes_each;
    std::vector<std::byte*> kept;  // Last in, first out: the warmest pages go first.
  };
  Shelf& shelf(std::size_t bytes_each);

  MemoryBudget& budget_;
  std::mutex mutex_;
  std::vector<Shelf> shelves_;  // Few: one per size class in use.
  std::size_t bytes_kept_ = 0;
};

inline void Buffer::reset() {
  if (pool_ != nullptr) pool_->give_back(bytes_);
  pool_ = nullptr;
  bytes_ = {};
}

}  // namespace inlet::journal
