#include "sinks/kafka_sink.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/names.h"

namespace inlet::sinks {
namespace {

constexpr Microseconds slice_us = 50'000;         // Of waiting, between looks at the clock.
constexpr Microseconds drain_us_max = 5'000'000;  // For answers to what was sent before a failure.
constexpr Microseconds purge_us_max = 1'000'000;  // For librdkafka to let go of what it holds.
constexpr std::size_t flush_messages_max = 1000;
constexpr std::size_t routes_max = 10'000;        // Remembered; then all are looked up anew.
constexpr std::size_t set_bytes_min = 16U << 10;  // Brokers take sets of so many bytes.

// What a broker has against a message itself. The set it came in was refused with it.
bool is_about_message(int error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD: return true;
    default: return false;
  }
}

// What a message suffers because another one failed.
bool is_consequence(int error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE:
    case RD_KAFKA_RESP_ERR__STATE: return true;
    default: return false;
  }
}

}  // namespace

Result<std::unique_ptr<KafkaSink>> KafkaSink::create(Clock& clock, KafkaSinkOptions options) {
  if (const Status good = check(options); !good) return fail(good);
  auto topic = TopicTemplate::parse(options.topic);
  if (!topic) return fail(topic);
  std::unique_ptr<KafkaSink> sink(new KafkaSink(clock, std::move(options), std::move(*topic)));
  if (const Status made = sink->make_producer(); !made) return fail(made);
  return sink;
}

KafkaSink::KafkaSink(Clock& clock, KafkaSinkOptions options, TopicTemplate topic)
    : clock_(clock),
      options_(std::move(options)),
      topic_(std::move(topic)),
      log_(clock),
      feed_(options_),
      progress_(kafka_queue_messages_max) {}

KafkaSink::~KafkaSink() { abandon(); }

Status KafkaSink::make_producer() {
  auto made = KafkaProducer::create(options_, gathering_, log_);
  if (!made) return fail(made);
  producer_ = std::move(*made);
  answered_ = 0;
  if (options_.transactional) {
    transaction_ = std::make_unique<KafkaTransaction>(*producer_, options_, log_);
    cursor_is_news_ = true;
  }
  return {};
}

void KafkaSink::drop_producer() {
  transaction_.reset();
  producer_.reset();
}

void KafkaSink::start(const Batch& batch) {
  CHECK(phase_ == Phase::idle && !answer_);
  batch_ = batch;
  node_ = batch.name.node;
  batch_.name.node = node_;
  progress_.start(batch_.name);
  feed_.start(batch_);
  feed_.rewind(progress_.place());
  failure_.clear();
  progress_us_ = clock_.steady_us();
  phase_ = Phase::preparing;
  if (!options_.transactional) step(0);
}

std::optional<Answer> KafkaSink::finish(Microseconds wait_us) {
  const Microseconds until = clock_.steady_us() + wait_us;
  while (phase_ != Phase::idle) {
    const Microseconds left = std::max<Microseconds>(0, until - clock_.steady_us());
    step(std::min(left, slice_us));
    if (left == 0) break;
  }
  return std::exchange(answer_, std::nullopt);
}

void KafkaSink::step(Microseconds wait_us) {
  switch (phase_) {
    case Phase::idle: return;
    case Phase::preparing: return prepare(wait_us);
    case Phase::sending: return send(wait_us);
    case Phase::draining: return drain(wait_us);
  }
}

void KafkaSink::prepare(Microseconds wait_us) {
  if (!producer_) {
    if (const Status made = make_producer(); !made) return give_back(made.error().what);
  }
  if (transaction_) {
    const auto ready = transaction_->prepare(wait_us);
    if (!ready) {
      drop_producer();
      return give_back(ready.error().what);
    }
    if (!*ready) {
      if (clock_.steady_us() - progress_us_ > options_.timeout_us) give_back(nothing_taken());
      return;
    }
    if (is_there_already()) return;
  }
  begin();
}

// Compares the batch with what Kafka says it has; answers if all of it is there.
bool KafkaSink::is_there_already() {
  const std::optional<KafkaCursor>& cursor = transaction_->cursor();
  if (!std::exchange(cursor_is_news_, false) || !cursor) return false;
  if (cursor->journal_id != batch_.journal_id || cursor->next <= batch_.name.first) return false;
  const auto is_behind = [&](const Record& record) { return record.sequence < cursor->next; };
  const auto rest = std::ranges::find_if_not(batch_.records, is_behind);
  const auto count = static_cast<std::size_t>(rest - batch_.records.begin());
  log_info("kafka", "records are there already, as Kafka's cursor says",
           {{"records", count}, {"next_sequence", cursor->next}});
  // Those of older batches are in the dead letters: the cursor goes on only after that.
  if (cursor->next == batch_.name.last + 1) {
    for (const std::uint64_t sequence : cursor->rejected) {
      progress_.reject(sequence, "Kafka rejected it before the restart");
    }
  }
  if (batch_.name.last < cursor->next) {
    answer_delivered();
    return true;
  }
  progress_.skip_to({.record = count});
  feed_.rewind(progress_.place());
  return false;
}

void KafkaSink::begin() {
  if (transaction_) {
    if (const Status begun = transaction_->begin(); !begun) {
      drop_producer();
      return give_back(begun.error().what);
    }
  }
  if (producer_->routes() > routes_max) producer_->forget_routes();
  progress_us_ = clock_.steady_us();
  resume_at_ = SIZE_MAX;
  phase_ = Phase::sending;
  send(0);
}

void KafkaSink::send(Microseconds wait_us) {
  if (producer_->under_way() <= resume_at_) {
    resume_at_ = SIZE_MAX;
    feed_.offer(*this);
  }
  const bool all_offered = feed_.at_end();
  // Only the last set of each partition would wait for company; and while it is told not to wait,
  // librdkafka's thread spins where a broker has enough to do.
  if (all_offered && wait_us > 0 && producer_->under_way() <= flush_messages_max) {
    producer_->flush(wait_us);
  } else {
    producer_->poll(wait_us);
  }
  progress_.slide();
  const Microseconds now = clock_.steady_us();
  if (producer_->answered() != answered_) {
    answered_ = producer_->answered();
    progress_us_ = now;
  }
  if (!failure_.empty() || producer_->failed() > 0 || producer_->is_dead()) {
    start_draining(failure_);
  } else if (all_offered && producer_->under_way() == 0) {
    complete();
  } else if (now - progress_us_ > options_.timeout_us) {
    start_draining(nothing_taken());
  }
}

bool KafkaSink::take(KafkaPlace place, const Record& record, const KafkaMessage& message) {
  if (!progress_.has_room() || producer_->bytes_under_way() >= kafka_queue_bytes_max) {
    return pause();
  }
  const KafkaRoute* route = route_of(record);
  if (route == nullptr) return failure_.empty();
  KafkaTicket* ticket = progress_.open(place, route);
  if (ticket == nullptr) return true;
  switch (producer_->send(*ticket, message)) {
    case KafkaProducer::Taken::yes: return true;
    case KafkaProducer::Taken::failed: return false;
    case KafkaProducer::Taken::full: progress_.withdraw(); return pause();
    case KafkaProducer::Taken::too_large:
      progress_.withdraw();
      return take_too_large(place, record, message.value.size());
  }
  std::unreachable();
}

// Until answers have come. Where a record's events have to be made anew, until it is worth it.
bool KafkaSink::pause() {
  const std::size_t under_way = producer_->under_way();
  resume_at_ = options_.events == KafkaEvents::event ? under_way / 2 : under_way - 1;
  return false;
}

bool KafkaSink::take_too_large(KafkaPlace, const Record& record, std::size_t bytes) {
  progress_.reject(record.sequence,
                   fmt::format("a message of {} bytes, with its headers, is over message_bytes, {}",
                               bytes, options_.message_bytes_max));
  return true;
}

// Null: rejected, or with failure_ set nothing can be sent now.
const KafkaRoute* KafkaSink::route_of(const Record& record) {
  if (!is_name(record.tenant) || !is_name(record.stream)) {
    progress_.reject(record.sequence, "tenant or stream is not a valid name");
    return nullptr;
  }
  const auto route = producer_->route(topic_, record.tenant, record.stream);
  if (route) return *route;
  if (route.error().kind == ErrorKind::reject) {
    progress_.reject(record.sequence, route.error().what);
  } else {
    failure_ = route.error().what;
  }
  return nullptr;
}

void KafkaSink::complete() {
  if (transaction_) {
    if (const Status committed = commit(); !committed) {
      // It may be committed all the same: the next producer asks.
      progress_.rewind(true);
      drop_producer();
      return give_back(committed.error().what);
    }
  }
  if (gathering_.alone) {
    // No message was too large alone: what is too large here is the set.
    if (!size_refused_) gathering_.set_bytes = std::max(set_bytes_min, gathering_.set_bytes / 2);
    gathering_.alone = false;
    drop_producer();
  }
  answer_delivered();
}

Status KafkaSink::commit() {
  KafkaCursor cursor{.journal_id = batch_.journal_id, .next = batch_.name.last + 1};
  for (const Rejection& rejection : progress_.rejections()) {
    cursor.rejected.push_back(rejection.sequence);
  }
  // A cursor that cannot tell what was rejected would lose it if we died now; without it the batch
  // would arrive twice.
  if (!kafka_cursor_metadata(cursor)) return transaction_->commit(std::nullopt);
  return transaction_->commit(cursor);
}

void KafkaSink::start_draining(std::string why) {
  failure_ = std::move(why);
  // What a transaction leaves open is aborted anyway.
  drain_until_us_ = clock_.steady_us() + (transaction_ ? 0 : drain_us_max);
  phase_ = Phase::draining;
  drain(0);
}

void KafkaSink::drain(Microseconds wait_us) {
  const Microseconds late_us = clock_.steady_us() - drain_until_us_;
  // Again and again: what fails on the way is put back into the queue.
  producer_->purge(late_us >= 0 ? KafkaProducer::Purge::everything : KafkaProducer::Purge::queued);
  producer_->poll(wait_us);
  if (producer_->under_way() > 0 && late_us < purge_us_max) return;
  judge();
}

// Ends the window, and the producer unless it never got through: then it has no past that could get
// in the way.
void KafkaSink::let_go() {
  const std::size_t lost = producer_->under_way();
  if (lost > 0) {
    // Seen once with librdkafka 2.0, after a failover in which a new topic's partitions vanished.
    log_warn("kafka", "messages were never answered; the producer is replaced",
             {{"messages", lost}});
  }
  if (options_.transactional || lost > 0 || producer_->used() || producer_->is_dead()) {
    drop_producer();
  } else {
    producer_->forget_failures();
  }
  progress_.fail_unanswered(RD_KAFKA_RESP_ERR__PURGE_INFLIGHT);
  progress_.rewind(options_.transactional);
}

// Everything is answered, and something failed: goes on if only messages themselves are at fault.
void KafkaSink::judge() {
  first_fault_.clear();
  sets_suspected_ = messages_refused_ = false;
  for (const KafkaTicket& ticket : progress_.window()) {
    if (ticket.state != KafkaTicket::State::failed || is_consequence(ticket.error)) continue;
    if (is_about_message(ticket.error)) {
      judge_message(ticket);
    } else if (first_fault_.empty()) {
      first_fault_ = fmt::format("Kafka did not take a message of {}: {}", ticket.route->key,
                                 kafka_error_text(ticket.error));
    }
  }
  const std::string trouble = producer_trouble();
  let_go();
  if (!failure_.empty()) return give_back(failure_);
  if (!first_fault_.empty()) return give_back(first_fault_);
  if (!sets_suspected_ && !messages_refused_) {
    return give_back(trouble);
  }
  if (sets_suspected_ && !gathering_.alone) {
    log_warn("kafka", "a broker refused a set of messages; each is sent alone to find out which",
             {{"set_bytes", gathering_.set_bytes}});
    gathering_.alone = true;
    drop_producer();
  }
  feed_.rewind(progress_.place());
  phase_ = Phase::preparing;
}

void KafkaSink::judge_message(const KafkaTicket& ticket) {
  const bool is_size = ticket.error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
  const bool was_alone = gathering_.alone || (is_size && ticket.bytes >= gathering_.set_bytes);
  if (!was_alone) {
    sets_suspected_ = true;
    return;
  }
  messages_refused_ = true;
  size_refused_ = size_refused_ || is_size;
  progress_.refuse({ticket.record, ticket.event}, batch_.records[ticket.record].sequence,
                   fmt::format("Kafka refused a message of {} bytes: {}", ticket.bytes,
                               kafka_error_text(ticket.error)));
}

void KafkaSink::abandon() {
  answer_.reset();
  if (phase_ == Phase::idle) return;
  phase_ = Phase::idle;
  if (!producer_) return;
  const Microseconds until = clock_.steady_us() + purge_us_max;
  while (producer_->under_way() > 0 && clock_.steady_us() < until) {
    producer_->purge(KafkaProducer::Purge::everything);
    producer_->poll(1'000);
  }
  let_go();  // From here on nothing views the batch.
}

std::string KafkaSink::producer_trouble() const {
  if (producer_->is_fenced()) {
    return fmt::format("another instance took the transactional id {} over",
                       options_.transactional_id);
  }
  const std::string& trouble = producer_->last_trouble();
  return trouble.empty() ? "Kafka's producer failed and did not say why"
                         : fmt::format("Kafka's producer failed: {}", trouble);
}

std::string KafkaSink::nothing_taken() const {
  const std::string& trouble = producer_->last_trouble();
  return fmt::format("Kafka took nothing for {} s{}{}", options_.timeout_us / 1'000'000,
                     trouble.empty() ? "" : ": ", trouble);
}

void KafkaSink::give_back(std::string why) {
  answer({.outcome = Outcome::retry, .why = std::move(why)});
}

void KafkaSink::answer_delivered() {
  Delivery delivery;
  for (Rejection& rejection : progress_.rejections()) {
    delivery.rejected.push_back(std::move(rejection));
  }
  progress_.finish();
  size_refused_ = false;
  answer(std::move(delivery));
}

void KafkaSink::answer(Delivery delivery) {
  answer_ = Answer{batch_.name.first, std::move(delivery)};
  phase_ = Phase::idle;
}

}  // namespace inlet::sinks
