// serve: the process that accepts. Builds the object graph, waits for signals, ends in order.
//
// SIGTERM: /readyz fails, drain_delay passes while load balancers notice, then accepting stops,
// what is in flight is answered, the journal is closed. SIGHUP and SIGINT: the same without the
// delay. Before the end, answers tell clients for a moment to send no more on their connections.
// A second signal cuts the delay short. SIGUSR1: keys and certificates are read again.

#include <malloc.h>
#include <sys/socket.h>

#include <csignal>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/posix_file.h"
#include "main/cli.h"
#include "main/listener_config.h"
#include "main/listeners.h"
#include "main/log_config.h"
#include "main/process.h"
#include "main/sandbox.h"
#include "serve/service.h"

namespace inlet::main {
namespace {

constexpr Microseconds answer_patience_us = 15'000'000;  // For what is in flight when draining.
constexpr int malloc_arenas = 2;  // More would only spread a small heap over more pages.

serve::Format format_of(Format format) {
  if (format == Format::json) return serve::Format::json;
  return format == Format::ndjson ? serve::Format::ndjson : serve::Format::raw;
}

serve::TenantLimits limits_of(const TenantConfig& tenant) {
  return {.requests_per_s = tenant.requests_per_s,
          .requests_burst = tenant.requests_burst,
          .bytes_per_s = tenant.bytes_per_s,
          .bytes_burst = tenant.bytes_burst,
          .body_bytes_max = tenant.max_body_bytes,
          .requests_in_flight_max = tenant.requests_in_flight,
          .journal_share = tenant.journal_percent / 100.0,
          .memory_share = tenant.memory_percent / 100.0};
}

serve::ServiceOptions options_of(const Config& config) {
  serve::ServiceOptions options;
  const ServerConfig& server = config.server;
  options.http.loops = server.loops;
  options.http.connections_max = server.max_connections;
  options.http.header_us = server.header_timeout_us;
  options.http.body_us = server.body_timeout_us;
  options.http.idle_us = server.idle_timeout_us;
  options.http.write_us = server.write_timeout_us;
  options.http.body_bytes_per_second_min = server.min_body_rate_bytes_per_s;
  options.http.memory_wait_us = server.memory_wait_us;
  options.store.directory = config.journal.path;
  options.store.segment_bytes = config.journal.segment_bytes;
  options.store.bytes_max = config.journal.max_bytes;
  options.store.retain_us = config.journal.retain_us;
  options.store.direct = config.journal.direct == Direct::automatic;
  for (const SinkConfig& sink : config.sinks) {
    options.store.sinks.push_back(sink.name);
    options.sinks.push_back({sink.name, sink.streams});
  }
  options.memory_bytes = server.memory_bytes;
  options.body_bytes_max = server.max_body_bytes;
  options.rules.standard.body_bytes_max = server.max_body_bytes;
  for (const StreamConfig& stream : config.streams) {
    options.rules.named[stream.name] = {
        format_of(stream.format),
        stream.ack == Ack::replicated ? serve::Ack::replicated : serve::Ack::disk,
        stream.max_body_bytes, serve::CorsRule(stream.cors_origins)};
  }
  if (const SinkConfig* const replica = replica_of(config)) {
    options.replica = replica->name;
    options.rules.replicated = replica->streams;
  }
  options.ack_timeout_us = server.ack_timeout_us;
  options.keys_required = server.auth == Auth::keys;
  options.keys_path = server.keys;
  options.limits = limits_of(config.limits);
  for (const TenantConfig& tenant : config.tenants) {
    options.tenants[tenant.name] = limits_of(tenant);
  }
  options.idempotency_keys_max = config.idempotency.max_keys;
  options.idempotency_window_us = config.idempotency.window_us;
  options.dead_directory = config.data + "/dead";
  options.admin_origins = server.admin_origins;
  options.vitals.certificate = server.tls_cert;
  options.vitals.healthd_directory = config.health.healthd_dir;
  options.vitals.emf_file = config.cloudwatch.emf_file;
  options.vitals.emf_period_us = config.cloudwatch.period_us;
  options.vitals.emf.metric_namespace = config.cloudwatch.metric_namespace;
  options.vitals.emf.environment = config.cloudwatch.environment;
  options.vitals.emf.per_node = config.cloudwatch.per_node;
  options.vitals.emf.per_sink = config.cloudwatch.per_sink;
  options.vitals.emf.high_resolution = config.cloudwatch.high_resolution;
  options.access = access_options(config.log);
  if (!config.log.directory.empty()) {
    options.access_file = log_file_options(config.log, "access");
  }
  options.node = config.node.name;
  options.version = version;
  return options;
}

// After everything that serve may not do any more: sockets are open, limits are raised. The
// directories are made now because a fence goes around what exists; if that fails, so does opening
// the journal, and says why.
void settle_in(FileSystem& files, const Config& config, SandboxOptions options) {
  std::vector<std::string> directories = {config.data, config.journal.path};
  if (!config.health.healthd_dir.empty()) directories.push_back(config.health.healthd_dir);
  if (!config.cloudwatch.emf_file.empty()) {
    directories.push_back(parent_directory(config.cloudwatch.emf_file));
  }
  if (!config.log.directory.empty()) directories.push_back(config.log.directory);
  for (const std::string& directory : directories) {
    if (files.make_directories(directory)) options.writable.push_back(directory);
  }
  for (std::string& file : tls_files(config.server)) options.readable.push_back(std::move(file));
  // Its folder: the file is replaced by another of its name.
  if (config.server.auth == Auth::keys) {
    const std::string folder = std::filesystem::path(config.server.keys).parent_path().string();
    options.readable.push_back(folder.empty() ? "." : folder);
  }
  enter_sandbox(ProcessKind::serve, options);
}

sigset_t end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, signal);
  return signals;
}

}  // namespace

int serve_command(const Config& config) {
  const SandboxOptions sandbox = sandbox_options();
  protect_files_and_memory(sandbox);
  ::mallopt(M_ARENA_MAX, malloc_arenas);
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = end_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  raise_descriptor_limit();

  PosixFileSystem files;
  SystemClock clock;
  const auto process_log =
      open_process_log(files, clock, config.log, "serve", logs::Writer::own_thread);
  auto listeners = take_or_open_listeners(config.server);
  if (!listeners) return report_fault(listeners.error());
  auto tls = open_tls(files, clock, config.server);
  if (!tls) return report_fault(tls.error());
  settle_in(files, config, sandbox);
  if (process_log) process_log->start();
  serve::ServiceOptions options = options_of(config);
  options.vitals.process_log = process_log.get();
  auto service = serve::Service::open(files, clock, std::move(options));
  if (!service) return report_fault(service.error());
  std::vector<int> sockets;
  for (Listener& listener : *listeners) {
    log_info("serve", "listening", {{"name", listener.name}, {"address", listener.address.text()}});
    sockets.push_back(listener.socket.get());
    if (listener.name == ingest_listener) {
      (*service)->add_ingest_listener(listener.socket.release(),
                                      listener_options(config.server, tls->get()));
    } else {
      (*service)->add_admin_listener(listener.socket.release());
    }
  }
  if (*tls) (*tls)->watch();
  (*service)->start();
  notify_ready();

  int signal = 0;
  while (::sigwait(&signals, &signal) == 0 && signal == SIGUSR1) {
    (*service)->reload();
    if (*tls) (void)(*tls)->reload();  // It logs what is wrong.
  }
  log_info("serve", "draining", {{"signal", signal}});
  if (signal == SIGTERM) {
    (*service)->announce_draining();
    const timespec delay{config.server.drain_delay_us / 1'000'000,
                         config.server.drain_delay_us % 1'000'000 * 1000};
    ::sigtimedwait(&signals, nullptr, &delay);
  }
  (*service)->call_last();
  if (signal == SIGTERM) {
    // The supervisor holds these sockets too: without this, clients would wait in the backlog for
    // somebody who never comes.
    for (const int socket : sockets) ::shutdown(socket, SHUT_RD);
  }
  (*service)->drain(answer_patience_us);
  (*service)->stop();
  log_info("serve", "stopped");
  return exit_fine;
}

}  // namespace inlet::main
