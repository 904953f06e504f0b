// batcher: when is a batch full, and when is it due? By bytes, records and age.
//
// A batch is full when it has reached batch_bytes or batch_records, so it holds at most batch_bytes
// and one record. It is due, full or not, when its first record has waited for batch_age_us.
//
// Pure: counts only, the time is passed in.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace inlet::ship {

struct BatchLimits {
  std::size_t batch_bytes = 16U << 20;
  std::size_t batch_records = 100'000;
  Microseconds batch_age_us = 2'000'000;
};

class Batcher {
 public:
  explicit Batcher(BatchLimits limits) : limits_(limits) {}

  void add(std::size_t bytes, Microseconds now_us);
  void clear();

  [[nodiscard]] bool full() const;
  // Microseconds until the batch is due; 0: it is. Only for a batch with a record.
  [[nodiscard]] Microseconds due_in_us(Microseconds now_us) const;

  [[nodiscard]] std::size_t records() const { return records_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  const BatchLimits limits_;
  std::size_t records_ = 0;
  std::size_t bytes_ = 0;
  Microseconds started_us_ = 0;  // When the first record was added.
};

}  // namespace inlet::ship
