// supervision: what the supervisor decides, without processes: when to start again what ended, and
// what a changed configuration asks for.
//
// after_exit() is a decision table; the test goes over every combination of its inputs.
//
// Pure; any thread.

#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "main/config.h"

namespace inlet::main {

inline constexpr Microseconds restart_delay_min_us = 100'000;
inline constexpr Microseconds restart_delay_max_us = 10'000'000;
inline constexpr Microseconds alive_long_enough_us = 30'000'000;

// How long to wait before starting again: doubling, and from the start for what ran long enough.
class Backoff {
 public:
  [[nodiscard]] Microseconds next(Microseconds alive_us) {
    if (alive_us >= alive_long_enough_us) delay_us_ = restart_delay_min_us;
    const Microseconds delay_us = delay_us_;
    delay_us_ = std::min(2 * delay_us_, restart_delay_max_us);
    return delay_us;
  }

 private:
  Microseconds delay_us_ = restart_delay_min_us;
};

enum class Role : unsigned char {
  serve,
  ship,
  report,
  logs,  // Archives what all others have logged, and so ends last.
};

enum class Phase : unsigned char {
  running,
  serve_draining,  // Asked to stop: serve finishes, ships go on.
  ships_draining,  // serve is gone: ships deliver what is left, for so long as they may.
  emptying,        // The same until nothing is left; then it waits to be ended.
  logs_draining,   // The ships are gone too: logs are archived.
  stopping,        // Everything ends now.
};

// What one child is wanted for.
enum class Intent : unsigned char {
  run,
  restart,  // It was told to end so that a new one can take its place.
  stop,     // It was told to end: its sink is no longer configured.
};

enum class Ending : unsigned char { fine, left_behind, fault };
[[nodiscard]] Ending classify_status(int wait_status);

struct Exit {
  Role role;
  Phase phase;
  Intent intent;
  Ending ending;
};

enum class Next : unsigned char { start_now, start_later, gone };
[[nodiscard]] Next after_exit(const Exit& exit);

// As run.json says it: "running", "draining", "delivering", "emptying", "archiving", "stopping".
[[nodiscard]] std::string_view name_of(Phase phase);

enum class Change : unsigned char { none, start, stop, restart };

// What it takes to get from one configuration to another.
struct Reload {
  std::string refusal;  // Why it cannot be done while running; else "".
  bool serve = false;   // Starts again.
  bool ingest_listener = false;
  bool admin_listener = false;
  bool report = false;             // What reports to CloudWatch starts, ends or starts again.
  std::vector<std::string> start;  // Sinks.
  std::vector<std::string> stop;
  std::vector<std::string> restart;
  Change logs = Change::none;  // The archive of logs.

  bool operator==(const Reload&) const = default;
};
[[nodiscard]] Reload plan_reload(const Config& before, const Config& after);

}  // namespace inlet::main
