#include "http/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "http/server_connection.h"

namespace inlet::http {
namespace {

constexpr std::uint64_t sweep_slice_connections = 200;  // Looked at together: some 20 µs.
constexpr std::uint64_t sweep_slices_max = 50;
constexpr int events_per_round_max = 256;

}  // namespace

Loop::Loop(std::size_t index, const Options& options, MemoryBudget& memory, Clock& clock)
    : index_(index),
      options_(options),
      clock_(clock),
      memory_(memory),
      buffers_(memory),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      discard_scratch_(linger_piece_bytes) {
  CHECK(epoll_ >= 0 && wake_ >= 0);  // Only at the start: no descriptors, no server.
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
  CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0);
  sweep_timer_.function = [this] { sweep(); };
  memory_timer_.function = [this] { serve_waiting(); };
  timers_ = {&sweep_timer_, &memory_timer_};
  update_time();
}

Loop::~Loop() {
  // No event comes any more: who waits for one, or for respond(), is dropped with its handler.
  while (!connections_.empty()) delete &connections_.front();
  ::close(wake_);
  ::close(epoll_);
}

void Loop::run() {
  update_time();
  sweep_timer_.at_us = now_us_ + options_.sweep_us;
  while (!stopping_.load(std::memory_order_relaxed)) round();
}

void Loop::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  wake();
}

// The eventfd is watched by its edges, so it is never read.
void Loop::wake() {
  const std::uint64_t one = 1;
  CHECK(::write(wake_, &one, sizeof one) == sizeof one);
}

void Loop::post(std::move_only_function<void()> function) {
  bool first = false;
  {
    const std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(function));
  }
  if (first) wake();
}

bool Loop::watch(int fd, EventSource& source) {
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &source}};
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void Loop::unwatch(int fd) { CHECK(::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr) == 0); }

void Loop::round() {
  epoll_event events[events_per_round_max];
  const int count = ::epoll_wait(epoll_, events, events_per_round_max, wait_ms());
  CHECK(count >= 0 || errno == EINTR);
  update_time();
  handshakes_left_ = handshakes_per_round_max;
  for (int i = 0; i < count; i++) {
    if (events[i].data.ptr == nullptr) continue;  // run_posted() looks anyway.
    const std::uint32_t what = events[i].events;
    const bool ended = (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    static_cast<EventSource*>(events[i].data.ptr)
        ->on_event(ended || (what & EPOLLIN) != 0, ended || (what & EPOLLOUT) != 0, ended);
  }
  run_posted();
  for (ServerConnection* connection : std::exchange(next_round_, {})) connection->go_on();
  if (std::exchange(memory_released_, false)) serve_waiting();
  run_timers();
  reap();
}

int Loop::wait_ms() const {
  if (!next_round_.empty() || memory_released_) return 0;
  Microseconds next_us = never_us;
  for (const Timer* timer : timers_) next_us = std::min(next_us, timer->at_us);
  const Microseconds left_us = std::max<Microseconds>(next_us - now_us_, 0);
  return static_cast<int>(std::min<Microseconds>(left_us, 1'000'000) / 1000) + 1;
}

void Loop::update_time() {
  now_us_ = clock_.steady_us();
  const Microseconds second = clock_.wall_us() / 1'000'000;
  if (second == date_second_) return;
  date_second_ = second;
  date_ = http_date(second * 1'000'000);
}

void Loop::run_posted() {
  std::vector<std::move_only_function<void()>> posted;
  {
    const std::lock_guard lock(posted_mutex_);
    posted.swap(posted_);
  }
  for (auto& function : posted) function();
}

void Loop::run_timers() {
  for (Timer* timer : timers_) {
    if (now_us_ < timer->at_us) continue;
    timer->at_us = never_us;
    timer->function();
  }
}

void Loop::adopt(int fd, const HandlerFactory& factory, const ListenerOptions& listener) {
  auto* const connection = new ServerConnection(*this, fd, factory, listener);
  connections_.push_back(*connection);
  connection->start();
}

void Loop::drain() {
  draining_ = true;
  last_call_ = true;
  for (ServerConnection& connection : connections_) connection.drain();
}

// A slice from the front, which goes to the back: with many connections nobody waits for a look at
// all of them. None is deleted here.
void Loop::sweep() {
  const std::uint64_t open = counters_.open.get();
  const std::uint64_t slices =
      std::clamp<std::uint64_t>(open / sweep_slice_connections, 1, sweep_slices_max);
  for (std::uint64_t left = open / slices + 1; left > 0 && !connections_.empty(); left--) {
    ServerConnection& connection = connections_.front();
    connections_.splice(connections_.end(), connections_, connections_.begin());
    connection.sweep();
  }
  sweep_timer_.at_us = now_us_ + options_.sweep_us / static_cast<Microseconds>(slices);
}

void Loop::run_next_round(ServerConnection& connection) { next_round_.push_back(&connection); }

void Loop::wait_for_memory(ServerConnection& connection, MemoryUse use) {
  List<InWaiting>& waiting = use == MemoryUse::input ? waiting_for_input_ : waiting_for_body_;
  (serving_waiting_ ? tried_ : waiting).push_back(connection);
  if (memory_timer_.at_us == never_us) {
    memory_timer_.at_us = now_us_ + options_.memory_retry_us;
  }
}

void Loop::serve_waiting() {
  serving_waiting_ = true;
  for (List<InWaiting>* waiting : {&waiting_for_input_, &waiting_for_body_}) {
    // Where a body waits because its handler keeps memory from it, those behind it need not.
    const std::size_t failures_max = waiting == &waiting_for_body_ ? body_retries_in_vain_max : 1;
    std::size_t failures = 0;
    while (!waiting->empty() && failures < failures_max) {
      ServerConnection& first = waiting->front();
      waiting->pop_front();
      first.retry_memory();
      if (!tried_.empty() && &tried_.back() == &first) failures++;
    }
    waiting->splice(waiting->begin(), tried_);  // Still the first in line.
  }
  serving_waiting_ = false;
}

void Loop::bury(ServerConnection& connection) { graves_.push_back(&connection); }

bool Loop::take_handshake_turn() {
  if (handshakes_left_ == 0) return false;
  handshakes_left_--;
  return true;
}

void Loop::log_refusal(std::string_view peer, std::string_view reason) {
  if (now_us_ < next_refusal_log_us_) return;
  next_refusal_log_us_ = now_us_ + refusal_log_us;
  log_warn("http", "connection refused", {{"peer", peer}, {"reason", reason}});
}

void Loop::reap() {
  for (ServerConnection* connection : graves_) {
    if (parsed_head_.owner == connection) parsed_head_.owner = nullptr;
    delete connection;
  }
  graves_.clear();
}

}  // namespace inlet::http
