// input: the read buffer of a connection, and the pool such buffers come from.
//
// An idle connection has no buffer. It gets a small one when bytes arrive, exchanges it for a large
// one if a request needs that, and gives it back when it has nothing left to read. A connection
// whose last request needed the large one starts with it, while memory is plentiful. Two sizes
// only, so that a free list each is all the pool needs.
//
// Invariants:
//   - every buffer, lent or spare, is reserved in the MemoryBudget.
//   - bytes() is contiguous, whatever was consumed or grown.
//
// Threads: one; a pool per loop.

#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/memory.h"

namespace inlet::http {

struct ReadBuffer {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t capacity = 0;
};

class BufferPool {
 public:
  explicit BufferPool(MemoryBudget& memory) : memory_(memory) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  // `capacity` is one of the two sizes. Null bytes: no memory now.
  [[nodiscard]] ReadBuffer take(std::size_t capacity);
  void give_back(ReadBuffer buffer);
  [[nodiscard]] bool plentiful() const { return memory_.plentiful(); }

 private:
  using Spares = std::vector<std::unique_ptr<std::byte[]>>;
  Spares& spares(std::size_t capacity) {
    return capacity == limits::read_buffer_bytes_small ? small_ : large_;
  }

  MemoryBudget& memory_;
  Spares small_;
  Spares large_;
};

class Input {
 public:
  [[nodiscard]] MutableBytes bytes() const { return {buffer_.bytes.get() + begin_, end_ - begin_}; }
  [[nodiscard]] std::size_t size() const { return end_ - begin_; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }

  // Makes room for reading behind bytes(), moving or growing the buffer if need be. False: there is
  // no memory. The large buffer may not be full.
  [[nodiscard]] bool make_room(BufferPool& pool);
  [[nodiscard]] MutableBytes room() const {
    return {buffer_.bytes.get() + end_, buffer_.capacity - end_};
  }
  void added(std::size_t count) {
    end_ += count;
    if (end_ - begin_ > limits::read_buffer_bytes_small) needed_large_ = true;
  }

  void drop_front(std::size_t count);
  // Drops all behind the first `count` bytes.
  void keep_front(std::size_t count);
  // Drops `count` bytes after the first `from`.
  void cut(std::size_t from, std::size_t count);

  void release(BufferPool& pool);

 private:
  ReadBuffer buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool needed_large_ = false;  // The last time there was a buffer.
};

}  // namespace inlet::http
