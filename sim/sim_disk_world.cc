// The side of SimDisk that tests hold: crashes, faults, and looks and hands from outside.

#include "sim/sim_disk.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace inlet::sim {
namespace {

Mercy draw_mercy(Random& random, bool garbage) {
  constexpr std::array odds = {0.0, 0.1, 0.5, 0.9, 1.0};
  const auto draw = [&] { return odds[random.below(odds.size())]; };
  return {.kept = draw(),
          .torn = draw(),
          .growth_kept = draw(),
          .name_kept = draw(),
          .garbage = garbage};
}

}  // namespace

void SimDisk::crash_at(std::uint64_t changes_from_now, Crash how) {
  const std::lock_guard guard(mutex_);
  CHECK(changes_from_now > 0);
  crash_at_change_ = changes_ + changes_from_now;
  crash_kind_ = how;
}

void SimDisk::crash(Crash how) {
  const std::lock_guard guard(mutex_);
  if (!on_) return;
  on_ = false;
  crash_kind_ = how;
}

bool SimDisk::running() const {
  const std::lock_guard guard(mutex_);
  return on_;
}

void SimDisk::restart() {
  const std::lock_guard guard(mutex_);
  CHECK(!on_);
  on_ = true;
  life_++;
  crash_at_change_ = 0;
  locks_.clear();
  for (auto& [inode, contents] : inodes_) contents.handles = 0;
  if (crash_kind_ == Crash::power) {
    const Mercy mercy = draw_mercy(random_, garbage_);
    for (const NameChange& change : name_changes_) {
      if (change.synced || random_.chance(mercy.name_kept)) apply(change, stable_);
    }
    name_changes_.clear();
    seen_ = stable_;
    for (auto& [inode, contents] : inodes_) contents.bytes.lose_power(random_, mercy);
  }
  forget_unreachable();
}

void SimDisk::allow_garbage(bool allowed) {
  const std::lock_guard guard(mutex_);
  garbage_ = allowed;
}

void SimDisk::inject(Fault fault) {
  const std::lock_guard guard(mutex_);
  faults_.push_back(std::move(fault));
}

void SimDisk::clear_faults() {
  const std::lock_guard guard(mutex_);
  faults_.clear();
}

void SimDisk::set_capacity(std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  capacity_bytes_ = bytes;
}

void SimDisk::set_read_only(bool read_only) {
  const std::lock_guard guard(mutex_);
  read_only_ = read_only;
}

std::uint64_t SimDisk::changes() const {
  const std::lock_guard guard(mutex_);
  return changes_;
}

std::vector<Step> SimDisk::trace() const {
  const std::lock_guard guard(mutex_);
  return trace_;
}

void SimDisk::clear_trace() {
  const std::lock_guard guard(mutex_);
  trace_.clear();
}

FileContents& SimDisk::at(const std::string& path) {
  const auto found = seen_.find(path);
  CHECK(found != seen_.end());
  return inodes_.at(found->second).bytes;
}

const FileContents& SimDisk::at(const std::string& path) const {
  return const_cast<SimDisk*>(this)->at(path);  // at() changes nothing itself.
}

std::vector<std::string> SimDisk::paths() const {
  const std::lock_guard guard(mutex_);
  std::vector<std::string> names;
  for (const auto& [path, inode] : seen_) names.push_back(path);
  return names;
}

bool SimDisk::exists(const std::string& path) const {
  const std::lock_guard guard(mutex_);
  return seen_.contains(path);
}

std::vector<std::byte> SimDisk::contents(const std::string& path) const {
  const std::lock_guard guard(mutex_);
  const SparseBytes& image = at(path).seen();
  std::vector<std::byte> bytes(image.size());
  image.read(bytes, 0);
  return bytes;
}

void SimDisk::overwrite(const std::string& path, Bytes bytes, std::uint64_t offset) {
  const std::lock_guard guard(mutex_);
  at(path).overwrite(bytes, offset);
}

void SimDisk::flip_bit(const std::string& path, std::uint64_t bit) {
  const std::lock_guard guard(mutex_);
  FileContents& file = at(path);
  CHECK(bit / 8 < file.seen().size());
  std::byte byte;
  file.seen().read(MutableBytes(&byte, 1), bit / 8);
  byte ^= std::byte{1} << (bit % 8);
  file.overwrite(Bytes(&byte, 1), bit / 8);
}

void SimDisk::zero_page(const std::string& path, std::uint64_t page) {
  const std::lock_guard guard(mutex_);
  FileContents& file = at(path);
  const std::uint64_t start = page * SparseBytes::page_bytes;
  CHECK(start < file.seen().size());
  const std::vector<std::byte> zeros(std::min(SparseBytes::page_bytes, file.seen().size() - start));
  file.overwrite(zeros, start);
}

void SimDisk::truncate(const std::string& path, std::uint64_t size) {
  const std::lock_guard guard(mutex_);
  at(path).cut(size);
}

std::unique_ptr<SimDisk> SimDisk::copy(SimClock& clock, std::uint64_t seed) const {
  const std::lock_guard guard(mutex_);
  auto other = std::make_unique<SimDisk>(clock, seed);
  other->directories_ = directories_;
  other->seen_ = seen_;
  other->stable_ = seen_;
  other->next_inode_ = next_inode_;
  for (const auto& [path, inode] : seen_) {
    Contents& contents = other->inodes_[inode];
    contents.bytes = FileContents(inodes_.at(inode).bytes.seen());
  }
  return other;
}

}  // namespace inlet::sim
