#include "sim/file_contents.h"

#include <algorithm>
#include <array>
#include <utility>

namespace inlet::sim {

void FileContents::apply(const Change& change, SparseBytes& image) {
  if (change.truncates) {
    image.cut(change.offset);
    return;
  }
  if (change.bytes.empty()) {
    image.write_zeros(change.length, change.offset);
  } else {
    image.write(change.bytes, change.offset);
  }
}

void FileContents::add(Change change) {
  apply(change, seen_);
  if (!change.truncates) seen_.grow(change.offset + change.length);
  changes_.push_back(std::move(change));
  settle();
}

void FileContents::settle() {
  while (!changes_.empty() && changes_.front().fate == Fate::flushed) {
    const Change& change = changes_.front();
    apply(change, stable_);
    if (!change.truncates) stable_.grow(change.offset + change.length);
    changes_.pop_front();
  }
}

void FileContents::write(Bytes bytes, std::uint64_t offset, bool flushed) {
  Change change{.truncates = false,
                .offset = offset,
                .length = bytes.size(),
                .bytes = {},
                .fate = flushed ? Fate::flushed : Fate::open};
  if (!all_zeros(bytes)) change.bytes.assign(bytes.begin(), bytes.end());
  add(std::move(change));
}

void FileContents::truncate(std::uint64_t size) {
  add({.truncates = true, .offset = size, .length = 0, .bytes = {}, .fate = Fate::open});
}

void FileContents::flush() {
  for (Change& change : changes_) {
    if (change.fate == Fate::open) change.fate = Fate::flushed;
  }
  settle();
}

void FileContents::flush_failed() {
  for (Change& change : changes_) {
    if (change.fate == Fate::open) change.fate = Fate::abandoned;
  }
}

void FileContents::write_failed(Bytes bytes, std::uint64_t offset, bool direct, Random& random) {
  const double written = std::array{0.0, 0.5, 1.0}[random.below(3)];
  const std::uint64_t end = offset + bytes.size();
  for (std::uint64_t at = offset; at < end;) {
    const std::uint64_t next = std::min(round_down(at, sector_bytes) + sector_bytes, end);
    if (random.chance(written)) {
      write(bytes.subspan(at - offset, next - at), at, false);
      if (!direct) changes_.back().fate = Fate::abandoned;
    }
    at = next;
  }
}

void FileContents::tear(const Change& change, SparseBytes& image, Random& random, bool garbage) {
  const double written = std::array{0.1, 0.5, 0.9}[random.below(3)];
  const std::uint64_t end = change.offset + change.length;
  std::array<std::byte, sector_bytes> sector;
  for (std::uint64_t at = change.offset; at < end;) {
    const std::uint64_t next = std::min(round_down(at, sector_bytes) + sector_bytes, end);
    const MutableBytes piece = MutableBytes(sector).first(next - at);
    if (garbage && random.chance(0.1)) {
      for (std::byte& byte : piece) byte = static_cast<std::byte>(random.next());
      image.write(piece, at);
    } else if (random.chance(written)) {
      if (change.bytes.empty()) {
        image.write_zeros(piece.size(), at);
      } else {
        image.write(Bytes(change.bytes).subspan(at - change.offset, piece.size()), at);
      }
    }
    at = next;
  }
}

void FileContents::lose_power(Random& random, const Mercy& mercy) {
  SparseBytes left = std::move(stable_);
  for (const Change& change : changes_) {
    const bool flushed = change.fate == Fate::flushed;
    if (flushed || random.chance(mercy.kept)) {
      apply(change, left);
    } else if (!change.truncates && random.chance(mercy.torn)) {
      tear(change, left, random, mercy.garbage);
    }
    if (!change.truncates && (flushed || random.chance(mercy.growth_kept))) {
      left.grow(change.offset + change.length);
    }
  }
  left.cut(left.size());
  changes_.clear();
  stable_ = left;
  seen_ = std::move(left);
}

void FileContents::overwrite(Bytes bytes, std::uint64_t offset) {
  stable_.write(bytes, offset);
  seen_.write(bytes, offset);
}

void FileContents::cut(std::uint64_t size) {
  stable_.cut(size);
  seen_.cut(size);
}

}  // namespace inlet::sim
