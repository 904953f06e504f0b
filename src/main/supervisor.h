// supervisor: keeps serve, one ship per sink and, if wanted, the reports to CloudWatch running, and
// ends them in the right order.
//
// It holds the listening sockets as long as serve is to come back: while serve is being restarted,
// connections wait in the backlog instead of being refused. It opens no journal and answers no
// request: what it cannot do cannot break it. What it decides is in supervision.h, how a process is
// started in process.h.
//
//   first SIGTERM or SIGINT   SIGTERM to serve and the reports; when serve is gone SIGTERM to the
//                             ships, which deliver what is committed; what crashes meanwhile is
//                             started again to drain
//   second                    SIGINT to all, SIGKILL to what is left after stop_grace_us
//   SIGHUP                    reads the configuration again and applies the difference
//
// Invariants:
//   - between any two turns of the loop every child is running, waiting for its time to be started,
//     or not in children_ at all.
//   - every signal that asks a child to end has a time at which SIGKILL follows.
//   - <data>/run.json says which process is which; it is replaced whole on every change.
//
// One thread, and the only one in its process: signals are blocked and it forks.

#pragma once

#include <sys/types.h>

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/time.h"
#include "main/config.h"
#include "main/listeners.h"
#include "main/process.h"
#include "main/supervision.h"

namespace inlet::main {

inline constexpr Microseconds stop_grace_us = 2'000'000;    // From SIGINT to SIGKILL.
inline constexpr Microseconds serve_grace_us = 30'000'000;  // For serve to finish, after its delay.
inline constexpr Microseconds flush_grace_us = 1'000'000;   // Ships keep flush_deadline themselves.

class Supervisor {
 public:
  // The world around it; everything outlives the supervisor.
  struct World {
    FileSystem& files;
    Clock& clock;
    Command serve;
    std::function<Command(const std::string& sink, bool drain)> ship;  // drain: deliver and exit.
    Command report;
    std::function<Loaded()> load;                // For SIGHUP.
    std::function<Status(const Loaded&)> adopt;  // Before children are started with it.
    std::function<void(const std::vector<Listener>&)> ready;  // serve answers for the first time.
  };

  Supervisor(World world, Config config, std::vector<Listener> listeners);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Until a signal ends it and every child is gone.
  [[nodiscard]] Status run();

  // As last loaded.
  [[nodiscard]] const Config& config() const { return config_; }

 private:
  static constexpr Microseconds never = std::numeric_limits<Microseconds>::max();

  struct Child {
    Role role = Role::serve;
    std::string sink;  // Of a ship.
    Intent intent = Intent::run;
    pid_t pid = 0;  // 0: not running.
    Microseconds started_us = 0;
    Microseconds start_at_us = never;
    Microseconds kill_at_us = never;
    std::uint64_t restarts = 0;
    Backoff backoff;
  };
  using Children = std::map<std::string, Child>;  // By name: "serve", "ship-archive".

  Status open_ears();
  void wait();
  void hear_signals();
  void hear_ready();
  void reap_children();
  void on_end(const std::string& name, Child& child, int status);
  void turn();

  void add_child(Role role, const std::string& sink);
  void start(const std::string& name, Child& child);
  void ask(Child& child, int signal, Microseconds grace_us);
  void begin_drain();
  void drain_ships();
  void stop_now();
  void reload();
  Status apply(const Reload& plan, const Loaded& loaded);
  void write_state();

  World world_;
  Config config_;
  std::vector<Listener> listeners_;
  Descriptor signals_;
  Descriptor notifications_;
  std::string notify_socket_;
  Children children_;
  Phase phase_ = Phase::running;
  Microseconds flush_until_us_ = never;
  bool was_ready_ = false;
  bool state_changed_ = true;
};

}  // namespace inlet::main
