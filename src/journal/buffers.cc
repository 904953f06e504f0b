#include "journal/buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "base/limits.h"

namespace inlet::journal {

BufferPool::~BufferPool() { trim(0); }

std::size_t BufferPool::size_class(std::size_t bytes_needed) {
  const std::size_t step =
      std::max<std::size_t>(std::bit_floor(bytes_needed) / 8, limits::block_bytes);
  return round_up(std::max<std::size_t>(bytes_needed, 1), step);
}

BufferPool::Shelf& BufferPool::shelf(std::size_t bytes_each) {
  for (Shelf& shelf : shelves_) {
    if (shelf.bytes_each == bytes_each) return shelf;
  }
  return shelves_.emplace_back(bytes_each);
}

Buffer BufferPool::acquire(std::size_t bytes_needed, MemoryUse use) {
  const std::size_t bytes_each = size_class(bytes_needed);
  const std::lock_guard lock(mutex_);
  Shelf& from = shelf(bytes_each);
  if (!from.kept.empty()) {
    std::byte* const memory = from.kept.back();
    from.kept.pop_back();
    bytes_kept_ -= bytes_each;
    return {*this, {memory, bytes_each}};
  }
  if (!budget_.try_reserve(bytes_each, use)) {
    trim_locked(bytes_kept_ > bytes_each ? bytes_kept_ - bytes_each : 0);
    if (!budget_.try_reserve(bytes_each, use)) return {};
  }
  void* const memory =
      ::mmap(nullptr, bytes_each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    budget_.release(bytes_each);
    return {};
  }
  return {*this, {static_cast<std::byte*>(memory), bytes_each}};
}

void BufferPool::give_back(MutableBytes bytes) {
  const std::lock_guard lock(mutex_);
  shelf(bytes.size()).kept.push_back(bytes.data());
  bytes_kept_ += bytes.size();
}

void BufferPool::trim(std::size_t bytes_kept_max) {
  const std::lock_guard lock(mutex_);
  trim_locked(bytes_kept_max);
}

void BufferPool::trim_locked(std::size_t bytes_kept_max) {
  for (Shelf& shelf : shelves_) {
    while (!shelf.kept.empty() && bytes_kept_ > bytes_kept_max) {
      CHECK(::munmap(shelf.kept.back(), shelf.bytes_each) == 0);
      shelf.kept.pop_back();
      bytes_kept_ -= shelf.bytes_each;
      budget_.release(shelf.bytes_each);
    }
  }
}

}  // namespace inlet::journal
