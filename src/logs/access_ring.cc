#include "logs/access_ring.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"

namespace inlet::logs {

void AccessSlot::fill(const AccessEntry& entry) {
  constexpr Microseconds took_max = std::numeric_limits<std::uint32_t>::max();
  at_us = entry.at_us;
  request_bytes = entry.request_bytes;
  sequence = entry.sequence;
  took_us = static_cast<std::uint32_t>(std::clamp(entry.took_us, Microseconds{0}, took_max));
  status = static_cast<std::uint16_t>(std::clamp(entry.status, 0, 999));
  cut = 0;
  const std::array<std::string_view, access_text_bytes_max.size()> texts = {
      entry.request_id, entry.trace_id, entry.amzn_root,
      entry.client,     entry.method,   entry.path.substr(0, entry.path.find_first_of("?#")),
      entry.tenant,     entry.stream,   entry.user_agent};
  char* at = text.data();
  for (std::size_t i = 0; i < texts.size(); i++) {
    const std::string_view kept = texts[i].substr(0, access_text_bytes_max[i]);
    if (kept.size() < texts[i].size()) cut = static_cast<std::uint16_t>(cut | 1U << i);
    lengths[i] = static_cast<std::uint8_t>(kept.size());
    at = std::ranges::copy(kept, at).out;
  }
}

std::string_view AccessSlot::get(Text which) const {
  std::size_t begin = 0;
  for (std::size_t i = 0; i < which; i++) begin += lengths[i];
  return {text.data() + begin, lengths[which]};
}

AccessRing::AccessRing(std::size_t entries)
    : mask_(entries - 1), slots_(std::make_unique_for_overwrite<AccessSlot[]>(entries)) {
  CHECK(std::has_single_bit(entries) && entries >= 2);
}

bool AccessRing::push(const AccessEntry& entry) {
  const std::uint64_t at = pushed_.load(std::memory_order_relaxed);
  if (at - taken_seen_ > mask_ / 2) taken_seen_ = taken_.load(std::memory_order_acquire);
  if (at - taken_seen_ > mask_) {
    // One writer, so no read-modify-write is needed.
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return false;
  }
  slots_[at & mask_].fill(entry);
  pushed_.store(at + 1, std::memory_order_release);
  return at - taken_seen_ == mask_ / 2;
}

}  // namespace inlet::logs
