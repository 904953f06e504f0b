// kafka_transaction: the transactions of one producer, with our cursor (kafka_cursor.h) in them.
//
// The cursor is committed in the transaction of the batch itself, so it says for certain whether
// the batch is there, whatever happened to us in between.
//
// Invariants:
//   - a new producer takes its id from every older one (they are fenced) and ends what they left
//     open, before the cursor is read.
//   - commit() is called once a transaction. Whatever fails ends the use of the producer; the next
//     one finds out what became of the transaction.
//
// prepare() waits little longer than it is told, half a second at most where a broker is slow.
// commit() blocks for two round trips, and at most commit_us_max twice where the coordinator hangs:
// librdkafka's call about offsets cannot be resumed, and the one to commit may confuse its state
// when it is. One thread.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "sinks/kafka_cursor.h"
#include "sinks/kafka_log.h"
#include "sinks/kafka_producer.h"

struct rd_kafka_queue_s;
struct rd_kafka_op_s;

namespace inlet::sinks {

class KafkaTransaction {
 public:
  // References outlive it.
  KafkaTransaction(KafkaProducer& producer, const KafkaSinkOptions& options, KafkaLog& log);
  KafkaTransaction(const KafkaTransaction&) = delete;
  KafkaTransaction& operator=(const KafkaTransaction&) = delete;
  ~KafkaTransaction();

  // Makes ready for begin(): true once it is, false: call again.
  [[nodiscard]] Result<bool> prepare(Microseconds wait_us);
  // What Kafka knew when prepare() was done; empty: nothing.
  [[nodiscard]] const std::optional<KafkaCursor>& cursor() const { return cursor_; }

  [[nodiscard]] Status begin();
  // Everything under way is answered. Without `cursor`, Kafka's stays where it is.
  [[nodiscard]] Status commit(const std::optional<KafkaCursor>& cursor);

  static constexpr Microseconds look_us_max = 500'000;
  static constexpr Microseconds commit_us_max = 10'000'000;

 private:
  enum class Stage : unsigned char { take_over, look, create, created, read, ready };
  struct FreeQueue {
    void operator()(rd_kafka_queue_s* queue) const;
  };
  struct FreeEvent {
    void operator()(rd_kafka_op_s* event) const;
  };
  using Event = std::unique_ptr<rd_kafka_op_s, FreeEvent>;

  [[nodiscard]] Result<bool> take_over(Microseconds wait_us);
  void look_for_topic();
  void create_topic();
  void note_topic(Microseconds wait_us);
  [[nodiscard]] Status read_cursor();
  [[nodiscard]] Status add_cursor(const KafkaCursor& cursor, const std::string& metadata);
  [[nodiscard]] std::unexpected<Error> failed(std::string_view doing, std::string_view why) const;

  KafkaProducer& producer_;
  const KafkaSinkOptions& options_;
  KafkaLog& log_;
  const std::unique_ptr<rd_kafka_queue_s, FreeQueue> answers_;
  std::unique_ptr<KafkaCursorReader> reader_;  // While the cursor is being read.
  Stage stage_ = Stage::take_over;
  std::optional<KafkaCursor> cursor_;
};

}  // namespace inlet::sinks
