#include "sim/sim_clock.h"

#include "base/check.h"

namespace inlet::sim {

void SimClock::advance(Microseconds duration) {
  CHECK(duration >= 0);
  wall_us_ += duration;
  steady_us_ += duration;
}

}  // namespace inlet::sim
