#include "sim/sparse_bytes.h"

#include <algorithm>

namespace inlet::sim {

bool all_zeros(Bytes bytes) {
  if (bytes.empty()) return true;
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

SparseBytes::SparseBytes(const SparseBytes& other) : size_(other.size_) {
  pages_.resize(other.pages_.size());
  for (std::size_t index = 0; index < pages_.size(); index++) {
    const Page& from = other.pages_[index];
    pages_[index].allocated = from.allocated;
    if (!from.bytes) continue;
    pages_[index].bytes = std::make_unique<std::array<std::byte, page_bytes>>(*from.bytes);
  }
}

SparseBytes& SparseBytes::operator=(const SparseBytes& other) {
  if (this != &other) *this = SparseBytes(other);
  return *this;
}

void SparseBytes::cut(std::uint64_t size) {
  const std::uint64_t pages_kept = round_up(size, page_bytes) / page_bytes;
  if (pages_.size() > pages_kept) pages_.resize(pages_kept);
  const std::uint64_t tail = size % page_bytes;
  if (tail != 0 && pages_.size() == pages_kept && pages_.back().bytes) {
    auto& last = *pages_.back().bytes;
    std::fill(last.begin() + static_cast<std::ptrdiff_t>(tail), last.end(), std::byte{0});
  }
  size_ = size;
}

SparseBytes::Page& SparseBytes::allocate(std::uint64_t index) {
  if (index >= pages_.size()) pages_.resize(index + 1);
  pages_[index].allocated = true;
  return pages_[index];
}

void SparseBytes::write(Bytes bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const std::uint64_t start = offset % page_bytes;
    const std::size_t length = std::min<std::size_t>(bytes.size(), page_bytes - start);
    Page& page = allocate(offset / page_bytes);
    const Bytes piece = bytes.first(length);
    if (!page.bytes && !all_zeros(piece)) {
      page.bytes = std::make_unique<std::array<std::byte, page_bytes>>();
      page.bytes->fill(std::byte{0});
    }
    if (page.bytes) std::memcpy(page.bytes->data() + start, piece.data(), length);
    bytes = bytes.subspan(length);
    offset += length;
  }
}

void SparseBytes::write_zeros(std::uint64_t bytes, std::uint64_t offset) {
  while (bytes > 0) {
    const std::uint64_t start = offset % page_bytes;
    const std::uint64_t length = std::min(bytes, page_bytes - start);
    Page& page = allocate(offset / page_bytes);
    if (length == page_bytes) page.bytes.reset();
    if (page.bytes) std::memset(page.bytes->data() + start, 0, length);
    bytes -= length;
    offset += length;
  }
}

void SparseBytes::read(MutableBytes out, std::uint64_t offset) const {
  while (!out.empty()) {
    const std::uint64_t start = offset % page_bytes;
    const std::size_t length = std::min<std::size_t>(out.size(), page_bytes - start);
    const std::uint64_t index = offset / page_bytes;
    if (index < pages_.size() && pages_[index].bytes) {
      std::memcpy(out.data(), pages_[index].bytes->data() + start, length);
    } else {
      std::memset(out.data(), 0, length);
    }
    out = out.subspan(length);
    offset += length;
  }
}

std::uint64_t SparseBytes::allocated_bytes() const {
  const auto pages = std::ranges::count(pages_, true, &Page::allocated);
  return page_bytes * static_cast<std::uint64_t>(pages);
}

std::uint64_t SparseBytes::fitting(std::uint64_t bytes, std::uint64_t offset,
                                   std::uint64_t free_bytes) const {
  const std::uint64_t end = offset + bytes;
  for (std::uint64_t at = offset; at < end; at = round_down(at, page_bytes) + page_bytes) {
    const std::uint64_t index = at / page_bytes;
    if (index < pages_.size() && pages_[index].allocated) continue;
    if (free_bytes < page_bytes) return at - offset;
    free_bytes -= page_bytes;
  }
  return bytes;
}

}  // namespace inlet::sim
