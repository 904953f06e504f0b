// kafka_producer: one producer of librdkafka: messages in, and what became of each.
//
// It takes what fits into its queue and says so; every message it took gets an answer in its
// ticket, from poll() or flush(). It knows nothing of batches and repeats nothing: once a message
// has failed it is to be purged and thrown away, and what comes next goes through a new one.
//
// Invariants:
//   - a ticket and what its message views stay where they are until the ticket is answered; values
//     are not copied unless asked for.
//   - after purge(everything) tickets are answered without the help of a broker.
//   - poll() and flush() wait no longer than they are told.
//
// One thread calls; librdkafka's own threads read `KafkaTicket::route` meanwhile.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "sinks/kafka_config.h"
#include "sinks/kafka_log.h"
#include "sinks/kafka_options.h"
#include "sinks/kafka_topic.h"

struct rd_kafka_s;
struct rd_kafka_topic_s;
struct rd_kafka_message_s;

namespace inlet::sinks {

// Where the messages of a tenant's stream go.
struct KafkaRoute {
  std::string key;  // TENANT/STREAM
  std::size_t tenant_bytes = 0;
  rd_kafka_topic_s* topic = nullptr;
};

struct KafkaTicket {
  enum class State : unsigned char { under_way, delivered, failed };

  const KafkaRoute* route = nullptr;
  std::size_t record = 0;  // Which message of the batch: an index of a record,
  std::size_t event = 0;   // and of an event in it.
  std::size_t bytes = 0;   // Of the value.
  State state = State::under_way;
  int error = 0;  // rd_kafka_resp_err_t, if failed.
};

struct KafkaHeader {
  std::string_view name;
  std::string_view value;
};

struct KafkaMessage {
  std::string_view key;  // Empty: none.
  Bytes value;
  bool copy = false;  // The value does not live until the answer.
  Microseconds received_us = 0;
  std::span<const KafkaHeader> headers;
};

class KafkaProducer {
 public:
  // References outlive the producer. Touches no network.
  [[nodiscard]] static Result<std::unique_ptr<KafkaProducer>> create(
      const KafkaSinkOptions& options, KafkaGathering gathering, KafkaLog& log);
  KafkaProducer(const KafkaProducer&) = delete;
  KafkaProducer& operator=(const KafkaProducer&) = delete;
  // Lets go of everything. Joins librdkafka's threads, one of which may be waiting for a resolver.
  ~KafkaProducer();

  // Lives until forget_routes(). ErrorKind::reject if there can be no such topic.
  [[nodiscard]] Result<const KafkaRoute*> route(const TopicTemplate& topic, std::string_view tenant,
                                                std::string_view stream);
  [[nodiscard]] std::size_t routes() const { return routes_.size(); }
  void forget_routes();  // Only with nothing under way.

  enum class Taken : unsigned char {
    yes,
    full,       // Later: there is an answer to wait for.
    too_large,  // Never.
    failed,     // The ticket has the answer already.
  };
  // `ticket` names the route; the rest of it is set here.
  [[nodiscard]] Taken send(KafkaTicket& ticket, const KafkaMessage& message);

  // Collects answers, waiting for one at most `wait_us`.
  void poll(Microseconds wait_us);
  // As poll(), and lets nothing wait for company.
  void flush(Microseconds wait_us);

  enum class Purge : unsigned char {
    queued,      // What waits here; what was sent may still be answered by its broker.
    everything,  // What was sent may or may not arrive.
  };
  void purge(Purge what);

  [[nodiscard]] std::size_t under_way() const { return under_way_; }
  [[nodiscard]] std::size_t bytes_under_way() const { return bytes_under_way_; }  // Of values.
  [[nodiscard]] std::size_t failed() const { return failed_; }
  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  // Whether anything may have arrived through this producer.
  [[nodiscard]] bool used() const { return used_; }
  // For one that goes on after a purge: it never got through, so nothing of it is on the way.
  void forget_failures() { failed_ = 0; }
  // Nothing more can be sent through it.
  [[nodiscard]] bool is_dead() const;
  // Another producer has taken its transactional id.
  [[nodiscard]] bool is_fenced() const;
  // What librdkafka complained of last; "": of nothing.
  [[nodiscard]] const std::string& last_trouble() const { return last_trouble_; }

  [[nodiscard]] rd_kafka_s* handle() const { return handle_; }

 private:
  struct Callbacks;  // What librdkafka calls; its types are not for headers.
  explicit KafkaProducer(KafkaLog& log) : log_(log) {}
  void answer(const rd_kafka_message_s& message);

  KafkaLog& log_;
  rd_kafka_s* handle_ = nullptr;
  std::map<std::string, KafkaRoute, std::less<>> routes_;  // By key.
  const KafkaRoute* last_route_ = nullptr;                 // Records of a stream come in runs.
  std::size_t under_way_ = 0;
  std::size_t bytes_under_way_ = 0;
  std::size_t failed_ = 0;
  std::uint64_t answered_ = 0;
  bool used_ = false;
  std::string last_trouble_;
};

// "Broker: Message size too large".
[[nodiscard]] std::string kafka_error_text(int error);

}  // namespace inlet::sinks
