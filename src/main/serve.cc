// serve: the process that accepts. Builds the object graph, waits for signals, ends in order.
//
// SIGTERM: /readyz fails, drain_delay passes while load balancers notice, then accepting stops,
// what is in flight is answered, the journal is closed. SIGHUP and SIGINT: the same without the
// delay. A second signal cuts the delay short.

#include <malloc.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <csignal>
#include <ctime>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/posix_file.h"
#include "main/cli.h"
#include "main/listeners.h"
#include "main/process.h"
#include "serve/service.h"

namespace inlet::main {
namespace {

constexpr Microseconds answer_patience_us = 15'000'000;  // For what is in flight when draining.
constexpr int malloc_arenas = 2;  // More would only spread a small heap over more pages.

serve::Format format_of(Format format) {
  if (format == Format::json) return serve::Format::json;
  return format == Format::ndjson ? serve::Format::ndjson : serve::Format::raw;
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
  for (const SinkConfig& sink : config.sinks) options.store.sinks.push_back(sink.name);
  options.memory_bytes = server.memory_bytes;
  options.rules.standard.body_bytes_max = server.max_body_bytes;
  for (const StreamConfig& stream : config.streams) {
    options.rules.named[stream.name] = {
        format_of(stream.format),
        stream.ack == Ack::replicated ? serve::Ack::replicated : serve::Ack::disk,
        stream.max_body_bytes};
  }
  if (const SinkConfig* const replica = replica_of(config)) {
    options.replica = replica->name;
    options.rules.replicated = replica->streams;
  }
  options.ack_timeout_us = server.ack_timeout_us;
  options.node = config.node.name;
  options.version = version;
  return options;
}

sigset_t end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

}  // namespace

int serve_command(const Config& config) {
  ::umask(077);
  ::mallopt(M_ARENA_MAX, malloc_arenas);
  ::prctl(PR_SET_DUMPABLE, 0);  // No core file may hold customers' bodies.
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = end_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  raise_descriptor_limit();

  auto listeners = take_or_open_listeners(config.server);
  if (!listeners) return report_fault(listeners.error());
  PosixFileSystem files;
  SystemClock clock;
  auto service = serve::Service::open(files, clock, options_of(config));
  if (!service) return report_fault(service.error());
  std::vector<int> sockets;
  for (Listener& listener : *listeners) {
    log_info("serve", "listening", {{"name", listener.name}, {"address", listener.address.text()}});
    sockets.push_back(listener.socket.get());
    if (listener.name == ingest_listener) {
      (*service)->add_ingest_listener(listener.socket.release());
    } else {
      (*service)->add_admin_listener(listener.socket.release());
    }
  }
  (*service)->start();
  notify_ready();

  int signal = 0;
  ::sigwait(&signals, &signal);
  log_info("serve", "draining", {{"signal", signal}});
  if (signal == SIGTERM) {
    (*service)->announce_draining();
    const timespec delay{config.server.drain_delay_us / 1'000'000,
                         config.server.drain_delay_us % 1'000'000 * 1000};
    ::sigtimedwait(&signals, nullptr, &delay);
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
