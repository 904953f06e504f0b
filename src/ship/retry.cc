#include "ship/retry.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace inlet::ship {
namespace {

using sinks::Outcome;

enum class Fact : unsigned char { no, yes, any };

struct Row {
  Outcome outcome;
  Fact any_rejected;
  Decision decision;
};

// Rejections count only with a delivery: otherwise all comes again, and so do they.
constexpr std::array rows{
    Row{Outcome::delivered, Fact::no, Decision::advance},
    Row{Outcome::delivered, Fact::yes, Decision::set_aside},
    Row{Outcome::retry, Fact::any, Decision::repeat},
    Row{Outcome::slow_down, Fact::any, Decision::repeat},
};

bool fits(Fact fact, bool value) { return fact == Fact::any || (fact == Fact::yes) == value; }

// 0 .. limit
Microseconds spread(std::uint64_t random, Microseconds limit) {
  return static_cast<Microseconds>(random % (static_cast<std::uint64_t>(limit) + 1));
}

}  // namespace

Decision decide(Outcome outcome, bool any_rejected) {
  for (const Row& row : rows) {
    if (row.outcome == outcome && fits(row.any_rejected, any_rejected)) return row.decision;
  }
  CHECK(false);
  return Decision::repeat;
}

Outcome outcome_of(ErrorKind kind) {
  return kind == ErrorKind::overload ? Outcome::slow_down : Outcome::retry;
}

Microseconds retry_wait_us(const RetryOptions& options, Outcome outcome, std::uint64_t attempts,
                           Microseconds asked_us, std::uint64_t random) {
  CHECK(attempts > 0 && outcome != Outcome::delivered);
  if (asked_us > 0) {
    return std::min(asked_us, options.asked_max_us) + spread(random, options.base_us);
  }
  Microseconds ceiling = options.base_us;
  for (std::uint64_t i = 1; i < attempts && ceiling < options.cap_us; i++) ceiling *= 2;
  ceiling = std::min(ceiling, options.cap_us);
  if (outcome == Outcome::retry) return spread(random, ceiling);
  return ceiling / 2 + spread(random, ceiling - ceiling / 2);
}

}  // namespace inlet::ship
