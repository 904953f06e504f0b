#include "sinks/kafka_config.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <string>

namespace inlet::sinks {
namespace {

constexpr Microseconds request_timeout_us_max = 30'000'000;
// The calls about transactions wait for a coordinator that hangs, and finish() with them.
constexpr Microseconds transactional_request_timeout_us_max = 10'000'000;
// What remains to end a transaction after its batch has timed out.
constexpr Microseconds transaction_margin_us = 30'000'000;
constexpr Microseconds reconnect_us_max = 5'000'000;
constexpr Microseconds propagation_us_max = 30'000'000;  // Of a new topic, through the cluster.

// What the sink sets, and names that mean the same.
constexpr auto kept = std::to_array<std::string_view>({
    "acks",
    "batch.num.messages",
    "batch.size",
    "bootstrap.servers",
    "builtin.features",
    "compression.codec",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "group.id",
    "isolation.level",
    "linger.ms",
    "log.queue",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "partitioner",
    "plugin.library.paths",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "retries",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
    "transactional.id",
});

std::string_view name_of(KafkaCompression compression) {
  switch (compression) {
    case KafkaCompression::none: return "none";
    case KafkaCompression::gzip: return "gzip";
    case KafkaCompression::snappy: return "snappy";
    case KafkaCompression::lz4: return "lz4";
    case KafkaCompression::zstd: return "zstd";
  }
  std::unreachable();
}

std::string milliseconds(Microseconds us) { return std::to_string((us + 999) / 1000); }

// Sets properties until one is refused.
class Setter {
 public:
  explicit Setter(rd_kafka_conf_t* config) : config_(config) {}

  void set(const std::string& name, const std::string& value) {
    if (!status_) return;
    std::array<char, 512> why{};  // Holds the value, so it is not passed on.
    switch (rd_kafka_conf_set(config_, name.c_str(), value.c_str(), why.data(), why.size())) {
      case RD_KAFKA_CONF_OK: return;
      case RD_KAFKA_CONF_UNKNOWN:
        status_ = fail(ErrorKind::reject, fmt::format("librdkafka has no property {}", name));
        return;
      case RD_KAFKA_CONF_INVALID:
        status_ =
            fail(ErrorKind::reject, fmt::format("librdkafka does not take this value of {}", name));
        return;
    }
  }
  void set_if(const std::string& name, const std::string& value) {
    if (!value.empty()) set(name, value);
  }
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  rd_kafka_conf_t* const config_;
  Status status_;
};

void set_security(Setter& to, const KafkaSinkOptions& options) {
  const bool sasl = !options.sasl_mechanism.empty();
  to.set("security.protocol",
         std::string(sasl ? "sasl_" : "") + (options.tls ? "ssl" : "plaintext"));
  to.set_if("ssl.ca.location", options.ca_file);
  to.set_if("ssl.certificate.location", options.cert_file);
  to.set_if("ssl.key.location", options.key_file);
  if (!sasl) return;
  to.set("sasl.mechanism", options.sasl_mechanism);
  to.set("sasl.username", options.user);
  to.set("sasl.password", options.password);
}

void set_promises(Setter& to, const KafkaSinkOptions& options) {
  to.set("acks", "all");
  to.set("enable.idempotence", "true");
  if (!options.transactional) {
    to.set("enable.gapless.guarantee", "true");
    to.set("message.timeout.ms", "0");
    return;
  }
  to.set("transactional.id", options.transactional_id);
  to.set("transaction.timeout.ms", milliseconds(options.timeout_us + transaction_margin_us));
}

void set_transport(Setter& to, const KafkaSinkOptions& options) {
  const Microseconds request_us_max =
      options.transactional ? transactional_request_timeout_us_max : request_timeout_us_max;
  to.set("client.id", "inlet");
  to.set("bootstrap.servers", options.brokers);
  to.set("socket.timeout.ms",
         milliseconds(std::clamp<Microseconds>(options.timeout_us / 3, 1'000'000, request_us_max)));
  to.set("socket.keepalive.enable", "true");
  to.set("socket.nagle.disable", "true");
  to.set("reconnect.backoff.max.ms", milliseconds(reconnect_us_max));
}

void set_producing(Setter& to, const KafkaSinkOptions& options, KafkaGathering gathering) {
  to.set("topic.metadata.propagation.max.ms",
         milliseconds(std::min<Microseconds>(options.timeout_us / 2, propagation_us_max)));
  to.set("linger.ms", fmt::format("{:.3f}", static_cast<double>(options.linger_us) / 1000));
  to.set("sticky.partitioning.linger.ms", "0");  // Else it decides about messages without a key.
  to.set("compression.codec", std::string(name_of(options.compression)));
  to.set("message.max.bytes", std::to_string(options.message_bytes_max));
  to.set("batch.size", std::to_string(gathering.set_bytes));
  if (gathering.alone) to.set("batch.num.messages", "1");
  to.set("queue.buffering.max.messages", std::to_string(kafka_queue_messages_max));
  to.set("queue.buffering.max.kbytes",
         std::to_string(2 * (kafka_queue_bytes_max + options.message_bytes_max) / 1024));
}

Status set_properties(Setter& to, const KafkaSinkOptions& options) {
  for (const std::string& property : options.properties) {
    const std::size_t equals = property.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(ErrorKind::reject, "a property is written name=value");
    }
    const std::string name = property.substr(0, equals);
    if (std::ranges::find(kept, name) != kept.end()) {
      return fail(ErrorKind::reject, fmt::format("the property {} is set by Inlet", name));
    }
    to.set(name, property.substr(equals + 1));
  }
  return to.status();
}

}  // namespace

void FreeKafkaConfig::operator()(rd_kafka_conf_s* config) const { rd_kafka_conf_destroy(config); }

Result<KafkaConfig> make_kafka_config(const KafkaSinkOptions& options, KafkaGathering gathering) {
  if (const Status good = check(options); !good) return fail(good);
  KafkaConfig config(rd_kafka_conf_new());
  Setter to(config.get());
  set_transport(to, options);
  set_producing(to, options, gathering);
  set_security(to, options);
  set_promises(to, options);
  if (const Status set = set_properties(to, options); !set) return fail(set);
  return config;
}

Result<KafkaConfig> make_kafka_reader_config(const KafkaSinkOptions& options) {
  KafkaConfig config(rd_kafka_conf_new());
  Setter to(config.get());
  set_transport(to, options);
  set_security(to, options);
  to.set("group.id", options.transactional_id);
  to.set("enable.auto.commit", "false");
  to.set("isolation.level", "read_committed");
  if (const Status set = set_properties(to, options); !set) return fail(set);
  return config;
}

}  // namespace inlet::sinks
