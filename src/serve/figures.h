// figures: what the doors count. One set per loop, written by that loop only, read by anyone.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/counter.h"
#include "base/time.h"

namespace inlet::serve {

struct alignas(64) LoopFigures {
  Counter records_stored;
  Counter bytes_stored;            // Of bodies.
  Counter store_us_total;          // From the last byte of the body to the answer.
  Counter replicated;              // Of the records stored, those answered so,
  Counter not_replicated_in_time;  // and those for which it was asked in vain.
  Counter duplicates;              // Stored before, answered again.
  Counter refused_4xx;
  Counter refused_5xx;

  void stored(std::uint64_t bytes, Microseconds took_us) {
    records_stored.add();
    bytes_stored.add(bytes);
    store_us_total.add(static_cast<std::uint64_t>(took_us));
  }
  void refused(int status) { (status >= 500 ? refused_5xx : refused_4xx).add(); }
};

class Figures {
 public:
  explicit Figures(std::size_t loops) : loops_(loops) {}

  [[nodiscard]] LoopFigures& of(std::size_t loop) { return loops_[loop]; }

  // The sum over all loops of one counter.
  [[nodiscard]] std::uint64_t sum(Counter LoopFigures::* counter) const {
    std::uint64_t total = 0;
    for (const LoopFigures& loop : loops_) total += (loop.*counter).get();
    return total;
  }

 private:
  std::vector<LoopFigures> loops_;
};

}  // namespace inlet::serve
