#include "health/healthd_ring.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace inlet::health {
namespace {

std::size_t slot_of(int status) {
  const int near = std::clamp(status, HealthdRing::status_min, HealthdRing::status_max);
  return static_cast<std::size_t>(near - HealthdRing::status_min);
}

// One writer, so no read-modify-write is needed.
void bump(std::atomic<std::uint64_t>& count, std::uint64_t by, std::memory_order order) {
  count.store(count.load(std::memory_order_relaxed) + by, order);
}

}  // namespace

HealthdEntry HealthdEntry::of(Microseconds at_us, Microseconds took_us, int status,
                              std::string_view path, std::string_view client) {
  constexpr Microseconds took_max = std::numeric_limits<std::uint32_t>::max();
  path = path.substr(0, std::min(path.find('?'), healthd_path_bytes_max));
  if (client.size() > healthd_text_bytes - path.size()) client = {};
  HealthdEntry entry{
      .at_us = at_us,
      .took_us = static_cast<std::uint32_t>(std::clamp(took_us, Microseconds{0}, took_max)),
      .status = static_cast<std::uint16_t>(
          std::clamp(status, HealthdRing::status_min, HealthdRing::status_max)),
      .path_bytes = static_cast<std::uint8_t>(path.size()),
      .client_bytes = static_cast<std::uint8_t>(client.size())};
  std::ranges::copy(path, entry.text.begin());
  std::ranges::copy(client, entry.text.begin() + static_cast<std::ptrdiff_t>(path.size()));
  return entry;
}

HealthdRing::HealthdRing(std::size_t entries)
    : mask_(entries - 1), entries_(std::make_unique_for_overwrite<HealthdEntry[]>(entries)) {
  CHECK(std::has_single_bit(entries) && entries >= 2);
}

bool HealthdRing::push(const HealthdEntry& entry) {
  const std::uint64_t at = pushed_.load(std::memory_order_relaxed);
  if (at - taken_seen_ > mask_ / 2) taken_seen_ = taken_.load(std::memory_order_acquire);
  if (at - taken_seen_ > mask_) {
    StatusCount& crowded = crowded_[slot_of(entry.status)];
    bump(crowded.took_us, entry.took_us, std::memory_order_relaxed);
    bump(crowded.count, 1, std::memory_order_release);
    return false;
  }
  entries_[at & mask_] = entry;
  pushed_.store(at + 1, std::memory_order_release);
  return at - taken_seen_ == mask_ / 2;
}

Crowded HealthdRing::take_crowded(int status) {
  const std::size_t slot = slot_of(status);
  const Crowded now{crowded_[slot].count.load(std::memory_order_acquire),
                    crowded_[slot].took_us.load(std::memory_order_relaxed)};
  const Crowded before = crowded_taken_[slot];
  // The time of a request just being counted may be in already; it does no harm to a mean.
  if (now.count == before.count) return {};
  crowded_taken_[slot] = now;
  return {now.count - before.count, now.took_us - before.took_us};
}

}  // namespace inlet::health
