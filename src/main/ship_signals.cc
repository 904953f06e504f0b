#include "main/ship_signals.h"

#include <utility>

#include "base/log.h"

namespace inlet::main {

sigset_t ship_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

ShipSignals::ShipSignals(std::function<void()> flush, std::function<void()> stop)
    : flush_(std::move(flush)),
      stop_(std::move(stop)),
      thread_([this](const std::stop_token& token) { listen(token); }) {}

// By a request and then a signal to hear it.
ShipSignals::~ShipSignals() {
  thread_.request_stop();
  ::pthread_kill(thread_.native_handle(), SIGHUP);
  thread_.join();
}

void ShipSignals::listen(const std::stop_token& token) {
  const sigset_t set = ship_signals();
  bool flushing = false;
  while (true) {
    int signal = 0;
    const int failed = ::sigwait(&set, &signal);
    if (token.stop_requested()) return;
    if (failed != 0) continue;
    log_info("ship", "signal", {{"signal", signal}});
    signal == SIGTERM && !std::exchange(flushing, true) ? flush_() : stop_();
  }
}

}  // namespace inlet::main
