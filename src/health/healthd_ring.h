// healthd_ring: finished requests on their way from an event loop to the healthd log.
//
// One producer (the loop), one consumer (the log's thread), no lock and no wait: a push costs one
// cache line. When the ring is full, a request is still counted, by status, and will be written as
// a line without its path and with the mean time of those like it: the number of lines is exact
// whatever happens.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/counter.h"
#include "base/time.h"

namespace inlet::health {

inline constexpr std::size_t healthd_text_bytes = 48;  // Path and client together.
inline constexpr std::size_t healthd_path_bytes_max = 32;
inline constexpr std::uint64_t drain_step_entries = 256;
inline constexpr std::size_t healthd_ring_entries = 32U << 10;  // 2 MiB a loop, when in use.

struct HealthdEntry {
  Microseconds at_us;     // When the answer was sent, on the wall clock.
  std::uint32_t took_us;  // Up to 71 minutes.
  std::uint16_t status;
  std::uint8_t path_bytes;
  std::uint8_t client_bytes;
  std::array<char, healthd_text_bytes> text;

  // `path` without its query is cut to healthd_path_bytes_max; `client` (X-Forwarded-For, or the
  // peer) is left out if it does not fit, because half an address is another address.
  static HealthdEntry of(Microseconds at_us, Microseconds took_us, int status,
                         std::string_view path, std::string_view client);
  [[nodiscard]] std::string_view path() const { return {text.data(), path_bytes}; }
  [[nodiscard]] std::string_view client() const { return {text.data() + path_bytes, client_bytes}; }
};
static_assert(sizeof(HealthdEntry) == 64);

// Requests of one status that found the ring full.
struct Crowded {
  std::uint64_t count = 0;
  std::uint64_t took_us = 0;  // All together.
};

class HealthdRing {
 public:
  static constexpr int status_min = 100;
  static constexpr int status_max = 599;  // Other statuses count as the nearer end.

  explicit HealthdRing(std::size_t entries = healthd_ring_entries);  // A power of two.

  // The loop. True when the ring has just become half full: the log wants to be woken.
  bool push(const HealthdEntry& entry);

  // The log's thread. Calls take(entry) for everything there, oldest first.
  template <typename Take>
  void drain(Take take) {
    const std::uint64_t end = pushed_.load(std::memory_order_acquire);
    std::uint64_t at = taken_.load(std::memory_order_relaxed);
    while (at != end) {
      take(entries_[at & mask_]);
      at++;
      // Room for the loop while this goes on: take() may have to wait for a disk.
      if (at % drain_step_entries == 0) taken_.store(at, std::memory_order_release);
    }
    taken_.store(at, std::memory_order_release);
  }
  // What was crowded out with this status since the last call.
  [[nodiscard]] Crowded take_crowded(int status);

 private:
  struct StatusCount {
    std::atomic<std::uint64_t> count{0};
    std::atomic<std::uint64_t> took_us{0};
  };

  const std::uint64_t mask_;
  const std::unique_ptr<HealthdEntry[]> entries_;
  alignas(64) std::atomic<std::uint64_t> pushed_{0};
  std::uint64_t taken_seen_ = 0;  // By the producer.
  alignas(64) std::atomic<std::uint64_t> taken_{0};
  std::array<StatusCount, status_max - status_min + 1> crowded_;
  std::array<Crowded, status_max - status_min + 1> crowded_taken_{};
};

}  // namespace inlet::health
