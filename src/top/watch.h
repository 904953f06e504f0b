// watch: the live table: a poller, a view and a screen until the operator has seen enough.
//
// One thread. SIGINT, SIGTERM and SIGHUP end it in order, so the terminal is left as it was.

#pragma once

#include "base/result.h"
#include "base/time.h"
#include "top/poller.h"
#include "top/view.h"

namespace inlet::top {

[[nodiscard]] Status watch(Clock& clock, const PollerOptions& polling, const ViewOptions& viewing);

// Every node asked once, as soon as all have answered or failed to. Takes once_us_max at most; what
// has not ended by then is still waiting.
inline constexpr Microseconds once_us_max = 6'000'000;
[[nodiscard]] Fleet look_once(Clock& clock, const PollerOptions& polling);

}  // namespace inlet::top
