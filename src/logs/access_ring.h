// access_ring: finished requests on their way from an event loop to the access log.
//
// One producer (the loop), one consumer (the log's thread), no lock and no wait: a push copies the
// texts, cut to their bounds, and nothing else. When the ring is full the request is counted and
// forgotten.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string_view>

#include "base/time.h"

namespace inlet::logs {

// A request that was answered. Texts are as they came, whatever is in them; "" where there is none.
struct AccessEntry {
  Microseconds at_us = 0;  // When it was answered, on the wall clock.
  Microseconds took_us = 0;
  int status = 0;
  std::uint64_t request_bytes = 0;  // Of the body.
  std::uint64_t sequence = 0;       // Of the record, if it is stored; else 0.
  std::string_view request_id = {};
  std::string_view trace_id = {};   // Of traceparent.
  std::string_view amzn_root = {};  // Of X-Amzn-Trace-Id.
  std::string_view client = {};     // Its address.
  std::string_view method = {};
  std::string_view path = {};  // What follows a '?' is left out.
  std::string_view tenant = {};
  std::string_view stream = {};
  std::string_view user_agent = {};
};

inline constexpr std::size_t access_ring_entries = 4096;  // 3.5 MiB a loop, when in use.

// Longest part of each text that is kept, in the order of AccessSlot::Text.
inline constexpr std::array<std::size_t, 9> access_text_bytes_max = {128, 32, 35, 45, 32,
                                                                     255, 64, 64, 192};

// An entry with its texts.
struct AccessSlot {
  enum Text : std::size_t {
    request_id,
    trace_id,
    amzn_root,
    client,
    method,
    path,
    tenant,
    stream,
    user_agent,
  };

  Microseconds at_us;
  std::uint64_t request_bytes;
  std::uint64_t sequence;
  std::uint32_t took_us;  // Up to 71 minutes.
  std::uint16_t status;
  std::array<std::uint8_t, access_text_bytes_max.size()> lengths;
  std::uint16_t cut;  // A bit for each text that was longer.
  std::array<char, 854> text;

  void fill(const AccessEntry& entry);
  [[nodiscard]] std::string_view get(Text which) const;
  [[nodiscard]] bool is_cut(std::size_t which) const { return (cut >> which & 1U) != 0; }
};
static_assert(sizeof(AccessSlot) == 896);
static_assert(std::accumulate(access_text_bytes_max.begin(), access_text_bytes_max.end(),
                              std::size_t{0}) <= sizeof(AccessSlot::text));

class AccessRing {
 public:
  explicit AccessRing(std::size_t entries = access_ring_entries);  // A power of two.

  // The loop. True when the ring has just become half full: the log wants to be woken.
  bool push(const AccessEntry& entry);
  // Requests that found it full, since the start. Any thread.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  // The log's thread. Calls take(slot) for everything there, oldest first.
  template <typename Take>
  void drain(Take take) {
    const std::uint64_t end = pushed_.load(std::memory_order_acquire);
    std::uint64_t at = taken_.load(std::memory_order_relaxed);
    while (at != end) {
      take(slots_[at & mask_]);
      taken_.store(++at, std::memory_order_release);
    }
  }

 private:
  const std::uint64_t mask_;
  const std::unique_ptr<AccessSlot[]> slots_;
  alignas(64) std::atomic<std::uint64_t> pushed_{0};
  std::uint64_t taken_seen_ = 0;  // By the producer.
  std::atomic<std::uint64_t> dropped_{0};
  alignas(64) std::atomic<std::uint64_t> taken_{0};
};

}  // namespace inlet::logs
