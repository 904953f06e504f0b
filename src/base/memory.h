// memory: the one ceiling on the memory that clients can make us use.
//
// Everything whose size a client decides (read buffers, bodies, frames waiting for the disk) is
// reserved here first; when the ceiling is reached reading from sockets pauses until something is
// released. A part of it is kept from bodies, and half of that from read buffers too, so that those
// who send much cannot keep what was already received from the disk, nor small requests out.
//
// Threads: any.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace inlet {

enum class MemoryUse : std::uint8_t {
  body,    // Of a request that is too large for a read buffer.
  input,   // Read buffers.
  commit,  // Records on their way to the disk.
};

class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t bytes_max, std::size_t bytes_kept_from_bodies = 0)
      : bytes_max_(bytes_max), bytes_kept_(bytes_kept_from_bodies) {
    CHECK(bytes_kept_ <= bytes_max_);
  }
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // False, and nothing reserved, if that would pass what this use may take.
  [[nodiscard]] bool try_reserve(std::size_t bytes, MemoryUse use) {
    const std::size_t limit = bytes_max_ - kept_from(use);
    const std::size_t before = bytes_used_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= limit) return true;
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

  // Whether memory may be given out on a guess.
  [[nodiscard]] bool plentiful() const { return bytes_used() < bytes_max_ / 2; }

 private:
  [[nodiscard]] std::size_t kept_from(MemoryUse use) const {
    if (use == MemoryUse::commit) return 0;
    return use == MemoryUse::body ? bytes_kept_ : bytes_kept_ / 2;
  }

  const std::size_t bytes_max_;
  const std::size_t bytes_kept_;
  std::atomic<std::size_t> bytes_used_{0};
};

}  // namespace inlet
