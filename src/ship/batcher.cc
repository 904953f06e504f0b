#include "ship/batcher.h"

#include <algorithm>

#include "base/check.h"

namespace inlet::ship {

void Batcher::add(std::size_t bytes, Microseconds now_us) {
  if (records_ == 0) started_us_ = now_us;
  records_++;
  bytes_ += bytes;
}

void Batcher::clear() {
  records_ = 0;
  bytes_ = 0;
}

bool Batcher::full() const {
  return records_ > 0 && (bytes_ >= limits_.batch_bytes || records_ >= limits_.batch_records);
}

Microseconds Batcher::due_in_us(Microseconds now_us) const {
  CHECK(records_ > 0);
  return std::max<Microseconds>(0, started_us_ + limits_.batch_age_us - now_us);
}

}  // namespace inlet::ship
