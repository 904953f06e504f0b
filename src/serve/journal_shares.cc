#include "serve/journal_shares.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/log.h"

namespace inlet::serve {
namespace {

constexpr std::size_t stretches_max = 1024;  // Of each of the two.
constexpr std::size_t parts_max = 1U << 17;  // 2 MiB.
constexpr Microseconds tenants_turn_us = 1'000'000;
constexpr int scan_idle_turns_max = 600;  // Without a record, before the rest is given up.

int percent(double ratio) { return static_cast<int>(ratio * 100); }

}  // namespace

std::uint64_t journal_bytes(const journal::Metadata& metadata, std::uint64_t body_bytes) {
  return round_up(journal::frame_header_bytes + journal::metadata_size(metadata) + body_bytes,
                  limits::frame_alignment);
}

JournalLevel next_level(JournalLevel level, double ratio) {
  const auto above = [&](JournalLevel which, double mark) {
    return ratio >= (level >= which ? mark - journal_level_slack : mark);
  };
  if (above(JournalLevel::pressed, journal_pressed_ratio)) return JournalLevel::pressed;
  if (above(JournalLevel::filling, journal_filling_ratio)) return JournalLevel::filling;
  return JournalLevel::calm;
}

void Stretches::add(std::uint64_t end_sequence, std::vector<Part> parts) {
  if (parts.empty()) return;
  std::ranges::sort(parts, {}, &Part::tenant);
  parts_ += parts.size();
  stretches_.push_back({end_sequence, std::move(parts)});
  while (stretches_.size() > 1 && (stretches_.size() > stretches_max_ || parts_ > parts_max_)) {
    merge_neighbours();
  }
}

void Stretches::deliver(std::uint64_t sequence, const std::function<void(const Part&)>& each) {
  while (!stretches_.empty() && stretches_.front().end_sequence <= sequence) {
    for (const Part& part : stretches_.front().parts) each(part);
    parts_ -= stretches_.front().parts.size();
    stretches_.pop_front();
  }
}

// Every second one into the one behind it.
void Stretches::merge_neighbours() {
  std::deque<Stretch> merged;
  parts_ = 0;
  while (!stretches_.empty()) {
    Stretch first = std::move(stretches_.front());
    stretches_.pop_front();
    if (!stretches_.empty()) {
      Stretch second = std::move(stretches_.front());
      stretches_.pop_front();
      std::vector<Part> both;
      std::ranges::merge(first.parts, second.parts, std::back_inserter(both), {}, &Part::tenant,
                         &Part::tenant);
      std::vector<Part> parts;
      for (const Part& part : both) {
        if (!parts.empty() && parts.back().tenant == part.tenant) {
          parts.back().bytes += part.bytes;
        } else {
          parts.push_back(part);
        }
      }
      parts.shrink_to_fit();
      first = {second.end_sequence, std::move(parts)};
    }
    parts_ += first.parts.size();
    merged.push_back(std::move(first));
  }
  stretches_ = std::move(merged);
}

JournalShares::JournalShares(Tenants& tenants, const journal::Journal& journal, FileSystem& files,
                             Clock& clock, JournalSharesOptions options)
    : tenants_(tenants),
      journal_(journal),
      clock_(clock),
      options_(std::move(options)),
      backlog_(stretches_max, parts_max),
      fresh_(stretches_max, parts_max) {
  const journal::JournalStatus status = journal_.status();
  scan_end_ = status.next_sequence;
  delivered_sequence_ = status.fullness.delivered_sequence;
  if (delivered_sequence_ < scan_end_) {
    reader_ = std::make_unique<journal::Reader>(files, options_.directory);
    reader_->seek({.sequence = delivered_sequence_});
    scanning_ = true;
  } else {
    backlog_known_ = true;
  }
  turn();
}

JournalShares::~JournalShares() { stop(); }

void JournalShares::start() {
  thread_ = std::thread([this] { run(); });
}

void JournalShares::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void JournalShares::run() {
  std::unique_lock lock(mutex_);
  const auto interval = std::chrono::microseconds(options_.turn_us);
  while (!changed_.wait_for(lock, interval, [this] { return stopped_; })) {
    lock.unlock();
    turn();
    scan();
    lock.lock();
  }
}

NodeFacts JournalShares::facts(const MemoryBudget& memory) const {
  return {.journal_pressed = level() == JournalLevel::pressed,
          .journal_bytes = journal_bytes_.load(std::memory_order_relaxed),
          .journal_used = journal_used_.load(std::memory_order_relaxed),
          .journal_relief = journal_relief_.load(std::memory_order_relaxed),
          .drain_bytes_per_s = drain_bytes_per_s_.load(std::memory_order_relaxed),
          .memory_bytes = memory.bytes_max(),
          .memory_used = memory.bytes_used(),
          .active_tenants = tenants_.active()};
}

void JournalShares::turn() {
  // In this order: what was stored before lies below the sequence that is read after.
  std::vector<Stretches::Part> parts = collect();
  const journal::JournalStatus status = journal_.status();
  fresh_.add(status.next_sequence, std::move(parts));
  deliver(status.fullness.delivered_sequence);
  publish(status.fullness);
  const Microseconds now_us = clock_.steady_us();
  if (tenants_turned_us_ != 0 && now_us - tenants_turned_us_ < tenants_turn_us) return;
  tenants_turned_us_ = now_us;
  tenants_.turn();
}

std::vector<Stretches::Part> JournalShares::collect() {
  std::vector<Stretches::Part> parts;
  for (std::uint32_t i = 0; i < tenants_.size(); i++) {
    const std::uint64_t bytes = tenants_.at(i).settle_fresh();
    if (bytes == 0) continue;
    attributed_bytes_ += bytes;
    parts.push_back({i, bytes});
  }
  return parts;
}

void JournalShares::deliver(std::uint64_t sequence) {
  delivered_sequence_ = sequence;
  const auto take_off = [this](const Stretches::Part& part) {
    tenants_.at(part.tenant).delivered(part.bytes);
    attributed_bytes_ -= part.bytes;
  };
  backlog_.deliver(sequence, take_off);
  fresh_.deliver(sequence, take_off);
}

void JournalShares::publish(const journal::Fullness& fullness) {
  // The journal also holds what is nobody's: padding, the delivered part of a segment. Once all
  // records are counted each tenant answers for its part of that too.
  const auto used = static_cast<double>(std::max(fullness.undelivered_bytes, attributed_bytes_));
  const double part =
      backlog_known_ && attributed_bytes_ > 0 ? static_cast<double>(attributed_bytes_) / used : 1;
  const auto capacity = static_cast<double>(fullness.capacity_bytes);
  const double relief = static_cast<double>(fullness.undelivered_bytes) -
                        (journal_pressed_ratio - journal_level_slack) * capacity;
  const auto store = [](std::atomic<std::uint64_t>& to, double value) {
    to.store(static_cast<std::uint64_t>(std::max(0.0, value)), std::memory_order_relaxed);
  };
  store(journal_bytes_, capacity * part);
  store(journal_used_, used * part);
  store(journal_relief_, relief * part);
  store(drain_bytes_per_s_, fullness.drain_bytes_per_s * part);
  const JournalLevel before = level();
  const JournalLevel now = next_level(before, fullness.ratio());
  if (now == before) return;
  level_.store(now, std::memory_order_relaxed);
  tell(now, fullness.ratio());
}

void JournalShares::tell(JournalLevel level, double ratio) const {
  switch (level) {
    case JournalLevel::calm:
      log_info("serve", "the journal has room again", {{"percent", percent(ratio)}});
      break;
    case JournalLevel::filling:
      log_warn("serve", "the journal is filling up", {{"percent", percent(ratio)}});
      break;
    case JournalLevel::pressed:
      log_warn("serve", "the journal is nearly full; tenants over their share are refused",
               {{"percent", percent(ratio)}});
      break;
  }
}

void JournalShares::scan() {
  if (reader_ == nullptr) return;
  if (reader_->position().sequence < delivered_sequence_) {
    reader_->seek({.sequence = delivered_sequence_});
  }
  const ScanState state = scan_some();
  (void)reader_->take_damage();  // The shippers report it.
  if (state == ScanState::more) return;
  if (state == ScanState::stuck) {
    log_warn("serve", "the backlog cannot be read; the rest of it is no tenant's",
             {{"sequence", reader_->position().sequence}});
  }
  reader_.reset();
  backlog_known_ = state == ScanState::done;
  scanning_ = false;
}

// Reads on, by one turn's bytes at most.
JournalShares::ScanState JournalShares::scan_some() {
  std::map<std::uint32_t, std::uint64_t> bytes_of;
  std::uint64_t bytes = 0;
  std::uint64_t end = 0;
  std::string name;
  std::uint32_t tenant = 0;
  const auto done = [this] { return reader_->position().sequence >= scan_end_; };
  while (bytes < options_.scan_bytes_per_turn && !done()) {
    const auto next = reader_->next();
    if (!next || !*next) {
      scan_idle_turns_++;
      break;
    }
    const journal::Record& record = **next;
    if (record.sequence >= scan_end_) break;
    scan_idle_turns_ = 0;
    if (record.metadata.tenant != name || end == 0) {
      name = record.metadata.tenant;
      tenant = tenants_.find(name).index();
    }
    const std::uint64_t taken = journal_bytes(record.metadata, record.body.size());
    bytes_of[tenant] += taken;
    bytes += taken;
    end = record.sequence + 1;
  }
  std::vector<Stretches::Part> parts;
  for (const auto& [index, count] : bytes_of) {
    tenants_.at(index).add_settled(count);
    attributed_bytes_ += count;
    parts.push_back({index, count});
  }
  backlog_.add(end, std::move(parts));
  if (done()) return ScanState::done;
  return scan_idle_turns_ > scan_idle_turns_max ? ScanState::stuck : ScanState::more;
}

}  // namespace inlet::serve
