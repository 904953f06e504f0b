// last_hour: by how much a count that only goes up has risen in the last hour.
//
// To the minute: the hour may be up to a minute long in excess. A count that fell (its keeper
// started anew) begins again. One thread.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "base/time.h"

namespace inlet::health {

class LastHour {
 public:
  // Notes the count at this moment of the steady clock and says its rise.
  std::uint64_t rise(Microseconds now_us, std::uint64_t count) {
    if (!marks_.empty() && count < marks_.back().count) marks_.clear();
    if (marks_.empty() || now_us - marks_.back().at_us >= minute_us) {
      marks_.push_back({now_us, count});
    }
    while (marks_.size() > marks_max) marks_.pop_front();
    return count - std::min(count, marks_.front().count);
  }

 private:
  static constexpr Microseconds minute_us = 60'000'000;
  static constexpr std::size_t marks_max = 61;

  struct Mark {
    Microseconds at_us;
    std::uint64_t count;
  };
  std::deque<Mark> marks_;
};

}  // namespace inlet::health
