#include "http/input.h"

#include <cstring>
#include <utility>

#include "base/check.h"
#include "http/options.h"

namespace inlet::http {

using limits::read_buffer_bytes_large;
using limits::read_buffer_bytes_small;

BufferPool::~BufferPool() {
  memory_.release(small_.size() * read_buffer_bytes_small);
  memory_.release(large_.size() * read_buffer_bytes_large);
}

ReadBuffer BufferPool::take(std::size_t capacity) {
  CHECK(capacity == read_buffer_bytes_small || capacity == read_buffer_bytes_large);
  Spares& free = spares(capacity);
  if (!free.empty()) {
    ReadBuffer buffer{std::move(free.back()), capacity};
    free.pop_back();
    return buffer;
  }
  if (!memory_.try_reserve(capacity, MemoryUse::input)) return {};
  return {std::make_unique_for_overwrite<std::byte[]>(capacity), capacity};
}

void BufferPool::give_back(ReadBuffer buffer) {
  Spares& free = spares(buffer.capacity);
  const bool small = buffer.capacity == read_buffer_bytes_small;
  if (free.size() < (small ? spare_small_buffers_max : spare_large_buffers_max)) {
    free.push_back(std::move(buffer.bytes));
    return;
  }
  memory_.release(buffer.capacity);
}

bool Input::make_room(BufferPool& pool) {
  if (!buffer_.bytes) {
    if (std::exchange(needed_large_, false) && pool.plentiful()) {
      buffer_ = pool.take(read_buffer_bytes_large);
      if (buffer_.bytes) return true;
    }
    buffer_ = pool.take(read_buffer_bytes_small);
    return buffer_.bytes != nullptr;
  }
  if (begin_ != 0) {
    std::memmove(buffer_.bytes.get(), buffer_.bytes.get() + begin_, size());
    end_ = size();
    begin_ = 0;
  }
  if (end_ < buffer_.capacity) return true;
  CHECK(buffer_.capacity == read_buffer_bytes_small);
  ReadBuffer large = pool.take(read_buffer_bytes_large);
  if (!large.bytes) return false;
  std::memcpy(large.bytes.get(), buffer_.bytes.get(), end_);
  pool.give_back(std::exchange(buffer_, std::move(large)));
  return true;
}

void Input::drop_front(std::size_t count) {
  CHECK(count <= size());
  begin_ += count;
  if (begin_ == end_) begin_ = end_ = 0;
}

void Input::keep_front(std::size_t count) {
  CHECK(count <= size());
  end_ = begin_ + count;
}

void Input::cut(std::size_t from, std::size_t count) {
  CHECK(from + count <= size());
  std::byte* const hole = buffer_.bytes.get() + begin_ + from;
  std::memmove(hole, hole + count, size() - from - count);
  end_ -= count;
}

void Input::release(BufferPool& pool) {
  begin_ = end_ = 0;
  if (buffer_.bytes) pool.give_back(std::exchange(buffer_, {}));
}

}  // namespace inlet::http
