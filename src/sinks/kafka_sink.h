// kafka_sink: records as messages of Kafka, by an idempotent or a transactional producer.
//
// A message is a record or an event (kafka_options.h); it carries the header inlet-id, by which a
// consumer can tell a repeat. Messages of a tenant's stream go to one partition, in order; only
// key = id gives that up.
//
// Idempotent (the default). What librdkafka repeats by itself arrives once. If a message fails for
// good, the producer stops at once for all messages behind it (gapless), what is under way is
// waited for, what waits is purged, and the batch is answered `retry`; the repeat goes through a
// new producer and leaves out what is known to have arrived. So nothing overtakes, and only what
// was on the wire when a connection, a broker or this process died can arrive twice.
//
// Transactional. A batch is a transaction with the cursor inside (kafka_transaction.h); any failure
// ends the producer, the next one aborts what it left and asks Kafka how far it got, so a consumer
// with isolation.level=read_committed sees every record once. The first batch after that may turn
// out to be there already; what Kafka's cursor has passed is not sent again. (A replay of such
// records needs another transactional_id.)
//
// Rejected are records that are too large, or that brokers refuse for what they are. Brokers refuse
// sets of messages, not messages: after such an answer each message goes alone, until it is
// known which ones are at fault.
//
// Memory: kafka_queue_messages_max messages (values are the batch's own; copies of events are
// bounded by kafka_queue_bytes_max), one set per partition under way, one decoded body.
//
// One thread; librdkafka has threads of its own. Brokers need not be there at the start.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "sinks/kafka_feed.h"
#include "sinks/kafka_log.h"
#include "sinks/kafka_options.h"
#include "sinks/kafka_producer.h"
#include "sinks/kafka_progress.h"
#include "sinks/kafka_topic.h"
#include "sinks/kafka_transaction.h"
#include "sinks/sink.h"

namespace inlet::sinks {

class KafkaSink final : public Sink, private KafkaTaker {
 public:
  // `clock` outlives the sink. ErrorKind::reject for options that cannot work, such as a property
  // librdkafka does not know, or a certificate that is not there.
  [[nodiscard]] static Result<std::unique_ptr<KafkaSink>> create(Clock& clock,
                                                                 KafkaSinkOptions options);
  ~KafkaSink() override;

  void start(const Batch& batch) override;
  [[nodiscard]] std::optional<Answer> finish(Microseconds wait_us) override;
  void abandon() override;

 private:
  enum class Phase : unsigned char {
    idle,
    preparing,  // A producer, and with transactions its turn.
    sending,
    draining,  // Something failed: waiting for what is under way.
  };

  KafkaSink(Clock& clock, KafkaSinkOptions options, TopicTemplate topic);

  void step(Microseconds wait_us);
  void prepare(Microseconds wait_us);
  [[nodiscard]] Status make_producer();
  void begin();
  [[nodiscard]] bool is_there_already();
  void send(Microseconds wait_us);
  void complete();
  [[nodiscard]] Status commit();
  void start_draining(std::string why);
  void drain(Microseconds wait_us);
  void judge();
  void judge_message(const KafkaTicket& ticket);
  void let_go();
  void give_back(std::string why);
  void drop_producer();

  [[nodiscard]] bool take(KafkaPlace place, const Record& record,
                          const KafkaMessage& message) override;
  [[nodiscard]] bool take_too_large(KafkaPlace place, const Record& record,
                                    std::size_t bytes) override;
  [[nodiscard]] bool pause();
  [[nodiscard]] const KafkaRoute* route_of(const Record& record);

  void answer_delivered();
  void answer(Delivery delivery);
  [[nodiscard]] std::string producer_trouble() const;
  [[nodiscard]] std::string nothing_taken() const;

  Clock& clock_;
  const KafkaSinkOptions options_;
  const TopicTemplate topic_;
  KafkaLog log_;
  KafkaFeed feed_;
  KafkaProgress progress_;  // Its tickets outlive the producer.
  KafkaGathering gathering_;
  std::unique_ptr<KafkaProducer> producer_;
  std::unique_ptr<KafkaTransaction> transaction_;

  Phase phase_ = Phase::idle;
  Batch batch_;
  std::string node_;                  // What batch_.name.node views.
  bool cursor_is_news_ = false;       // Kafka's cursor was not yet compared with a batch.
  std::size_t resume_at_ = SIZE_MAX;  // Messages under way, below which more are offered.
  Microseconds progress_us_ = 0;      // When something last got through, or the batch began.
  std::uint64_t answered_ = 0;
  std::string failure_;  // Our own, or the reason to drain.
  // What judge() finds in the window.
  std::string first_fault_;
  bool sets_suspected_ = false;
  bool messages_refused_ = false;
  bool size_refused_ = false;  // In this batch.
  Microseconds drain_until_us_ = 0;
  std::optional<Answer> answer_;
};

}  // namespace inlet::sinks
