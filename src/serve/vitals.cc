#include "serve/vitals.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "serve/status.h"

namespace inlet::serve {
namespace {

constexpr double day_s = 86'400;
constexpr Microseconds minute_us = 60'000'000;
constexpr std::string_view healthd_name = "/application.log";

double seconds(Microseconds us) { return static_cast<double>(us) / 1e6; }

health::Gauges gauges_of(const health::HostFigures& host, const health::NodeState& state,
                         health::Level level) {
  health::Gauges out{.memory_percent = host.memory_used_percent(),
                     .disk_percent = host.disk_used_percent(),
                     .level = level};
  if (host.cpu) out.cpu_percent = 100 - host.cpu->idle - host.cpu->iowait;
  if (host.load) out.load1 = host.load->one;
  out.journal_percent = health::percent_of(state.journal_used_bytes, state.journal_capacity_bytes);
  for (const health::SinkState& sink : state.sinks) {
    out.sink_lag_s = std::max(out.sink_lag_s, sink.lag_s);
  }
  return out;
}

}  // namespace

Vitals::Vitals(FileSystem& files, Clock& clock, const DoorContext& door, const http::Server& server,
               const MemoryBudget& memory, VitalsOptions options)
    : files_(files),
      clock_(clock),
      door_(door),
      server_(server),
      memory_(memory),
      options_(std::move(options)),
      requests_(options_.loops),
      host_reader_(files_, {.disk = options_.journal_directory}),
      emf_us_(clock_.steady_us()) {
  if (!options_.healthd_directory.empty()) {
    healthd_ = std::make_unique<health::HealthdLog>(
        files_, clock_,
        health::HealthdOptions{.base = std::string(options_.healthd_directory).append(healthd_name),
                               .loops = options_.loops});
  }
  if (!options_.emf_file.empty()) {
    emf_ =
        std::make_unique<health::EmfLog>(files_, health::EmfLogOptions{.path = options_.emf_file});
  }
}

Vitals::~Vitals() { stop(); }

void Vitals::start() {
  network_at_start_ = host_reader_.look().network.value_or(health::Traffic{});
  look();
  if (healthd_) healthd_->start();
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "vitals");
}

void Vitals::stop_looking() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Vitals::stop() {
  const bool ran = thread_.joinable() || stopping_;
  stop_looking();
  if (!ran || std::exchange(stopped_all_, true)) return;
  emf_us_ -= options_.emf_period_us;  // The last figures are due now.
  look();
  if (healthd_) healthd_->stop();
}

void Vitals::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, std::chrono::microseconds(look_every_us),
                         [this] { return stopping_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

void Vitals::on_answer(const http::Answered& answered) {
  requests_[answered.loop].answered(answered.status, answered.took_us);
  if (answered.by_server) log_access(answered);
  if (!healthd_) return;
  healthd_->push(answered.loop,
                 health::HealthdEntry::of(clock_.wall_us(), answered.took_us, answered.status,
                                          answered.target, answered.peer));
}

// What no door has answered.
void Vitals::log_access(const http::Answered& answered) {
  if (door_.access == nullptr || !door_.access->wants(answered.loop, answered.status)) return;
  door_.access->push(answered.loop, {.at_us = clock_.wall_us(),
                                     .took_us = answered.took_us,
                                     .status = answered.status,
                                     .client = answered.peer,
                                     .path = answered.target});
}

Vitals::Look Vitals::last_look() const {
  const std::lock_guard lock(mutex_);
  return look_;
}

health::Totals Vitals::totals() const {
  using health::Flow;
  health::Totals out;
  for (const health::RequestFigures& loop : requests_) out.add(loop);
  out.commit_latency = commit_latency_.snapshot();
  out[Flow::records] = door_.figures.sum(&LoopFigures::records_stored);
  out[Flow::body_bytes] = door_.figures.sum(&LoopFigures::bytes_stored);
  out[Flow::received_bytes] = server_.counters().bytes_in;
  const journal::JournalStatus journal = door_.journal->status();
  out[Flow::commits] = journal.commits;
  out[Flow::commits_failed] = journal.commits_failed;
  for (const SinkFigures& sink : door_.sinks->figures()) {
    out[Flow::dead_records] += sink.dead_records;
  }
  const std::lock_guard lock(mutex_);
  if (look_.host.network) {
    // Interfaces that went away took their counts with them.
    const health::Traffic now = *look_.host.network;
    out[Flow::network_in_bytes] = now.in_bytes - std::min(now.in_bytes, network_at_start_.in_bytes);
    out[Flow::network_out_bytes] =
        now.out_bytes - std::min(now.out_bytes, network_at_start_.out_bytes);
  }
  return out;
}

void Vitals::look() {
  Look now{.host = host_reader_.look(), .verdict = {}};
  {
    const std::lock_guard lock(mutex_);
    look_.host = now.host;
  }
  const health::Totals totals = this->totals();
  const journal::JournalStatus journal = door_.journal->status();
  const std::vector<SinkFigures> sinks = door_.sinks->figures();
  const health::Interval minute = window_.over(minute_us);
  const health::NodeState state = state_of(now.host, minute, journal, sinks);
  now.verdict = health::judge(health::readings_of(state));
  window_.tick(clock_.steady_us(), totals, clock_.wall_us(),
               gauges_of(now.host, state, now.verdict.level));
  if (emf_) tell_cloudwatch(totals, now, state, sinks);
  const std::lock_guard lock(mutex_);
  look_ = std::move(now);
}

health::NodeState Vitals::state_of(const health::HostFigures& host, const health::Interval& minute,
                                   const journal::JournalStatus& journal,
                                   const std::vector<SinkFigures>& sinks) {
  const Microseconds now_us = clock_.steady_us();
  const Microseconds wall_us = clock_.wall_us();
  health::NodeState out{.minute = minute, .host = host};
  if (journal.admission != journal::Admission::open) out.refusing = name_of(journal.admission);
  out.journal_used_bytes = journal.fullness.undelivered_bytes;
  out.journal_capacity_bytes = journal.fullness.capacity_bytes;
  out.journal_full_in_s = seconds_until_full(journal.fullness);
  if (std::isinf(*out.journal_full_in_s)) out.journal_full_in_s.reset();
  out.damaged_records = journal.records_lost;
  for (const SinkFigures& sink : sinks) {
    health::SinkState state{.name = sink.name,
                            .lag_s = seconds(lag_us(sink, journal.next_sequence, wall_us))};
    if (sink.updated_us != 0) state.silent_s = seconds(age_us(sink.updated_us, wall_us));
    if (sink.failing_since_us != 0) {
      state.failing_s = seconds(age_us(sink.failing_since_us, wall_us));
      state.error = sink.last_error;
    }
    state.dead_records_last_hour = dead_records_[sink.name].rise(now_us, sink.dead_records);
    out.sinks.push_back(std::move(state));
  }
  out.client_memory_bytes = memory_.bytes_used();
  out.client_memory_max_bytes = memory_.bytes_max();
  out.draining = door_.draining.load(std::memory_order_relaxed);
  const bool stale = door_.gate->keys() != nullptr && door_.gate->keys()->status().stale;
  if (!stale) keys_stale_since_us_.reset();
  if (stale && !keys_stale_since_us_) keys_stale_since_us_ = now_us;
  if (stale) out.keys_stale_s = seconds(now_us - *keys_stale_since_us_);
  if (const std::int64_t ends_s = server_.counters().certificate_ends_s; ends_s != 0) {
    out.certificates.push_back(
        {options_.certificate, (static_cast<double>(ends_s) - seconds(wall_us)) / day_s});
  }
  if (healthd_) out.healthd_dropped_last_hour = healthd_dropped_.rise(now_us, healthd_->dropped());
  return out;
}

void Vitals::tell_cloudwatch(const health::Totals& totals, const Look& look,
                             const health::NodeState& state,
                             const std::vector<SinkFigures>& sinks) {
  const Microseconds now_us = clock_.steady_us();
  if (now_us - emf_us_ < options_.emf_period_us) return;
  const health::Interval period = health::between(emf_totals_, totals, now_us - emf_us_);
  health::CloudFigures figures{.period = period,
                               .host = look.host,
                               .level = look.verdict.level,
                               .journal_used_percent = health::percent_of(
                                   state.journal_used_bytes, state.journal_capacity_bytes),
                               .journal_full_in_s = state.journal_full_in_s};
  for (std::size_t i = 0; i < sinks.size(); i++) {
    figures.sinks.push_back({sinks[i].name, state.sinks[i].lag_s, sinks[i].pending_bytes});
  }
  emf_->write(health::emf_lines(options_.emf, figures, clock_.wall_us()));
  emf_totals_ = totals;
  emf_us_ = now_us;
}

}  // namespace inlet::serve
