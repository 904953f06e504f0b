// counter: a count that one thread writes and any may read, at the price of a plain increment.

#pragma once

#include <atomic>
#include <cstdint>

namespace inlet {

class Counter {
 public:
  void add(std::uint64_t count = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t count) { add(std::uint64_t{0} - count); }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace inlet
