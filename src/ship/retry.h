// retry: what to do with a sink's answer, and how long to wait before asking again.
//
// Retries go on for ever: a record leaves the journal only when it was delivered or the sink said
// that it never will take it. Waits grow exponentially and are spread at random (full jitter), so
// that a fleet does not come back to a recovering destination in step.
//
// Pure: the random number is passed in.

#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/time.h"
#include "sinks/sink.h"

namespace inlet::ship {

enum class Decision : unsigned char {
  advance,    // Move the cursor.
  set_aside,  // Write the rejected records to the dead letters, then move the cursor.
  repeat,     // Wait, then deliver the same batch again.
};

[[nodiscard]] Decision decide(sinks::Outcome outcome, bool any_rejected);

// How a failure of our own (cursor, journal, dead letters) is waited out.
[[nodiscard]] sinks::Outcome outcome_of(ErrorKind kind);

struct RetryOptions {
  Microseconds base_us = 100'000;
  Microseconds cap_us = 30'000'000;
  Microseconds asked_max_us = 300'000'000;  // Of what a destination may ask for.
};

// The wait before attempt `attempts` + 1, with c = min(cap, base * 2^(attempts - 1)):
//   retry      0 .. c
//   slow_down  c/2 .. c
// and with a wait the destination asked for, that and up to `base` more.
[[nodiscard]] Microseconds retry_wait_us(const RetryOptions& options, sinks::Outcome outcome,
                                         std::uint64_t attempts, Microseconds asked_us,
                                         std::uint64_t random);

}  // namespace inlet::ship
