#include "serve/auth_failures.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "base/check.h"

namespace inlet::serve {
namespace {

// A slot: 24 bits that tell addresses in a set apart, and the time in 40 bits of milliseconds (34
// years) until which the address owes, as in the generic cell rate algorithm (ITU-T I.371 A.1).
constexpr unsigned time_bits = 40;
constexpr std::uint64_t time_mask = (std::uint64_t{1} << time_bits) - 1;
constexpr std::uint64_t ms_per_s = 1000;
constexpr Microseconds us_per_ms = 1000;
constexpr std::size_t peer_chars_max = 64;
constexpr int contended_max = 8;

std::uint64_t scrambled(std::uint64_t bits) {  // The finaliser of SplitMix64.
  bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9;
  bits = (bits ^ bits >> 27) * 0x94D049BB133111EB;
  return bits ^ bits >> 31;
}

std::uint64_t add_word(std::uint64_t hash, std::uint64_t word) { return scrambled(hash ^ word); }

// Of what counts as one: an IPv4 address, an IPv6 /64, or any other text.
std::uint64_t hash_of(std::string_view peer, std::uint64_t seed) {
  char text[peer_chars_max + 1] = {};
  std::memcpy(text, peer.data(), std::min(peer.size(), peer_chars_max));
  in_addr four{};
  if (::inet_pton(AF_INET, text, &four) == 1) return add_word(scrambled(seed), four.s_addr);
  in6_addr six{};
  std::uint64_t word = 0;
  if (::inet_pton(AF_INET6, text, &six) == 1) {
    std::memcpy(&word, six.s6_addr, sizeof word);
    return add_word(scrambled(seed + 1), word);
  }
  std::uint64_t hash = scrambled(seed + 2);
  for (std::size_t at = 0; at < peer_chars_max; at += sizeof word) {
    std::memcpy(&word, text + at, sizeof word);
    hash = add_word(hash, word);
  }
  return hash;
}

}  // namespace

AuthFailures::AuthFailures(AuthFailureOptions options, std::uint64_t seed)
    : interval_ms_(static_cast<std::uint64_t>(options.interval_us / us_per_ms)),
      tolerance_ms_(interval_ms_ * (options.burst - 1)),
      seed_(seed),
      sets_(std::bit_ceil(std::max<std::size_t>(1, options.addresses / ways))) {
  CHECK(options.burst >= 1 && options.burst <= auth_failure_burst_max);
  CHECK(options.interval_us >= us_per_ms && options.interval_us <= auth_failure_interval_us_max);
}

std::uint32_t AuthFailures::retry_after_s(std::string_view peer, Microseconds steady_us) {
  const std::uint64_t hash = hash_of(peer, seed_);
  const std::uint64_t tag = hash >> time_bits;
  Set& set = sets_[hash & (sets_.size() - 1)];
  const std::uint64_t now_ms = static_cast<std::uint64_t>(steady_us / us_per_ms) & time_mask;
  for (int contended = 0; contended < contended_max; contended++) {
    // Its own slot, or the one that owes least.
    std::atomic<std::uint64_t>* slot = nullptr;
    std::uint64_t before = 0;
    for (std::atomic<std::uint64_t>& candidate : set.slots) {
      const std::uint64_t value = candidate.load(std::memory_order_relaxed);
      const bool own = value >> time_bits == tag && value != 0;
      if (own || slot == nullptr || (value & time_mask) < (before & time_mask)) {
        slot = &candidate;
        before = value;
      }
      if (own) break;
    }
    const bool own = before >> time_bits == tag && before != 0;
    const std::uint64_t owes_until_ms = std::max(own ? before & time_mask : 0, now_ms);
    const std::uint64_t ahead_ms = owes_until_ms - now_ms;
    if (ahead_ms > tolerance_ms_) {
      return static_cast<std::uint32_t>((ahead_ms - tolerance_ms_ + ms_per_s - 1) / ms_per_s);
    }
    const std::uint64_t after = tag << time_bits | ((owes_until_ms + interval_ms_) & time_mask);
    if (slot->compare_exchange_strong(before, after, std::memory_order_relaxed)) return 0;
  }
  return 1;  // So many fail at this moment that one of them can wait.
}

}  // namespace inlet::serve
