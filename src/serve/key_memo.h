// key_memo: the keys that were right lately, so that they need not be digested again.
//
// What is remembered of a key is a hash of its text under a random secret of the process (SipHash),
// and where the table has it. A wrong key is never remembered, so it takes the table's way in full
// each time, and what that tells by its duration (key_table.h) stays as little.
//
// Invariant: the answer is the table's own, whatever was remembered: of another table nothing
// counts, and expiry and scope are judged each time.
//
// One loop's, on its thread.

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/time.h"
#include "serve/key_table.h"
#include "serve/siphash.h"

namespace inlet::serve {

class alignas(64) KeyMemo {
 public:
  explicit KeyMemo(const SipKey& secret) : secret_(secret) {}

  // As KeyTable::find() of that table.
  [[nodiscard]] Verdict find(const KeyTable& table, std::string_view presented,
                             std::string_view stream, Microseconds wall_us);

 private:
  static constexpr std::size_t slots_count = 64;  // A power of two; 2 KiB a loop.
  struct Slot {
    Hash128 text;
    std::uint64_t table = 0;  // Its number; none has 0.
    const Key* key = nullptr;
  };

  SipKey secret_;
  std::array<Slot, slots_count> slots_{};
};

}  // namespace inlet::serve
