// kafka_config: a sink's options as a configuration of librdkafka.
//
// The promises of the sink rest on these settings, so `properties` cannot change them:
//
//   enable.idempotence           a message that librdkafka sends again is not written twice, and
//   acks=all                     a written one is on all replicas in sync
//   enable.gapless.guarantee     a message that fails for good takes the producer with it, so that
//                                nothing of its partition arrives before it (not transactional)
//   message.timeout.ms=0         no message is given up alone: the sink gives up a batch
//
// One thread.

#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "sinks/kafka_options.h"

struct rd_kafka_conf_s;

namespace inlet::sinks {

struct FreeKafkaConfig {
  void operator()(rd_kafka_conf_s* config) const;
};
using KafkaConfig = std::unique_ptr<rd_kafka_conf_s, FreeKafkaConfig>;

// How messages are gathered into the sets that a broker takes or refuses as a whole.
struct KafkaGathering {
  std::size_t set_bytes = 1'000'000;  // A larger message goes alone.
  bool alone = false;                 // Every message goes alone.
};

// ErrorKind::reject with a sentence that repeats no value: it may be secret.
[[nodiscard]] Result<KafkaConfig> make_kafka_config(const KafkaSinkOptions& options,
                                                    KafkaGathering gathering);

// For a consumer that only reads what its group, transactional_id, has committed.
[[nodiscard]] Result<KafkaConfig> make_kafka_reader_config(const KafkaSinkOptions& options);

// What librdkafka holds for us at most. Little more than a partition may have on the wire (five
// sets): with more than that waiting, librdkafka's thread spins until a broker answers.
inline constexpr std::size_t kafka_queue_messages_max = 20'000;
inline constexpr std::size_t kafka_queue_bytes_max = 4U << 20;  // And one message.

}  // namespace inlet::sinks
