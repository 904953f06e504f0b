#include "top/watch.h"

#include <csignal>

#include "top/screen.h"

namespace inlet::top {
namespace {

constexpr Microseconds step_us = 20'000;       // How long a key may wait for an answer to come,
constexpr Microseconds idle_step_us = 50'000;  // or for nothing.
constexpr Microseconds redraw_us = 250'000;    // Durations go on though nothing happens.
constexpr Microseconds draw_us_min = 100'000;  // Answers of many nodes are drawn together.

volatile std::sig_atomic_t end_wanted = 0;
extern "C" void want_end(int) { end_wanted = 1; }

void listen_to_signals() {
  struct sigaction action{};
  action.sa_handler = want_end;
  ::sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
}

}  // namespace

Status watch(Clock& clock, const PollerOptions& polling, const ViewOptions& viewing) {
  listen_to_signals();  // Before ncurses, which leaves handlers that are there alone.
  auto screen = Screen::open();
  if (!screen) return fail(screen.error().kind, screen.error().what);
  Poller poller(clock, polling);
  View view(viewing);
  Microseconds drawn_us = 0;
  bool changed = true;
  while (end_wanted == 0 && !view.is_over() && !(*screen)->is_lost()) {
    changed = poller.turn(step_us) || changed;
    const Key key = (*screen)->read_key(poller.is_idle() ? idle_step_us : 0);
    view.press(key);
    const Microseconds now_us = clock.steady_us();
    const Microseconds rest_us = changed ? draw_us_min : redraw_us;
    if (key == Key::none && now_us - drawn_us < rest_us) continue;
    (*screen)->show(view.draw(poller.fleet(), (*screen)->size()));
    drawn_us = now_us;
    changed = false;
  }
  return {};
}

Fleet look_once(Clock& clock, const PollerOptions& polling) {
  Poller poller(clock, polling);
  const Microseconds until_us = clock.steady_us() + once_us_max;
  while (!poller.is_settled() && clock.steady_us() < until_us) {
    poller.turn(step_us);
    if (poller.is_idle()) clock.sleep(step_us);
  }
  return poller.fleet();
}

}  // namespace inlet::top
