// kafka_options: what people may choose about a Kafka sink, and whether it makes sense.
//
// Not to choose: acks=all and the idempotent producer (or transactions). Without them neither order
// nor safety could be promised. Plain values; no ownership, no threads.

#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "sinks/sink.h"

namespace inlet::sinks {

// What a message is keyed by. Partitions follow the key; without one they follow TENANT/STREAM, so
// that only `id` gives up the order of a tenant's stream, for an even spread over partitions.
enum class KafkaKey : unsigned char { stream, id, none };

enum class KafkaEvents : unsigned char {
  record,  // A message is a record: the body as it came, and headers.
  event,   // A message is an event, in the envelope of events.h.
};

enum class KafkaCompression : unsigned char { none, gzip, snappy, lz4, zstd };

struct KafkaSinkOptions {
  std::string brokers;  // host:port, by commas.
  std::string topic = "ingest.{tenant}.{stream}";
  KafkaKey key = KafkaKey::stream;
  KafkaEvents events = KafkaEvents::record;
  KafkaCompression compression = KafkaCompression::lz4;
  Microseconds linger_us = 5'000;
  std::size_t message_bytes_max = 1'000'000;  // Key, value and headers; more is rejected.
  // Without a single message getting through; then the batch is given back.
  Microseconds timeout_us = 120'000'000;

  bool transactional = false;
  std::string transactional_id;  // "inlet-NODE-SINK"; also the group that holds the cursor.
  std::string cursor_topic = "inlet-cursors";

  bool tls = false;
  std::string ca_file;  // PEM, instead of the system's certificates.
  std::string cert_file;
  std::string key_file;
  std::string sasl_mechanism;  // "", PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
  std::string user;
  std::string password;

  std::vector<std::string> properties;  // name=value, for librdkafka.

  std::map<std::string, BodyFormat, std::less<>> formats;  // By stream; others are raw.
};

inline constexpr Microseconds kafka_timeout_us_min = 1'000'000;
inline constexpr Microseconds kafka_timeout_us_max = 840'000'000;
inline constexpr Microseconds kafka_linger_us_max = 900'000;  // Below any timeout.
inline constexpr std::size_t kafka_message_bytes_min = 1'000;
inline constexpr std::size_t kafka_message_bytes_max = 1'000'000'000;

// Everything that can be said without librdkafka; ErrorKind::reject.
[[nodiscard]] Status check(const KafkaSinkOptions& options);

}  // namespace inlet::sinks
