// siphash: what stands for a short text, and nobody may foretell: SipHash-2-4 with 128 bits of
// output (Aumasson and Bernstein, "SipHash: a fast short-input PRF").
//
// Threads: pure functions.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace inlet::serve {

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  bool operator==(const Hash128&) const = default;
};

using SipKey = std::array<std::byte, 16>;

// From the system's source of randomness.
[[nodiscard]] SipKey random_sip_key();

[[nodiscard]] Hash128 siphash_128(const SipKey& key, Bytes bytes);

}  // namespace inlet::serve
