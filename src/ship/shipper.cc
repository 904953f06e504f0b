#include "ship/shipper.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/log.h"

namespace inlet::ship {

using journal::CursorState;
using journal::Position;

Shipper::Shipper(Clock& clock, RecordSource& source, journal::Cursor& cursor, sinks::Sink& sink,
                 DeadLetters& dead_letters, DamageLog& damage_log, ShipperOptions options)
    : clock_(clock),
      source_(source),
      cursor_(cursor),
      sink_(sink),
      dead_letters_(dead_letters),
      damage_log_(damage_log),
      options_(std::move(options)),
      batcher_(options_.batch),
      arena_(options_.batch.batch_bytes),
      random_(options_.seed) {
  state_ = cursor_.state();
  saved_twice_ = state_.saved_us == 0;  // Never saved: there is nothing to say.
  if (state_.planned_end > state_.next.sequence) planned_end_ = state_.planned_end;
  source_.seek(state_.next);
  start_batch();
}

Step Shipper::run_once(Pace pace) {
  const Microseconds now = clock_.steady_us();
  if (now < not_before_us_) return {.wait_us = not_before_us_ - now};
  if (phase_ == Phase::collect) {
    if (const auto step = run_collect(pace)) return *step;
    phase_ = Phase::plan;
  }
  if (phase_ == Phase::plan) {
    if (const Status planned = plan(); !planned) return back_off(planned.error());
    phase_ = Phase::deliver;
  }
  if (phase_ == Phase::deliver) {
    if (const auto step = deliver()) return *step;
    phase_ = Phase::settle;
  }
  if (const Status settled = settle(); !settled) return back_off(settled.error());
  if (attempts_ > 0) {
    log_info("ship", "delivering again", {{"sink", options_.sink}, {"attempts", attempts_}});
  }
  attempts_ = 0;
  planned_end_ = 0;
  start_batch();
  phase_ = Phase::collect;
  return {};
}

// Empty once the batch is to go out.
std::optional<Step> Shipper::run_collect(Pace pace) {
  const auto collected = collect();
  if (!collected) return back_off(collected.error());
  if (*collected == Collected::complete) return std::nullopt;
  const Microseconds idle = options_.poll_us;
  // A planned batch is not shortened: what is missing was committed and will show.
  if (planned_end_ != 0) return Step{.wait_us = idle, .caught_up = true};
  if (batcher_.records() == 0) {
    if (lost_ > 0) return std::nullopt;  // Nothing but damage: the cursor moves past it.
    // With nothing more to come, let the older slot say the same: serve goes by the smaller one.
    if (!saved_twice_) {
      if (const Status saved = save(state_); !saved) return back_off(saved.error());
      saved_twice_ = true;
    }
    return Step{.wait_us = idle, .caught_up = true};
  }
  const Microseconds due_in = batcher_.due_in_us(clock_.steady_us());
  if (pace == Pace::flush || due_in == 0) return std::nullopt;
  return Step{.wait_us = std::min(idle, due_in)};
}

Result<Shipper::Collected> Shipper::collect() {
  while (!is_complete()) {
    const auto record = source_.next();
    const auto damages = source_.take_damage();
    if (journal_changed()) continue;
    if (const Status noted = note_damage(damages); !noted) {
      source_.seek({.sequence = end_});  // To meet the damage, and the record behind it, again.
      return fail(noted);
    }
    if (!record) return fail(record);
    if (!*record) return is_complete() ? Collected::complete : Collected::caught_up;
    if (planned_end_ != 0 && (*record)->sequence >= planned_end_) {
      source_.seek({.sequence = planned_end_});  // The end of the batch is damaged.
      end_ = planned_end_;
      break;
    }
    take(**record);
  }
  return Collected::complete;
}

bool Shipper::is_complete() const {
  return planned_end_ != 0 ? end_ >= planned_end_ : batcher_.full();
}

// Counts and records what the reader could not read. What lies beyond a planned batch is left to
// the next one.
Status Shipper::note_damage(const std::vector<journal::Damage>& damages) {
  for (const journal::Damage& damage : damages) {
    if (const Status added = damage_log_.add(damage); !added) return added;
    log_error("ship", "acknowledged records could not be read and are skipped",
              {{"sink", options_.sink},
               {"segment", damage.segment},
               {"offset", damage.offset},
               {"first_sequence", damage.first_sequence},
               {"end_sequence", damage.end_sequence},
               {"why", damage.why}});
    const std::uint64_t limit = planned_end_ != 0 ? planned_end_ : UINT64_MAX;
    const std::uint64_t first = std::max(end_, damage.first_sequence);
    const std::uint64_t end = std::min(damage.end_sequence, limit);
    if (end <= first) continue;
    lost_ += end - first;
    end_ = end;
  }
  return {};
}

// Whether this is not the journal the cursor belongs to; then everything starts over.
bool Shipper::journal_changed() {
  const std::uint64_t id = source_.journal_id();
  if (id == 0 || !node_.empty()) return false;
  node_ = sinks::node_name(options_.node, id);
  const bool changed = state_.journal_id != 0 && state_.journal_id != id;
  state_.journal_id = id;
  if (!changed) return false;
  log_error("ship", "the cursor is of another journal; delivery starts at this one's beginning",
            {{"sink", options_.sink}});
  state_.next = Position{};
  state_.planned_end = 0;
  planned_end_ = 0;
  source_.seek(state_.next);
  start_batch();
  return true;
}

void Shipper::take(const journal::Record& record) {
  CHECK(record.sequence >= end_);
  batcher_.add(arena_.add(record), clock_.steady_us());
  body_bytes_ += record.body.size();
  end_ = record.sequence + 1;
}

Status Shipper::save(CursorState state) {
  state.saved_us = clock_.wall_us();
  const Status saved = cursor_.save(state);
  if (saved) state_ = state;
  return saved;
}

Status Shipper::plan() {
  if (planned_end_ != 0 || batcher_.records() == 0) return {};
  CursorState state = state_;
  state.planned_end = end_;
  return save(state);
}

// Empty once the sink has taken the batch.
std::optional<Step> Shipper::deliver() {
  rejected_.clear();
  if (batcher_.records() == 0) return std::nullopt;  // Nothing but damage.
  sinks::Delivery delivery = sink_.deliver(batch());
  switch (decide(delivery.outcome, !delivery.rejected.empty())) {
    case Decision::repeat: return back_off(delivery.outcome, delivery.why, delivery.retry_after_us);
    case Decision::set_aside: rejected_ = std::move(delivery.rejected); break;
    case Decision::advance: break;
  }
  return std::nullopt;
}

Status Shipper::settle() {
  if (!rejected_.empty()) {
    if (const Status kept = dead_letters_.keep(batch(), rejected_); !kept) return kept;
    log_warn("ship", "records rejected by the sink are set aside",
             {{"sink", options_.sink}, {"records", rejected_.size()}, {"why", rejected_[0].why}});
  }
  CursorState state = state_;
  const Position behind = source_.position();
  state.next = behind.sequence == end_ ? behind : Position{.sequence = end_};
  state.planned_end = 0;
  state.records_delivered += batcher_.records() - rejected_.size();
  state.bytes_delivered += body_bytes_;
  state.records_rejected += rejected_.size();
  state.records_lost += lost_;
  saved_twice_ = false;
  return save(state);
}

void Shipper::start_batch() {
  batcher_.clear();
  arena_.clear();
  rejected_.clear();
  end_ = state_.next.sequence;
  body_bytes_ = 0;
  lost_ = 0;
}

sinks::Batch Shipper::batch() const {
  return {.name = {.node = node_, .first = state_.next.sequence, .last = end_ - 1},
          .journal_id = state_.journal_id,
          .records = arena_.records()};
}

Step Shipper::back_off(sinks::Outcome outcome, const std::string& why, Microseconds asked_us) {
  attempts_++;
  retries_++;
  last_error_ = why;
  last_error_us_ = clock_.wall_us();
  const Microseconds wait = retry_wait_us(options_.retry, outcome, attempts_, asked_us, random_());
  // Every failure at first, then ever fewer: an outage must not fill the log.
  if (std::has_single_bit(attempts_)) {
    log_warn("ship", "delivery waits",
             {{"sink", options_.sink}, {"why", why}, {"attempts", attempts_}, {"wait_us", wait}});
  }
  not_before_us_ = clock_.steady_us() + wait;
  return {.wait_us = std::max<Microseconds>(wait, 1)};
}

Step Shipper::back_off(const Error& error) {
  return back_off(outcome_of(error.kind), error.what, 0);
}

Figures Shipper::figures() const {
  const std::uint64_t committed = std::max(source_.committed_sequence(), end_);
  Figures figures{
      .journal_id = state_.journal_id,
      .next_sequence = state_.next.sequence,
      .committed_sequence = committed,
      .delivered_records = state_.records_delivered,
      .delivered_bytes = state_.bytes_delivered,
      .pending_records = committed - state_.next.sequence,
      .pending_bytes = body_bytes_ + source_.bytes_behind(),
      .lag_us = 0,
      .retries = retries_,
      .dead_records = state_.records_rejected,
      .lost_records = state_.records_lost,
      .last_error = last_error_,
      .last_error_us = last_error_us_,
  };
  if (!arena_.records().empty()) {
    figures.lag_us =
        std::max<Microseconds>(0, clock_.wall_us() - arena_.records().front().received_us);
  }
  return figures;
}

}  // namespace inlet::ship
