#include "load/driver.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <span>

#include "base/check.h"

namespace inlet::loader {
namespace {

constexpr std::size_t receive_buffer_bytes = 64U << 10;
constexpr int events_max = 256;
constexpr std::size_t connecting_max = 256;  // At once, so that no backlog overflows.
constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds reopen_base_us = 10'000;
constexpr Microseconds reopen_max_us = 1'000'000;
constexpr Microseconds repeat_base_us = 50'000;
constexpr Microseconds repeat_max_us = 2'000'000;
constexpr int retry_after_s_max = 60;
constexpr unsigned long timer_slack_ns = 1;  // The default of 50 us would show in every latency.

using State = Connection::State;
using Step = Connection::Step;

Microseconds thread_cpu_us() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return Microseconds{time.tv_sec} * second_us + time.tv_nsec / 1000;
}

// Waits to the nanosecond where the kernel can, else rounds up to the next millisecond.
int wait_for(int epoll, std::span<epoll_event> events, Microseconds timeout_us) {
  const timespec timeout{.tv_sec = timeout_us / second_us,
                         .tv_nsec = timeout_us % second_us * 1000};
  const int count = static_cast<int>(events.size());
  const int ready = ::epoll_pwait2(epoll, events.data(), count, &timeout, nullptr);
  if (ready >= 0 || errno != ENOSYS) return std::max(ready, 0);
  const auto timeout_ms = static_cast<int>((timeout_us + 999) / 1000);
  return std::max(::epoll_wait(epoll, events.data(), count, timeout_ms), 0);
}

}  // namespace

std::uint64_t Figures::answered(int status_class) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < 100; i++) {
    sum += by_status[static_cast<std::size_t>(status_class) * 100 + i];
  }
  return sum;
}

Driver::Driver(Options options, Clock& clock, RequestMaker& requests, Listener& listener)
    : options_(options),
      clock_(clock),
      requests_(requests),
      listener_(listener),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      random_(options.seed + 1),
      slots_(options.connections),
      idle_(options.connections),
      receive_buffer_(receive_buffer_bytes, '\0') {
  CHECK(epoll_ >= 0);
  CHECK(options.connections >= 1 && options.connections <= connections_max);
  CHECK(options.warmup_us <= options.duration_us && options.timeout_us > 0);
  if (options.rate_per_s > 0) {
    pacer_.emplace(Pacer::Options{options.rate_per_s, options.pacing, options.seed});
  }
  ::prctl(PR_SET_TIMERSLACK, timer_slack_ns);
}

Driver::~Driver() { ::close(epoll_); }

Status Driver::start() {
  if (const Status opened = open_all(); !opened) return opened;
  start_us_ = second_start_us_ = clock_.steady_us();
  measure_from_us_ = start_us_ + options_.warmup_us;
  end_us_ = start_us_ + options_.duration_us;
  give_up_us_ = end_us_ + options_.drain_us;
  next_tick_us_ = start_us_ + tick_us;
  if (pacer_) due_us_ = start_us_ + pacer_->next();
  figures_ = {};
  second_ = {};
  if (options_.warmup_us == 0) start_measuring();
  return {};
}

Status Driver::open_all() {
  const Microseconds give_up_us = clock_.steady_us() + options_.timeout_us;
  std::uint32_t next = 0;
  while (next < slots_.size() || connecting_ > 0) {
    while (next < slots_.size() && connecting_ < connecting_max) open(next++);
    const Microseconds left_us = give_up_us - clock_.steady_us();
    if (left_us <= 0 || (idle_count_ == 0 && last_error_ != 0)) break;
    if (connecting_ == 0) continue;
    std::array<epoll_event, events_max> events;
    const int ready = wait_for(epoll_, events, std::min(left_us, tick_us));
    for (int i = 0; i < ready; i++) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      handle(event.data.u32, event.events);
    }
  }
  if (idle_count_ > 0) return {};
  if (last_error_ != 0) return fail(ErrorKind::retry, last_error_text_, last_error_);
  return fail(ErrorKind::retry, std::strerror(ETIMEDOUT), ETIMEDOUT);
}

void Driver::open(std::uint32_t index) {
  Slot& slot = slots_[index];
  const Status opened =
      slot.connection.open(options_.address, options_.security, epoll_, index, clock_.steady_us());
  if (opened) {
    connecting_++;
    slot.answered = false;
    return;
  }
  last_error_ = opened.error().os;
  last_error_text_ = opened.error().what;
  if (measuring_) figures_.refused++;
  second_.lost++;
  drop(index, true);
}

// Closes; opened again at once, or after a pause that grows with the failures in a row.
void Driver::drop(std::uint32_t index, bool failed) {
  Slot& slot = slots_[index];
  if (slot.connection.state() == State::connecting) connecting_--;
  slot.connection.close();
  if (!failed) {
    slot.failures = 0;
    if (!schedule_over_) open(index);
    return;
  }
  const std::uint32_t doublings = std::min<std::uint32_t>(slot.failures++, 7);
  const Microseconds pause_us = std::min(reopen_base_us << doublings, reopen_max_us);
  const auto jitter = static_cast<Microseconds>(random_() % static_cast<std::uint64_t>(pause_us));
  slot.reopen_us = clock_.steady_us() + pause_us / 2 + jitter / 2;
}

void Driver::become_idle(std::uint32_t index) {
  Slot& slot = slots_[index];
  CHECK(slot.connection.state() == State::idle);
  if (slot.queued) return;
  slot.queued = true;
  idle_[(idle_first_ + idle_count_++) % idle_.size()] = index;
}

bool Driver::run_once() {
  if (finished_) return false;
  dispatch();
  wait_for_events();
  const Microseconds now_us = clock_.steady_us();
  if (now_us >= next_tick_us_) tick();
  const bool nothing_left = in_flight_ == 0 && repeats_.empty();
  if (schedule_over_ && (nothing_left || now_us >= give_up_us_)) finish();
  return !finished_;
}

void Driver::stop() {
  const Microseconds now_us = clock_.steady_us();
  if (end_us_ > now_us) {
    end_us_ = now_us;
    give_up_us_ = now_us + options_.drain_us;
  } else {
    give_up_us_ = now_us;
  }
}

void Driver::dispatch() {
  while (idle_count_ > 0) {
    const std::uint32_t index = idle_[idle_first_];
    if (slots_[index].connection.state() == State::idle) {
      const std::optional<Request> request = next_request(clock_.steady_us());
      if (!request) break;
      send(index, *request);
    }
    slots_[index].queued = false;
    idle_first_ = (idle_first_ + 1) % idle_.size();
    idle_count_--;
  }
  if (!schedule_over_ && clock_.steady_us() >= end_us_) count_unsent();
}

std::optional<Request> Driver::next_request(Microseconds now_us) {
  if (!repeats_.empty() && repeats_.top().not_before_us <= now_us) {
    const Request request = repeats_.top().request;
    repeats_.pop();
    return request;
  }
  if (schedule_over_ || is_full()) return std::nullopt;
  if (!pacer_) {
    if (now_us >= end_us_) return std::nullopt;
    return Request{.number = ++last_number_, .due_us = now_us};
  }
  while (due_us_ <= now_us && due_us_ < end_us_) {
    const Request request{.number = last_number_ + 1, .due_us = due_us_};
    due_us_ = start_us_ + pacer_->next();
    if (now_us - request.due_us <= options_.timeout_us) {
      last_number_++;
      return request;
    }
    if (measured(request)) figures_.unsent++;
  }
  return std::nullopt;
}

// The end of the schedule: what was due and has not left by now never will.
void Driver::count_unsent() {
  schedule_over_ = true;
  for (; pacer_ && due_us_ < end_us_; due_us_ = start_us_ + pacer_->next()) {
    if (due_us_ >= measure_from_us_) figures_.unsent++;
  }
  figures_.measured_us = std::max<Microseconds>(end_us_ - measure_from_us_, 0);
}

void Driver::send(std::uint32_t index, Request request) {
  Slot& slot = slots_[index];
  const Microseconds now_us = clock_.steady_us();
  request.attempts++;
  in_flight_++;
  if (measured(request)) {
    figures_.sent++;
    figures_.body_bytes_sent += requests_.body_bytes(request.number);
    if (request.attempts > 1) figures_.repeats++;
    if (request.attempts == 1) figures_.lateness.record(now_us - request.due_us);
  }
  const BodyParts rest = requests_.make(request.number, slot.connection.out());
  if (slot.connection.send(request, rest, now_us) == Step::broken) lost(index);
}

void Driver::wait_for_events() {
  const Microseconds now_us = clock_.steady_us();
  Microseconds wake_us = next_tick_us_;
  if (idle_count_ > 0) {
    if (pacer_ && !schedule_over_ && !is_full())
      wake_us = std::min(wake_us, std::min(due_us_, end_us_));
    if (!repeats_.empty()) wake_us = std::min(wake_us, repeats_.top().not_before_us);
  }
  std::array<epoll_event, events_max> events;
  const int ready = wait_for(epoll_, events, std::max<Microseconds>(wake_us - now_us, 0));
  for (int i = 0; i < ready; i++) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    handle(event.data.u32, event.events);
  }
}

void Driver::handle(std::uint32_t index, std::uint32_t events) {
  Connection& connection = slots_[index].connection;
  if (connection.state() == State::connecting) {
    const Step step = connection.finish_opening();
    if (step == Step::wait) return;
    if (step == Step::broken) {
      last_error_ = connection.error();
      last_error_text_ = connection.error_text();
      if (measuring_) figures_.refused++;
      second_.lost++;
      drop(index, true);
      return;
    }
    connecting_--;
    become_idle(index);
    return;
  }
  if ((events & EPOLLOUT) != 0 && connection.state() == State::busy &&
      connection.send_more() == Step::broken) {
    lost(index);
    return;
  }
  if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) receive(index);
}

void Driver::receive(std::uint32_t index) {
  Connection& connection = slots_[index].connection;
  switch (connection.receive(receive_buffer_)) {
    case Step::wait: return;
    case Step::done: answered(index); return;
    case Step::broken:
      if (connection.state() == State::busy) {
        lost(index);
      } else {
        // Servers close idle connections; no request was hurt. But not ones they just accepted.
        drop(index, !slots_[index].answered);
      }
  }
}

void Driver::answered(std::uint32_t index) {
  Slot& slot = slots_[index];
  const Request request = slot.connection.request();
  const AnswerParser& answer = slot.connection.answer();
  const int status = answer.status();
  const Microseconds latency_us = clock_.steady_us() - request.due_us;
  const bool accepted = status >= 200 && status < 300;
  in_flight_--;
  if (measured(request)) {
    figures_.by_status[static_cast<std::size_t>(status)]++;
    if (accepted) {
      figures_.accepted++;
      figures_.body_bytes_accepted += requests_.body_bytes(request.number);
      figures_.latency.record(latency_us);
    }
  }
  second_.accepted += accepted;
  second_.refused_4xx += status / 100 == 4;
  second_.failed_5xx += status / 100 == 5;
  if (accepted) {
    second_.latency.record(latency_us);
    listener_.settled(request, status, answer.id());
  } else {
    failed(request, status, answer.retry_after_s());
  }
  slot.failures = 0;
  slot.answered = true;
  if (slot.connection.finish_request() == Step::broken) {
    drop(index, false);
  } else {
    become_idle(index);
  }
}

// The connection broke with a request in flight, whose fate is unknown.
void Driver::lost(std::uint32_t index) {
  Connection& connection = slots_[index].connection;
  const Request request = connection.request();
  in_flight_--;
  second_.lost++;
  if (measured(request)) (connection.malformed() ? figures_.malformed : figures_.broken)++;
  drop(index, true);
  failed(request, 0, 0);
}

void Driver::failed(const Request& request, int status, int retry_after_s) {
  if (!options_.retry || finished_) {
    listener_.settled(request, status, {});
    return;
  }
  const std::uint32_t doublings = std::min<std::uint32_t>(request.attempts - 1, 10);
  const Microseconds pause_us = std::min(repeat_base_us << doublings, repeat_max_us);
  const auto jitter = static_cast<Microseconds>(random_() % static_cast<std::uint64_t>(pause_us));
  const Microseconds asked_us = std::min(retry_after_s, retry_after_s_max) * second_us;
  repeats_.push({clock_.steady_us() + std::max(asked_us, pause_us / 2) + jitter / 2, request});
}

void Driver::tick() {
  const Microseconds now_us = clock_.steady_us();
  next_tick_us_ = now_us + tick_us;
  if (!measuring_ && now_us >= measure_from_us_) start_measuring();
  for (std::uint32_t i = 0; i < slots_.size(); i++) {
    const Connection& connection = slots_[i].connection;
    const bool overdue = now_us - connection.started_us() > options_.timeout_us;
    if (connection.state() == State::closed) {
      const bool wanted = !schedule_over_ || !repeats_.empty();
      if (wanted && now_us >= slots_[i].reopen_us && connecting_ < connecting_max) open(i);
    } else if (connection.state() == State::connecting && overdue) {
      if (measuring_) figures_.refused++;
      second_.lost++;
      drop(i, true);
    } else if (connection.state() == State::busy && overdue) {
      const Request request = connection.request();
      in_flight_--;
      second_.timeouts++;
      if (measured(request)) figures_.timeouts++;
      drop(i, true);
      failed(request, 0, 0);
    }
  }
  listener_.tick();
  if (now_us - second_start_us_ >= second_us) report_second();
}

void Driver::report_second() {
  const Microseconds now_us = clock_.steady_us();
  second_.since_start_us = now_us - start_us_;
  second_.length_us = now_us - second_start_us_;
  second_.in_flight = in_flight_;
  second_.warming_up = !measuring_;
  listener_.second(second_);
  second_ = {};
  second_start_us_ = now_us;
}

void Driver::start_measuring() {
  measuring_ = true;
  cpu_before_us_ = thread_cpu_us();
}

// What is still under way is settled as it stands.
void Driver::finish() {
  finished_ = true;
  if (measuring_) figures_.cpu_us = thread_cpu_us() - cpu_before_us_;
  for (Slot& slot : slots_) {
    if (slot.connection.state() != State::busy) continue;
    const Request request = slot.connection.request();
    slot.connection.close();
    if (measured(request)) figures_.timeouts++;
    if (measured(request) && options_.retry) figures_.given_up++;
    listener_.settled(request, 0, {});
  }
  for (; !repeats_.empty(); repeats_.pop()) {
    if (measured(repeats_.top().request)) figures_.given_up++;
    listener_.settled(repeats_.top().request, 0, {});
  }
  in_flight_ = 0;
  listener_.tick();
}

}  // namespace inlet::loader
