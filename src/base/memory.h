// memory: the one ceiling on the memory that clients can make us use.
//
// Everything whose size a client decides (read buffers, bodies, frames waiting for the disk) is
// reserved here first; when the ceiling is reached reading from sockets pauses until something is
// released. Threads: any.

#pragma once

#include <atomic>
#include <cstddef>

#include "base/check.h"

namespace inlet {

class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // False, and nothing reserved, if that would pass the ceiling.
  [[nodiscard]] bool try_reserve(std::size_t bytes) {
    const std::size_t before = bytes_used_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= bytes_max_) return true;
    bytes_used_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }

  void release(std::size_t bytes) {
    const std::size_t before = bytes_used_.fetch_sub(bytes, std::memory_order_relaxed);
    CHECK(before >= bytes);
  }

  [[nodiscard]] std::size_t bytes_used() const {
    return bytes_used_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t bytes_max() const { return bytes_max_; }

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> bytes_used_{0};
};

}  // namespace inlet
