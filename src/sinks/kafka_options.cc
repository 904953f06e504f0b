#include "sinks/kafka_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sinks/kafka_topic.h"

namespace inlet::sinks {
namespace {

constexpr std::array<std::string_view, 4> mechanisms = {"", "PLAIN", "SCRAM-SHA-256",
                                                        "SCRAM-SHA-512"};

Status check_bounds(const KafkaSinkOptions& options) {
  if (options.timeout_us < kafka_timeout_us_min || options.timeout_us > kafka_timeout_us_max) {
    return fail(ErrorKind::reject,
                fmt::format("timeout is from {} to {} s", kafka_timeout_us_min / 1'000'000,
                            kafka_timeout_us_max / 1'000'000));
  }
  if (options.linger_us < 0 || options.linger_us > kafka_linger_us_max) {
    return fail(ErrorKind::reject,
                fmt::format("linger is from 0 to {} ms", kafka_linger_us_max / 1000));
  }
  if (options.message_bytes_max < kafka_message_bytes_min ||
      options.message_bytes_max > kafka_message_bytes_max) {
    return fail(ErrorKind::reject, fmt::format("message_bytes is from {} to {}",
                                               kafka_message_bytes_min, kafka_message_bytes_max));
  }
  return {};
}

Status check_secrets(const KafkaSinkOptions& options) {
  if (std::ranges::find(mechanisms, options.sasl_mechanism) == mechanisms.end()) {
    return fail(ErrorKind::reject,
                "sasl_mechanism is none of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512");
  }
  if (options.sasl_mechanism.empty() != options.user.empty()) {
    return fail(ErrorKind::reject, "sasl_mechanism and user need one another");
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    return fail(ErrorKind::reject, "cert_file and key_file need one another");
  }
  if (!options.tls && !(options.ca_file.empty() && options.cert_file.empty())) {
    return fail(ErrorKind::reject, "ca_file, cert_file and key_file need tls = true");
  }
  return {};
}

}  // namespace

Status check(const KafkaSinkOptions& options) {
  if (options.brokers.empty()) return fail(ErrorKind::reject, "brokers is empty");
  if (const auto topic = TopicTemplate::parse(options.topic); !topic) return fail(topic);
  if (const Status bounds = check_bounds(options); !bounds) return bounds;
  if (const Status secrets = check_secrets(options); !secrets) return secrets;
  if (!options.transactional) return {};
  if (options.transactional_id.empty()) {
    return fail(ErrorKind::reject, "transactional needs a transactional_id");
  }
  if (!is_topic_name(options.cursor_topic)) {
    return fail(ErrorKind::reject, "cursor_topic is not a valid name of a topic");
  }
  return {};
}

}  // namespace inlet::sinks
