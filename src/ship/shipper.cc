#include "ship/shipper.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/log.h"
#include "base/names.h"

namespace inlet::ship {

using journal::CursorState;

namespace {

constexpr std::size_t streams_known_max = 10'000;  // Then they are forgotten and asked for anew.

}  // namespace

Shipper::Shipper(Clock& clock, RecordSource& source, journal::Cursor& cursor, sinks::Sink& sink,
                 DeadLetters& dead_letters, DamageLog& damage_log, journal::Ledger& ledger,
                 ShipperOptions options)
    : clock_(clock),
      source_(source),
      cursor_(cursor),
      sink_(sink),
      dead_letters_(dead_letters),
      damage_log_(damage_log),
      ledger_(ledger),
      options_(std::move(options)),
      in_flight_max_(
          std::clamp<std::size_t>(sink.in_flight_max(), 1, journal::planned_batches_max)),
      random_(options_.seed) {
  state_ = cursor_.state();
  saved_twice_ = state_.saved_us == 0;  // Never saved: there is nothing to say.
  for (const std::uint64_t end : state_.planned_ends) {
    if (end > (planned_.empty() ? state_.next.sequence : planned_.back())) planned_.push_back(end);
  }
  source_.seek(state_.next);
  open_next();
}

Shipper::~Shipper() {
  if (under_way_ > 0) sink_.abandon();
}

Step Shipper::run_once(Pace pace) {
  if (const auto step = answers_and_settle()) return *step;
  const Microseconds now = clock_.steady_us();
  if (now < not_before_us_) return {.wait_us = not_before_us_ - now};
  if (!window_.empty()) {
    start_waiting();
    if (const auto failed = answers_and_settle()) return *failed;
    if (window_.empty()) return {};
  }
  if (const auto step = collect_and_plan(pace)) return *step;
  start_waiting();
  return answers_and_settle().value_or(Step{});
}

void Shipper::wait(Microseconds wait_us) {
  if (under_way_ == 0) {
    clock_.sleep(wait_us);
  } else if (!answer_) {
    answer_ = sink_.finish(wait_us);
  }
}

// ---- Collect.

// Empty: a batch more is in the window.
std::optional<Step> Shipper::collect_and_plan(Pace pace) {
  if (open_->stage == Stage::collecting) {
    if (auto step = what_is_there(pace)) return step;
    open_->stage = Stage::waiting;
    open_->behind = source_.position();
    if (open_->behind.sequence != open_->end) open_->behind = {.sequence = open_->end};
  }
  if (window_.size() >= in_flight_max_) return Step{.wait_us = options_.poll_us};
  if (const Status planned = plan(); !planned) return back_off(planned.error());
  if (!open_->has_records()) open_->stage = Stage::delivered;
  window_.push_back(std::move(open_));
  open_next();
  return std::nullopt;
}

// Empty: the batch being collected is to go out.
std::optional<Step> Shipper::what_is_there(Pace pace) {
  const auto collected = collect();
  if (!collected) return back_off(collected.error());
  if (*collected == Collected::complete) return std::nullopt;
  const Microseconds idle = options_.poll_us;
  // A planned batch is not shortened: what is missing was committed and will show.
  if (planned_end() != 0) return Step{.wait_us = idle, .caught_up = window_.empty()};
  if (open_->batcher.records() == 0) {
    if (open_->lost > 0) return std::nullopt;  // Nothing but damage: the cursor moves past it.
    if (!window_.empty()) return Step{.wait_us = idle};
    // With nothing more to come, let the older slot say the same: serve goes by the smaller one.
    if (!saved_twice_) {
      if (const Status saved = save(state_); !saved) return back_off(saved.error());
      saved_twice_ = true;
    }
    return Step{.wait_us = idle, .caught_up = true};
  }
  const Microseconds due_in = open_->batcher.due_in_us(clock_.steady_us());
  if (pace == Pace::flush || due_in == 0) return std::nullopt;
  return Step{.wait_us = std::min(idle, due_in)};
}

Result<Shipper::Collected> Shipper::collect() {
  while (!is_complete()) {
    const auto record = source_.next();
    const auto damages = source_.take_damage();
    if (journal_changed()) continue;
    if (const Status noted = note_damage(damages); !noted) {
      source_.seek({.sequence = open_->end});  // To meet the damage, and what follows, again.
      return fail(noted);
    }
    if (!record) return fail(record);
    if (!*record) return is_complete() ? Collected::complete : Collected::caught_up;
    if (planned_end() != 0 && (*record)->sequence >= planned_end()) {
      source_.seek({.sequence = planned_end()});  // The end of the batch is gone.
      open_->skipped += planned_end() - open_->end;
      open_->end = planned_end();
      break;
    }
    take(**record);
  }
  return Collected::complete;
}

bool Shipper::is_complete() const {
  return planned_end() != 0 ? open_->end >= planned_end() : open_->batcher.full();
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
    const std::uint64_t limit = planned_end() != 0 ? planned_end() : UINT64_MAX;
    const std::uint64_t first = std::min(std::max(open_->end, damage.first_sequence), limit);
    const std::uint64_t end = std::min(damage.end_sequence, limit);
    if (end <= open_->end) continue;
    open_->skipped += first - open_->end;  // Recycled before this sink was configured.
    open_->lost += end - first;
    open_->end = end;
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
  state_ = CursorState{.journal_id = id};
  planned_.clear();
  CHECK(window_.empty());  // Nothing is planned before the journal's name is known.
  source_.seek(state_.next);
  spare_.push_back(std::move(open_));
  open_next();
  return true;
}

void Shipper::take(const journal::Record& record) {
  CHECK(record.sequence >= open_->end);
  // Without damage, a hole is what was recycled before this sink was configured.
  open_->skipped += record.sequence - open_->end;
  open_->end = record.sequence + 1;
  if (!is_for_us(record.metadata.stream)) {
    open_->skipped++;
    open_->batcher.add(0, clock_.steady_us());
    return;
  }
  open_->batcher.add(open_->arena.add(record), clock_.steady_us());
  open_->body_bytes += record.body.size();
}

bool Shipper::is_for_us(std::string_view stream) {
  if (options_.streams.size() == 1 && options_.streams[0] == "*") return true;
  if (const auto known = for_us_.find(stream); known != for_us_.end()) return known->second;
  if (for_us_.size() >= streams_known_max) for_us_.clear();
  const bool is = matches_any(options_.streams, stream);
  for_us_.emplace(stream, is);
  return is;
}

// The batch being collected is empty and begins where the last one in hand ends.
void Shipper::open_next() {
  if (spare_.empty()) {
    open_ = std::make_unique<BatchInHand>(options_.batch);
  } else {
    open_ = std::move(spare_.back());
    spare_.pop_back();
  }
  open_->start_at(window_.empty() ? state_.next.sequence : window_.back()->end);
}

// ---- Plan.

std::array<std::uint64_t, journal::planned_batches_max> Shipper::plans(
    std::size_t settled, const BatchInHand* open) const {
  std::array<std::uint64_t, journal::planned_batches_max> ends{};
  std::size_t count = 0;
  const auto add = [&](std::uint64_t end) {
    if (count < ends.size()) ends[count++] = end;
  };
  for (std::size_t i = settled; i < window_.size(); i++) add(window_[i]->end);
  if (open != nullptr) add(open->end);
  for (const std::uint64_t end : planned_) {
    if (open == nullptr || end > open->end) add(end);
  }
  return ends;
}

Status Shipper::plan() {
  const bool was_planned = planned_end() != 0;
  if (!was_planned && open_->has_records()) {
    CursorState state = state_;
    state.planned_ends = plans(0, open_.get());
#if !INLET_MUTANT_plan_not_saved
    if (const Status saved = save(state); !saved) return saved;
#endif
  }
  if (was_planned) planned_.pop_front();
  return {};
}

Status Shipper::save(CursorState state) {
  state.saved_us = clock_.wall_us();
  const Status saved = cursor_.save(state);
  if (saved) state_ = state;
  return saved;
}

// ---- Deliver.

void Shipper::start_waiting() {
  for (const auto& batch : window_) {
    if (batch->stage != Stage::waiting) continue;
    batch->stage = Stage::under_way;
    under_way_++;
    sink_.start(view_of(*batch));
  }
}

sinks::Batch Shipper::view_of(const BatchInHand& batch) const {
  return {.name = {.node = node_, .first = batch.first, .last = batch.end - 1},
          .journal_id = state_.journal_id,
          .records = batch.arena.records()};
}

std::optional<Step> Shipper::answers_and_settle() {
  std::optional<Step> failed;
  while (under_way_ > 0) {
    if (!answer_) answer_ = sink_.finish(0);
    if (!answer_) break;
    if (auto step = take_answer(*std::exchange(answer_, std::nullopt))) failed = step;
  }
  if (failed) return failed;
  if (settle_failed_ && clock_.steady_us() < not_before_us_) return std::nullopt;
  while (!window_.empty() && window_.front()->stage == Stage::delivered) {
    const Status settled = settle(*window_.front());
    settle_failed_ = !settled;
    if (!settled) return back_off(settled.error());
    if (attempts_ > 0) {
      log_info("ship", "delivering again", {{"sink", options_.sink}, {"attempts", attempts_}});
    }
    attempts_ = 0;
    failing_since_us_ = 0;
    spare_.push_back(std::move(window_.front()));
    window_.pop_front();
  }
  return std::nullopt;
}

// A step if the batch has to wait and come again.
std::optional<Step> Shipper::take_answer(sinks::Answer answer) {
  const auto found =
      std::ranges::find_if(window_, [&](const auto& one) { return one->first == answer.first; });
  CHECK(found != window_.end() && (*found)->stage == Stage::under_way);
  BatchInHand& batch = **found;
  under_way_--;
  sinks::Delivery& delivery = answer.delivery;
  switch (decide(delivery.outcome, !delivery.rejected.empty())) {
    case Decision::repeat:
      batch.stage = Stage::waiting;
      return back_off(delivery.outcome, delivery.why, delivery.retry_after_us);
    case Decision::set_aside:
      batch.rejected = std::move(delivery.rejected);
      std::ranges::sort(batch.rejected, {}, &sinks::Rejection::sequence);
      break;
    case Decision::advance: break;
  }
  batch.stage = Stage::delivered;
  return std::nullopt;
}

// ---- Settle.

Status Shipper::settle(BatchInHand& batch) {
  if (!batch.rejected.empty()) {
    if (const Status kept = dead_letters_.keep(view_of(batch), batch.rejected); !kept) return kept;
    log_warn("ship", "records rejected by the sink are set aside",
             {{"sink", options_.sink},
              {"records", batch.rejected.size()},
              {"why", batch.rejected[0].why}});
  }
  const journal::LedgerLine line = ledger_line(batch, clock_.wall_us());
  if (const Status noted = ledger_.add(state_.journal_id, line); !noted) return noted;
  CursorState state = state_;
  state.next = batch.behind;
  state.planned_ends = plans(1, nullptr);
  for (const auto& [name, counts] : line.streams) {
    state.records_delivered += counts.delivered;
    state.bytes_delivered += counts.bytes;
    state.records_rejected += counts.dead;
  }
  state.records_lost += line.lost;
  state.records_skipped += line.skipped;
  saved_twice_ = false;
  return save(state);
}

// ---- Failures and figures.

Step Shipper::back_off(sinks::Outcome outcome, const std::string& why, Microseconds asked_us) {
  // Batches that fail together, while one waits already, are one attempt.
  if (clock_.steady_us() >= not_before_us_) attempts_++;
  attempts_ = std::max<std::uint64_t>(attempts_, 1);
  retries_++;
  last_error_ = why;
  last_error_us_ = clock_.wall_us();
  if (failing_since_us_ == 0) failing_since_us_ = last_error_us_;
  const Microseconds wait = retry_wait_us(options_.retry, outcome, attempts_, asked_us, random_());
  // Every failure at first, then ever fewer: an outage must not fill the log.
  if (std::has_single_bit(attempts_)) {
    log_warn("ship", "delivery waits",
             {{"sink", options_.sink}, {"why", why}, {"attempts", attempts_}, {"wait_us", wait}});
  }
  not_before_us_ = std::max(not_before_us_, clock_.steady_us() + wait);
  return {.wait_us = std::max<Microseconds>(not_before_us_ - clock_.steady_us(), 1)};
}

Step Shipper::back_off(const Error& error) {
  return back_off(outcome_of(error.kind), error.what, 0);
}

Figures Shipper::figures() const {
  const std::uint64_t committed = std::max(source_.committed_sequence(), open_->end);
  std::uint64_t bytes_in_hand = open_->body_bytes;
  for (const auto& batch : window_) bytes_in_hand += batch->body_bytes;
  Figures figures{
      .journal_id = state_.journal_id,
      .next_sequence = state_.next.sequence,
      .committed_sequence = committed,
      .delivered_records = state_.records_delivered,
      .delivered_bytes = state_.bytes_delivered,
      .pending_records = committed - state_.next.sequence,
      .pending_bytes = bytes_in_hand + source_.bytes_behind(),
      .lag_us = 0,
      .retries = retries_,
      .dead_records = state_.records_rejected,
      .lost_records = state_.records_lost,
      .skipped_records = state_.records_skipped,
      .last_error = last_error_,
      .last_error_us = last_error_us_,
      .failing_since_us = failing_since_us_,
  };
  const BatchInHand& oldest = window_.empty() ? *open_ : *window_.front();
  if (oldest.has_records()) {
    const Microseconds received_us = oldest.arena.records().front().received_us;
    figures.lag_us = std::max<Microseconds>(0, clock_.wall_us() - received_us);
  }
  return figures;
}

}  // namespace inlet::ship
