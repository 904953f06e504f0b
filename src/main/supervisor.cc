#include "main/supervisor.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "main/cli.h"

namespace inlet::main {
namespace {

constexpr Microseconds settled_us = 1'000'000;  // A child that has lived so long is well.
constexpr std::string_view serve_name = "serve";
constexpr std::string_view ship_prefix = "ship-";
constexpr std::string_view report_name = "cloudwatch";
constexpr std::string_view logs_name = "logs";

std::string child_name(Role role, const std::string& sink) {
  switch (role) {
    case Role::serve: return std::string(serve_name);
    case Role::ship: return std::string(ship_prefix) + sink;
    case Role::report: return std::string(report_name);
    case Role::logs: return std::string(logs_name);
  }
  std::unreachable();
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

std::unexpected<Error> os_error(const char* call) {
  const int os = errno;
  return fail(ErrorKind::retry, fmt::format("{}: {}", call, std::strerror(os)), os);
}

}  // namespace

Supervisor::Supervisor(World world, Config config, std::vector<Listener> listeners,
                       RolloutLimits limits)
    : world_(std::move(world)),
      config_(std::move(config)),
      listeners_(std::move(listeners)),
      rollout_([this](const std::string& name, Edition edition) { replace(name, edition); },
               limits) {}

// What was of the candidate edition is of the running one now: the program it came from is ours.
void Supervisor::take_over(const Handover& handover) {
  notifications_ = Descriptor(handover.notifications);
  was_ready_ = true;
  upgrades_ = handover.upgrades;
  for (const Handover::Process& process : handover.processes) {
    const std::string_view name = process.name;
    Child child;
    if (name.starts_with(ship_prefix)) {
      child.role = Role::ship;
      child.sink = name.substr(ship_prefix.size());
    } else if (name == report_name) {
      child.role = Role::report;
    } else if (name == logs_name) {
      child.role = Role::logs;
    } else if (name != serve_name) {
      continue;  // The version that started it knew what it was; it ends with our pid.
    }
    child.pid = process.pid;
    child.started_us = process.started_us;
    child.restarts = process.restarts;
    children_.emplace(name, std::move(child));
  }
  UpgradeNote note = handover.upgrade;
  note.stage.clear();
  note.outcome = "upgraded";
  log_info("run", "upgraded", {{"from", note.from}, {"to", note.to}});
  rollout_.set_note(std::move(note));
}

Status Supervisor::run() {
  if (const Status open = open_ears(); !open) return open;
  // Those taken over are there already.
  add_child(Role::serve, "");
  for (const SinkConfig& sink : config_.sinks) add_child(Role::ship, sink.name);
  if (config_.cloudwatch.put) add_child(Role::report, "");
  if (!config_.log.archive.empty()) add_child(Role::logs, "");
  while (true) {
    turn();
    if (state_changed_ || rollout_.note() != told_) write_state();
    if (children_.empty() && phase_ != Phase::emptying) break;
    wait();
    hear_signals();
    hear_ready();
    reap_children();
    if (world_.log != nullptr) world_.log->tick();
  }
  for (const char* file : {"/run.json", "/run.state"}) {
    (void)world_.files.remove(config_.data + file);  // Stale, and nothing else.
  }
  return {};
}

Status Supervisor::open_ears() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD}) ::sigaddset(&set, signal);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return os_error("block signals");
  signals_ = Descriptor(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_) return os_error("open a descriptor for signals");
  if (!notifications_) {
    auto opened = open_notifications();
    if (!opened) return fail(opened);
    notifications_ = std::move(*opened);
  }
  auto name = notifications_name(notifications_);
  if (!name) return fail(name);
  notify_socket_ = std::move(*name);
  return {};
}

// Until a signal, a notification or the next time something is due.
void Supervisor::wait() {
  Microseconds next_us = has_deadline() ? flush_until_us_ : never;
  next_us = std::min(next_us, rollout_.next_us());
  for (const auto& [name, child] : children_) {
    next_us = std::min({next_us, child.start_at_us, child.kill_at_us});
  }
  static constexpr Microseconds longest_us = 60'000'000;
  const Microseconds wait_us = std::clamp<Microseconds>(
      next_us == never ? longest_us : next_us - world_.clock.steady_us(), 0, longest_us);
  std::array<pollfd, 2> ears = {pollfd{signals_.get(), POLLIN, 0},
                                pollfd{notifications_.get(), POLLIN, 0}};
  // An error is an interruption; the loop looks at everything anyway.
  (void)::poll(ears.data(), ears.size(), static_cast<int>((wait_us + 999) / 1000));
}

void Supervisor::hear_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD) continue;  // reap_children() runs every turn.
    log_info("run", "signal", {{"signal", ::strsignal(signal)}, {"from_pid", info.ssi_pid}});
    const bool queued = info.ssi_code == SI_QUEUE;
    hear_signal(signal, queued && info.ssi_int == static_cast<int>(Wish::drain));
  }
}

void Supervisor::hear_signal(int signal, bool drain) {
  if (signal == SIGHUP) return reload();
  if (signal == SIGUSR2 && phase_ != Phase::running) return;
  if (signal == SIGUSR2 && !drain) return begin_upgrade();
  if (phase_ == Phase::running) {
    empty_wanted_ = signal == SIGUSR2;
    return begin_drain();
  }
  if (std::exchange(empty_wanted_, false)) return go_on_without_time();
  stop_now();
}

void Supervisor::hear_ready() {
  std::array<char, 64> message{};
  while (true) {
    const ssize_t got = ::recv(notifications_.get(), message.data(), message.size(), 0);
    if (got < 0) return;
    const std::string_view text(message.data(), static_cast<std::size_t>(got));
    if (!text.starts_with("READY=1")) continue;
    log_info("run", "serve is ready");
    rollout_.on_ready();
    if (!std::exchange(was_ready_, true)) world_.ready(listeners_);
  }
}

void Supervisor::reap_children() {
  for (Ended ended = reap(); ended.pid != 0; ended = reap()) {
    if (rollout_.on_exit(ended.pid, ended.status)) continue;
    const auto found = std::ranges::find_if(
        children_, [&](const auto& entry) { return entry.second.pid == ended.pid; });
    if (found == children_.end()) continue;  // Not ours: adopted as process 1.
    on_end(found->first, found->second, ended.status);
  }
}

void Supervisor::on_end(const std::string& name, Child& child, int status) {
  const Microseconds now_us = world_.clock.steady_us();
  const Microseconds alive_us = now_us - child.started_us;
  child.pid = 0;
  child.kill_at_us = never;
  state_changed_ = true;
  if (child.intent == Intent::run) {
    rollout_.on_ended(name, child.runs, describe_status(status));  // It may replace the child.
  }
  const Next next = after_exit({child.role, phase_, child.intent, classify_status(status)});
  if (next == Next::gone) {
    log_info("run", "process ended", {{"process", name}, {"how", describe_status(status)}});
    children_.erase(std::string(name));
    return;
  }
  const Microseconds delay_us = next == Next::start_now ? 0 : child.backoff.next(alive_us);
  child.start_at_us = now_us + delay_us;
  child.restarts++;
  log_line(next == Next::start_now ? LogLevel::info : LogLevel::warn, "run",
           "process ended, starting it again",
           {{"process", name},
            {"how", describe_status(status)},
            {"alive_ms", alive_us / 1000},
            {"delay_ms", delay_us / 1000},
            {"restarts", child.restarts}});
}

// Does all that is due.
void Supervisor::turn() {
  turn_upgrade();
  const Microseconds now_us = world_.clock.steady_us();
  for (auto& [name, child] : children_) {
    if (child.pid != 0 && now_us >= child.kill_at_us) {
      log_error("run", "process did not end when asked and is killed",
                {{"process", name}, {"pid", child.pid}});
      ::kill(child.pid, SIGKILL);
      child.kill_at_us = never;
    }
    if (child.pid == 0 && now_us >= child.start_at_us) start(name, child);
  }
  if (phase_ == Phase::serve_draining && !children_.contains("serve")) drain_ships();
  const bool sent = !has(Role::ship) && !has(Role::report);
  if (phase_ == Phase::ships_draining && sent) drain_logs();
  if (!has_deadline() || now_us < flush_until_us_) return;
  if (phase_ == Phase::ships_draining && has(Role::logs)) {
    give_up_ships();
  } else {
    stop_now();
  }
}

// Nothing if there is one of that name.
void Supervisor::add_child(Role role, const std::string& sink) {
  Child child;
  child.role = role;
  child.sink = sink;
  child.start_at_us = world_.clock.steady_us();
  children_.emplace(child_name(role, sink), std::move(child));
}

Command Supervisor::sender_command(const Child& child) const {
  if (child.role == Role::logs) {
    return world_.logs(child.edition, phase_ == Phase::logs_draining);
  }
  if (child.role == Role::report) return world_.report(child.edition);
  const bool drain = phase_ == Phase::ships_draining || phase_ == Phase::emptying;
  return world_.ship(child.edition, child.sink, drain);
}

void Supervisor::start(const std::string& name, Child& child) {
  const Microseconds now_us = world_.clock.steady_us();
  child.intent = Intent::run;
  const bool serve = child.role == Role::serve;
  if (serve) hear_ready();  // Of the one before.
  const auto pid = serve ? spawn(world_.serve(child.edition), {listeners_, notify_socket_})
                         : spawn(sender_command(child), {});
  if (!pid) {
    rollout_.on_ended(name, child.edition, pid.error().what);
    const Microseconds delay_us = child.backoff.next(0);
    child.start_at_us = now_us + delay_us;
    log_error("run", pid.error().what, {{"process", name}, {"delay_ms", delay_us / 1000}});
    return;
  }
  child.pid = *pid;
  child.runs = child.edition;
  child.started_us = now_us;
  child.start_at_us = never;
  state_changed_ = true;
  rollout_.on_started(name, child.edition, now_us);
  log_info("run", "process started", {{"process", name}, {"pid", child.pid}});
}

// Tells a running child to end; SIGKILL follows.
void Supervisor::ask(Child& child, int signal, Microseconds grace_us) {
  if (child.pid == 0) return;
  ::kill(child.pid, signal);
  child.kill_at_us = std::min(child.kill_at_us, world_.clock.steady_us() + grace_us);
}

// A process of that edition already there is left alone.
void Supervisor::replace(const std::string& name, Edition edition) {
  const auto found = children_.find(name);
  if (found == children_.end()) return;
  Child& child = found->second;
  child.edition = edition;
  child.intent = Intent::restart;
  if (child.pid == 0) {
    child.start_at_us = world_.clock.steady_us();
  } else if (child.runs == edition && child.kill_at_us == never) {
    child.intent = Intent::run;
  } else if (child.role == Role::serve) {
    // One that never became ready has nothing to finish.
    const bool busy = edition == Edition::candidate || rollout_.serve_held();
    ask(child, SIGHUP, busy ? serve_grace_us : stop_grace_us);
  } else {
    ask(child, SIGINT, stop_grace_us);
  }
}

void Supervisor::begin_drain() {
  // A candidate that never became ready has nothing to finish.
  const bool upgrading = rollout_.stage() == Rollout::Stage::replacing;
  const bool idle = upgrading && !rollout_.serve_held();
  rollout_.interrupt("the node was told to end");
  phase_ = Phase::serve_draining;
  state_changed_ = true;
  if (const auto report = children_.find("cloudwatch"); report != children_.end()) {
    if (report->second.pid == 0) {
      children_.erase(report);
    } else {
      ::kill(report->second.pid, SIGTERM);  // It looks on until serve is gone.
    }
  }
  const auto serve = children_.find("serve");
  if (serve == children_.end()) return;
  if (serve->second.pid == 0) {
    children_.erase(serve);
    state_changed_ = true;
  } else {
    const bool never_ready = idle && serve->second.runs == Edition::candidate;
    ask(serve->second, SIGTERM,
        never_ready ? stop_grace_us : config_.server.drain_delay_us + serve_grace_us);
  }
}

void Supervisor::drain_ships() {
  phase_ = empty_wanted_ ? Phase::emptying : Phase::ships_draining;
  state_changed_ = true;
  listeners_.clear();  // Nobody accepts any more: refuse, rather than leave clients waiting.
  const Microseconds now_us = world_.clock.steady_us();
  flush_until_us_ = now_us + config_.server.flush_deadline_us + flush_grace_us;
  drain_all(Role::ship, now_us);
}

// The time to kill them comes with stop_now() or give_up_ships().
void Supervisor::drain_all(Role role, Microseconds now_us) {
  for (auto& [name, child] : children_) {
    if (child.role != role) continue;
    if (child.pid == 0) {
      child.start_at_us = now_us;
    } else if (child.intent == Intent::run) {
      ::kill(child.pid, SIGTERM);
    }
  }
}

// Their time is over; what they log is still to be archived.
void Supervisor::give_up_ships() {
  drain_until_us_ = std::exchange(flush_until_us_, never);
  for (const SinkConfig& sink : config_.sinks) {
    end(child_name(Role::ship, sink.name), Intent::stop, SIGINT, stop_grace_us);
  }
  end(report_name, Intent::stop, SIGINT, stop_grace_us);
  state_changed_ = true;
}

void Supervisor::drain_logs() {
  phase_ = Phase::logs_draining;
  state_changed_ = true;
  const Microseconds now_us = world_.clock.steady_us();
  const Microseconds until_us = flush_until_us_ == never ? drain_until_us_ : flush_until_us_;
  flush_until_us_ = std::max(until_us, now_us + logs_grace_us);
  if (world_.log != nullptr) world_.log->rotate();
  drain_all(Role::logs, now_us);
}

bool Supervisor::has(Role role) const {
  return std::ranges::any_of(children_,
                             [&](const auto& entry) { return entry.second.role == role; });
}

// Told to end while it was to deliver everything: now the ships have flush_deadline, as they know.
void Supervisor::go_on_without_time() {
  if (phase_ != Phase::emptying) return;  // serve drains first.
  phase_ = Phase::ships_draining;
  flush_until_us_ = world_.clock.steady_us() + config_.server.flush_deadline_us + flush_grace_us;
  for (auto& [name, child] : children_) {
    if (child.pid == 0) child.start_at_us = world_.clock.steady_us();
  }
  state_changed_ = true;
}

void Supervisor::stop_now() {
  if (phase_ == Phase::stopping) return;
  phase_ = Phase::stopping;
  for (auto& [name, child] : children_) ask(child, SIGINT, stop_grace_us);
  std::erase_if(children_, [](const auto& entry) { return entry.second.pid == 0; });
  state_changed_ = true;
}

void Supervisor::begin_upgrade() {
  if (rollout_.stage() != Rollout::Stage::idle) return;
  const Microseconds now_us = world_.clock.steady_us();
  if (upgrades_ >= upgrades_max) {
    return rollout_.refuse(
        world_.clock.wall_us(), std::string(version),
        fmt::format("this process was upgraded {} times; start it anew", upgrades_));
  }
  std::vector<Rollout::Member> members;
  for (const auto& [name, child] : children_) {
    if (child.intent == Intent::stop) continue;
    const bool settled = child.pid != 0 && now_us - child.started_us >= settled_us;
    members.push_back({name, child.role == Role::serve || settled});
  }
  const auto serve = std::ranges::find(members, "serve", &Rollout::Member::name);
  if (serve != members.end()) std::rotate(members.begin(), serve, serve + 1);
  rollout_.begin(world_.clock.wall_us(), std::string(version), world_.tests(), std::move(members),
                 now_us);
}

void Supervisor::turn_upgrade() {
  rollout_.turn(world_.clock.steady_us());
  if (rollout_.stage() == Rollout::Stage::proven) hand_over();
  if (rollout_.stage() == Rollout::Stage::idle && std::exchange(reload_wanted_, false)) reload();
}

// Comes back only if it fails.
void Supervisor::hand_over() {
  write_state();
  Handover handover;
  handover.notifications = notifications_.get();
  handover.upgrade = rollout_.note();
  handover.upgrades = upgrades_ + 1;
  for (const Listener& listener : listeners_) {
    handover.sockets.push_back({listener.name, listener.socket.get()});
  }
  for (const auto& [name, child] : children_) {
    if (child.pid == 0) continue;
    handover.processes.push_back({name, child.pid, child.started_us, child.restarts});
  }
  if (reload_wanted_) ::raise(SIGHUP);  // Blocked, it waits for who comes.
  log_info("run", "upgrade: handing over", {{"to", rollout_.note().to}});
  rollout_.fail(world_.become(std::move(handover)).what);
}

void Supervisor::reload() {
  if (phase_ != Phase::running) return;
  if (rollout_.stage() != Rollout::Stage::idle) {
    reload_wanted_ = true;
    log_info("run", "an upgrade is under way; the configuration is read after it");
    return;
  }
  const Loaded loaded = world_.load();
  if (!loaded.mistakes.empty()) {
    for (const std::string& mistake : loaded.mistakes) log_error("run", mistake);
    log_error("run", "the configuration has mistakes; going on with the one before");
    return;
  }
  const Reload plan = plan_reload(config_, loaded.config);
  const Status applied =
      plan.refusal.empty() ? apply(plan, loaded) : fail(ErrorKind::reject, plan.refusal);
  if (!applied) {
    log_error("run", applied.error().what);
    log_error("run", "the configuration is refused; going on with the one before");
    return;
  }
  log_info("run", "configuration applied",
           {{"serve_restarted", plan.serve ? 1 : 0},
            {"sinks_started", plan.start.size()},
            {"sinks_stopped", plan.stop.size()},
            {"sinks_restarted", plan.restart.size()}});
}

// Whatever can fail comes first; after that there is no way back and none is needed.
Status Supervisor::apply(const Reload& plan, const Loaded& loaded) {
  const ServerConfig& server = loaded.config.server;
  std::vector<Listener> opened;
  const auto open = [&](std::string_view name, const Address& address) -> Status {
    auto listener = open_listener(name, address);
    if (!listener) return fail(listener);
    log_info("run", "listening", {{"listener", name}, {"address", listener->address.text()}});
    opened.push_back(std::move(*listener));
    return {};
  };
  if (plan.ingest_listener) {
    if (const Status done = open(ingest_listener, server.listen); !done) return done;
  }
  if (plan.admin_listener && server.admin) {
    if (const Status done = open(admin_listener, *server.admin); !done) return done;
  }
  if (const Status adopted = world_.adopt(loaded); !adopted) return adopted;

  std::erase_if(listeners_, [&](const Listener& listener) {
    return listener.name == ingest_listener ? plan.ingest_listener : plan.admin_listener;
  });
  std::ranges::move(opened, std::back_inserter(listeners_));
  config_ = loaded.config;
  set_log_level(config_.log.level);
  for (const std::string& sink : plan.stop) {
    end(child_name(Role::ship, sink), Intent::stop, SIGINT, stop_grace_us);
  }
  for (const std::string& sink : plan.restart) {
    end(child_name(Role::ship, sink), Intent::restart, SIGINT, stop_grace_us);
  }
  for (const std::string& sink : plan.start) {
    // It may still be ending from when it was taken out.
    const bool ending = end(child_name(Role::ship, sink), Intent::restart, SIGINT, stop_grace_us);
    if (!ending) add_child(Role::ship, sink);
  }
  if (plan.report) {
    const bool wanted = config_.cloudwatch.put;
    const bool was =
        end(report_name, wanted ? Intent::restart : Intent::stop, SIGINT, stop_grace_us);
    if (wanted && !was) add_child(Role::report, "");
  }
  apply_to_logs(plan.logs);
  if (plan.serve) {
    end("serve", Intent::restart, SIGHUP, serve_grace_us);
  } else if (const auto serve = children_.find("serve"); serve != children_.end()) {
    if (serve->second.pid > 0) ::kill(serve->second.pid, SIGUSR1);  // Keys and certificates.
  }
  state_changed_ = true;
  return {};
}

void Supervisor::apply_to_logs(Change change) {
  if (change == Change::none) return;
  if (change == Change::stop) {
    end(logs_name, Intent::stop, SIGINT, stop_grace_us);
  } else if (!end(logs_name, Intent::restart, SIGINT, stop_grace_us)) {
    add_child(Role::logs, "");
  }
}

// Tells a child to end for good or for another to take its place; false if there is none.
bool Supervisor::end(std::string_view name, Intent intent, int signal, Microseconds grace_us) {
  const auto found = children_.find(std::string(name));
  if (found == children_.end()) return false;
  found->second.intent = intent;
  ask(found->second, signal, grace_us);
  if (intent == Intent::restart && found->second.pid == 0) found->second.start_at_us = 0;
  if (intent == Intent::stop && found->second.pid == 0) children_.erase(found);
  return true;
}

void Supervisor::write_state() {
  state_changed_ = false;
  told_ = rollout_.note();
  std::string out = fmt::format("{{\"pid\":{},\"version\":\"{}\",\"phase\":\"{}\"", ::getpid(),
                                version, phase_name());
  for (const Listener& listener : listeners_) {
    out += listener.name == ingest_listener ? ",\"listen\":" : ",\"admin\":";
    append_json_string(out, listener.address.text());
  }
  std::string restarts;
  out += ",\"children\":{";
  for (const auto& [name, child] : children_) {
    std::string key;
    append_json_string(key, name);
    if (!restarts.empty()) restarts += ',';
    restarts += fmt::format("{}:{}", key, child.restarts);
    if (child.pid == 0) continue;
    if (out.back() != '{') out += ',';
    out += fmt::format("{}:{}", key, child.pid);
  }
  out += fmt::format("}},\"restarts\":{{{}}}}}\n", restarts);

  write_file("run.json", out);

  NodeState state{.pid = ::getpid(),
                  .version = std::string(version),
                  .phase = phase_name(),
                  .journal = absolute_path(config_.journal.path),
                  .sinks = {},
                  .upgrade = told_};
  for (const SinkConfig& sink : config_.sinks) state.sinks.push_back(sink.name);
  write_file(node_state_file, encode_node_state(state));
}

std::string Supervisor::phase_name() const {
  if (phase_ == Phase::emptying && !has(Role::ship)) return "empty";
  return std::string(name_of(phase_));
}

void Supervisor::write_file(std::string_view name, std::string_view text) {
  const std::string path = fmt::format("{}/{}", config_.data, name);
  const Status written = [&]() -> Status {
    auto file = world_.files.open(path + ".tmp", {.write = true, .create = true, .truncate = true});
    if (!file) return fail(file);
    if (const Status put = write_all(**file, as_bytes(text), 0, Flush::no); !put) return put;
    return world_.files.rename(path + ".tmp", path);
  }();
  if (!written) log_warn("run", written.error().what);
}

}  // namespace inlet::main
