// ship_signals: the signals that end a process of inlet-ship, as wishes.
//
// The first SIGTERM asks to finish what there is; any other signal, or a second one, to end.
//
// The owner has blocked SIGTERM, SIGINT and SIGHUP in every thread, so that one that comes early is
// kept. Both functions are called on a thread of this object's, while it lives.

#pragma once

#include <csignal>
#include <functional>
#include <thread>

namespace inlet::main {

[[nodiscard]] sigset_t ship_signals();

class ShipSignals {
 public:
  ShipSignals(std::function<void()> flush, std::function<void()> stop);
  ShipSignals(const ShipSignals&) = delete;
  ShipSignals& operator=(const ShipSignals&) = delete;
  ~ShipSignals();

 private:
  void listen(const std::stop_token& token);

  const std::function<void()> flush_;
  const std::function<void()> stop_;
  std::jthread thread_;
};

}  // namespace inlet::main
