// supervisor: keeps serve, one ship per sink and, if wanted, the reports to CloudWatch running, and
// ends them in the right order.
//
// It holds the listening sockets as long as serve is to come back: while serve is being restarted,
// connections wait in the backlog instead of being refused. It opens no journal and answers no
// request: what it cannot do cannot break it. What it decides is in supervision.h, how a process is
// started in process.h.
//
//   first SIGTERM or SIGINT   SIGTERM to serve and the reports; when serve is gone SIGTERM to the
//                             ships, which deliver what is committed, then to the archive of logs;
//                             what crashes meanwhile is started again to drain
//   second                    SIGINT to all, SIGKILL to what is left after stop_grace_us
//   SIGHUP                    reads the configuration again and applies the difference
//   SIGUSR2                   a wish (node_state.h): to be upgraded in place, or to deliver all
//                             there is and then wait to be ended
//
// An upgrade (rollout.h) replaces the children one by one and then the supervisor itself, in the
// same process, by exec. Until that moment the old program decides, so a bad new one changes
// nothing that is not taken back.
//
// Invariants:
//   - between any two turns of the loop every child is running, waiting for its time to be started,
//     or not in children_ at all.
//   - every signal that asks a child to end has a time at which SIGKILL follows.
//   - <data>/run.json and run.state say what is going on; they are replaced whole on every change.
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
#include "logs/process_log.h"
#include "main/config.h"
#include "main/edition.h"
#include "main/handover.h"
#include "main/listeners.h"
#include "main/process.h"
#include "main/rollout.h"
#include "main/supervision.h"

namespace inlet::main {

inline constexpr Microseconds stop_grace_us = 2'000'000;    // From SIGINT to SIGKILL.
inline constexpr Microseconds serve_grace_us = 30'000'000;  // For serve to finish, after its delay.
// Filters of system calls add up in one process, and the kernel takes no more at some point.
inline constexpr std::uint64_t upgrades_max = 50;
inline constexpr Microseconds flush_grace_us = 1'000'000;  // Ships keep flush_deadline themselves.
inline constexpr Microseconds logs_grace_us = 5'000'000;   // To archive logs, however late it is.

class Supervisor {
 public:
  // The world around it; everything outlives the supervisor.
  struct World {
    FileSystem& files;
    Clock& clock;
    std::function<Command(Edition)> serve;
    // drain: deliver and exit.
    std::function<Command(Edition, const std::string& sink, bool drain)> ship;
    std::function<Command(Edition, bool drain)> logs;  // As a ship.
    std::function<Command(Edition)> report;
    std::function<std::vector<Command>()> tests;  // Of the candidates, see rollout.h.
    // Becomes the candidate; comes back only if that fails. The lock and the configuration are
    // its to add.
    std::function<Error(Handover)> become;
    std::function<Loaded()> load;                // For SIGHUP.
    std::function<Status(const Loaded&)> adopt;  // Before children are started with it.
    std::function<void(const std::vector<Listener>&)> ready;  // serve answers for the first time.
    logs::ProcessLog* log = nullptr;  // The supervisor's own; or there is none.
  };

  Supervisor(World world, Config config, std::vector<Listener> listeners,
             RolloutLimits limits = {});
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Goes on where another program left off in this process; before run(). Its sockets are the
  // listeners given above.
  void take_over(const Handover& handover);

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
    Edition edition = Edition::running;  // To be started next.
    Edition runs = Edition::running;     // Of the process there is.
    pid_t pid = 0;                       // 0: not running.
    Microseconds started_us = 0;
    Microseconds start_at_us = never;
    Microseconds kill_at_us = never;
    std::uint64_t restarts = 0;
    Backoff backoff;
  };
  using Children = std::map<std::string, Child>;  // By name: "serve", "ship-archive", "logs".

  Status open_ears();
  void wait();
  void hear_signals();
  void hear_signal(int signal, bool drain);
  void hear_ready();
  void reap_children();
  void on_end(const std::string& name, Child& child, int status);
  void turn();

  void add_child(Role role, const std::string& sink);
  [[nodiscard]] Command sender_command(const Child& child) const;
  void start(const std::string& name, Child& child);
  void ask(Child& child, int signal, Microseconds grace_us);
  void replace(const std::string& name, Edition edition);
  void begin_drain();
  void drain_ships();
  void give_up_ships();
  void drain_logs();
  void drain_all(Role role, Microseconds now_us);
  [[nodiscard]] bool has(Role role) const;
  [[nodiscard]] bool has_deadline() const {
    return phase_ == Phase::ships_draining || phase_ == Phase::logs_draining;
  }
  void go_on_without_time();
  void stop_now();
  void begin_upgrade();
  void turn_upgrade();
  void hand_over();
  void reload();
  Status apply(const Reload& plan, const Loaded& loaded);
  bool end(std::string_view name, Intent intent, int signal, Microseconds grace_us);
  void apply_to_logs(Change change);
  void write_state();
  void write_file(std::string_view name, std::string_view text);
  [[nodiscard]] std::string phase_name() const;

  World world_;
  Config config_;
  std::vector<Listener> listeners_;
  Descriptor signals_;
  Descriptor notifications_;
  std::string notify_socket_;
  Children children_;
  Phase phase_ = Phase::running;
  Microseconds flush_until_us_ = never;  // When the phase of draining ends.
  Microseconds drain_until_us_ = never;  // When that of the ships ended.
  bool empty_wanted_ = false;            // Of the drain under way: until nothing is left.
  bool reload_wanted_ = false;           // It came during an upgrade.
  Rollout rollout_;
  std::uint64_t upgrades_ = 0;  // Of this process.
  UpgradeNote told_;            // As last written.
  bool was_ready_ = false;
  bool state_changed_ = true;
};

}  // namespace inlet::main
