#include "ship/courier.h"

#include <algorithm>

namespace inlet::ship {
namespace {

constexpr Microseconds look_us = 50'000;  // How long a wish to stop may go unnoticed.

}  // namespace

Courier::Courier(Clock& clock, sinks::Sink& sink, RetryOptions retry, KeepGoing keep_going,
                 OnWait on_wait)
    : clock_(clock),
      sink_(sink),
      retry_(retry),
      keep_going_(std::move(keep_going)),
      on_wait_(std::move(on_wait)),
      random_(static_cast<std::uint64_t>(clock.wall_us())) {}

std::optional<std::vector<sinks::Rejection>> Courier::deliver(const sinks::Batch& batch) {
  for (std::uint64_t attempts = 1;; attempts++) {
    auto delivery = attempt(batch);
    if (!delivery) return std::nullopt;
    if (delivery->outcome == sinks::Outcome::delivered) {
      std::ranges::sort(delivery->rejected, {}, &sinks::Rejection::sequence);
      return std::move(delivery->rejected);
    }
    const Microseconds wait_us =
        retry_wait_us(retry_, delivery->outcome, attempts, delivery->retry_after_us, random_());
    on_wait_(delivery->why, wait_us);
    if (!wait(wait_us)) return std::nullopt;
  }
}

std::optional<sinks::Delivery> Courier::attempt(const sinks::Batch& batch) {
  sink_.start(batch);
  while (keep_going_()) {
    if (auto answer = sink_.finish(look_us)) return std::move(answer->delivery);
  }
  sink_.abandon();
  return std::nullopt;
}

bool Courier::wait(Microseconds wait_us) {
  const Microseconds until_us = clock_.steady_us() + wait_us;
  while (keep_going_()) {
    const Microseconds left_us = until_us - clock_.steady_us();
    if (left_us <= 0) return true;
    clock_.sleep(std::min(left_us, look_us));
  }
  return false;
}

}  // namespace inlet::ship
