#include "main/supervisor.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"

namespace inlet::main {
namespace {

std::string child_name(Role role, const std::string& sink) {
  if (role == Role::report) return "cloudwatch";
  return role == Role::serve ? "serve" : "ship-" + sink;
}

std::unexpected<Error> os_error(const char* call) {
  const int os = errno;
  return fail(ErrorKind::retry, fmt::format("{}: {}", call, std::strerror(os)), os);
}

// A datagram socket under an abstract name that the kernel picks.
Result<std::string> open_notifications(Descriptor& out) {
  out = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (::bind(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address.sun_family) != 0) {
    return os_error("bind the notification socket");
  }
  socklen_t bytes = sizeof address;
  if (::getsockname(out.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    return os_error("getsockname of the notification socket");
  }
  const std::size_t length = bytes - offsetof(sockaddr_un, sun_path);
  CHECK(length > 1 && address.sun_path[0] == '\0');
  return fmt::format("@{}", std::string_view(address.sun_path + 1, length - 1));
}

}  // namespace

Supervisor::Supervisor(World world, Config config, std::vector<Listener> listeners)
    : world_(std::move(world)), config_(std::move(config)), listeners_(std::move(listeners)) {}

Status Supervisor::run() {
  if (const Status open = open_ears(); !open) return open;
  add_child(Role::serve, "");
  for (const SinkConfig& sink : config_.sinks) add_child(Role::ship, sink.name);
  if (config_.cloudwatch.put) add_child(Role::report, "");
  while (true) {
    turn();
    if (state_changed_) write_state();
    if (children_.empty()) break;
    wait();
    hear_signals();
    hear_ready();
    reap_children();
  }
  (void)world_.files.remove(config_.data + "/run.json");  // Stale, and nothing else.
  return {};
}

Status Supervisor::open_ears() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaddset(&set, signal);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return os_error("block signals");
  signals_ = Descriptor(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_) return os_error("open a descriptor for signals");
  auto name = open_notifications(notifications_);
  if (!name) return fail(name);
  notify_socket_ = std::move(*name);
  return {};
}

// Until a signal, a notification or the next time something is due.
void Supervisor::wait() {
  Microseconds next_us = phase_ == Phase::ships_draining ? flush_until_us_ : never;
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
    if (signal == SIGHUP) {
      reload();
    } else if (phase_ == Phase::running) {
      begin_drain();
    } else {
      stop_now();
    }
  }
}

void Supervisor::hear_ready() {
  std::array<char, 64> message{};
  while (true) {
    const ssize_t got = ::recv(notifications_.get(), message.data(), message.size(), 0);
    if (got < 0) return;
    const std::string_view text(message.data(), static_cast<std::size_t>(got));
    if (!text.starts_with("READY=1")) continue;
    log_info("run", "serve is ready");
    if (!std::exchange(was_ready_, true)) world_.ready(listeners_);
  }
}

void Supervisor::reap_children() {
  for (Ended ended = reap(); ended.pid != 0; ended = reap()) {
    const auto found = std::ranges::find_if(
        children_, [&](const auto& entry) { return entry.second.pid == ended.pid; });
    if (found == children_.end()) continue;  // Not ours: adopted as process 1.
    on_end(found->first, found->second, ended.status);
  }
}

void Supervisor::on_end(const std::string& name, Child& child, int status) {
  const Microseconds now_us = world_.clock.steady_us();
  const Microseconds alive_us = now_us - child.started_us;
  const Next next = after_exit({child.role, phase_, child.intent, classify_status(status)});
  child.pid = 0;
  child.kill_at_us = never;
  state_changed_ = true;
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
  if (phase_ == Phase::ships_draining && now_us >= flush_until_us_) stop_now();
}

void Supervisor::add_child(Role role, const std::string& sink) {
  Child child;
  child.role = role;
  child.sink = sink;
  child.start_at_us = world_.clock.steady_us();
  children_.emplace(child_name(role, sink), std::move(child));
}

void Supervisor::start(const std::string& name, Child& child) {
  const Microseconds now_us = world_.clock.steady_us();
  child.intent = Intent::run;
  const bool drain = phase_ == Phase::ships_draining;
  const auto pid = child.role == Role::serve  ? spawn(world_.serve, {listeners_, notify_socket_})
                   : child.role == Role::ship ? spawn(world_.ship(child.sink, drain), {})
                                              : spawn(world_.report, {});
  if (!pid) {
    const Microseconds delay_us = child.backoff.next(0);
    child.start_at_us = now_us + delay_us;
    log_error("run", pid.error().what, {{"process", name}, {"delay_ms", delay_us / 1000}});
    return;
  }
  child.pid = *pid;
  child.started_us = now_us;
  child.start_at_us = never;
  state_changed_ = true;
  log_info("run", "process started", {{"process", name}, {"pid", child.pid}});
}

// Tells a running child to end; SIGKILL follows.
void Supervisor::ask(Child& child, int signal, Microseconds grace_us) {
  if (child.pid == 0) return;
  ::kill(child.pid, signal);
  child.kill_at_us = std::min(child.kill_at_us, world_.clock.steady_us() + grace_us);
}

void Supervisor::begin_drain() {
  phase_ = Phase::serve_draining;
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
    ask(serve->second, SIGTERM, config_.server.drain_delay_us + serve_grace_us);
  }
}

void Supervisor::drain_ships() {
  phase_ = Phase::ships_draining;
  listeners_.clear();  // Nobody accepts any more: refuse, rather than leave clients waiting.
  const Microseconds now_us = world_.clock.steady_us();
  flush_until_us_ = now_us + config_.server.flush_deadline_us + flush_grace_us;
  for (auto& [name, child] : children_) {
    if (child.role == Role::report) continue;
    if (child.pid == 0) {
      child.start_at_us = now_us;
    } else if (child.intent == Intent::run) {
      ::kill(child.pid, SIGTERM);  // Its time to be killed comes with stop_now().
    }
  }
}

void Supervisor::stop_now() {
  if (phase_ == Phase::stopping) return;
  phase_ = Phase::stopping;
  for (auto& [name, child] : children_) ask(child, SIGINT, stop_grace_us);
  std::erase_if(children_, [](const auto& entry) { return entry.second.pid == 0; });
  state_changed_ = true;
}

void Supervisor::reload() {
  if (phase_ != Phase::running) return;
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
  const auto end = [&](const std::string& name, Intent intent, int signal, Microseconds grace_us) {
    const auto found = children_.find(name);
    if (found == children_.end()) return false;
    found->second.intent = intent;
    ask(found->second, signal, grace_us);
    if (intent == Intent::restart && found->second.pid == 0) found->second.start_at_us = 0;
    if (intent == Intent::stop && found->second.pid == 0) children_.erase(found);
    return true;
  };
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
        end("cloudwatch", wanted ? Intent::restart : Intent::stop, SIGINT, stop_grace_us);
    if (wanted && !was) add_child(Role::report, "");
  }
  if (plan.serve) {
    end("serve", Intent::restart, SIGHUP, serve_grace_us);
  } else if (const auto serve = children_.find("serve"); serve != children_.end()) {
    if (serve->second.pid > 0) ::kill(serve->second.pid, SIGUSR1);  // Keys and certificates.
  }
  state_changed_ = true;
  return {};
}

void Supervisor::write_state() {
  state_changed_ = false;
  std::string out = fmt::format("{{\"pid\":{}", ::getpid());
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

  const std::string path = config_.data + "/run.json";
  const Status written = [&]() -> Status {
    auto file = world_.files.open(path + ".tmp", {.write = true, .create = true, .truncate = true});
    if (!file) return fail(file);
    if (const Status put = write_all(**file, as_bytes(out), 0, Flush::no); !put) return put;
    return world_.files.rename(path + ".tmp", path);
  }();
  if (!written) log_warn("run", written.error().what);
}

}  // namespace inlet::main
