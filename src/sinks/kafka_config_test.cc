// Goal: options that cannot work are refused before anything is sent, by a sentence that names the
//   option and tells no secret; what keeps the sink's promises cannot be set by hand.
// Method: every bound and pair of options from both sides, and librdkafka's own reading of the
//   configuration.

#include "sinks/kafka_config.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <functional>

namespace inlet::sinks {
namespace {

KafkaSinkOptions good() {
  KafkaSinkOptions options;
  options.brokers = "127.0.0.1:1";
  return options;
}

std::string refusal(const std::function<void(KafkaSinkOptions&)>& change) {
  KafkaSinkOptions options = good();
  change(options);
  const auto made = make_kafka_config(options, {});
  if (made) return "";
  EXPECT_EQ(made.error().kind, ErrorKind::reject);
  return made.error().what;
}

std::string value(const rd_kafka_conf_t* config, const char* name) {
  char text[512] = "";
  std::size_t bytes = sizeof text;
  EXPECT_EQ(rd_kafka_conf_get(config, name, text, &bytes), RD_KAFKA_CONF_OK) << name;
  return text;
}

TEST(KafkaConfig, properties_must_be_known_and_leave_the_promises_alone) {
  const auto with = [](const char* property) {
    return refusal([&](KafkaSinkOptions& options) { options.properties = {property}; });
  };
  EXPECT_EQ(with("statistics.interval.ms=1000"), "");
  EXPECT_EQ(with("client.id=door=1"), "");
  EXPECT_EQ(with("no.such.thing=1"), "librdkafka has no property no.such.thing");
  EXPECT_EQ(with("enable.idempotence=false"), "the property enable.idempotence is set by Inlet");
  EXPECT_EQ(with("sasl.password=hunter2"), "the property sasl.password is set by Inlet");
  EXPECT_EQ(with("acks"), "a property is written name=value");
  EXPECT_EQ(with("=1"), "a property is written name=value");
  const std::string said = with("socket.send.buffer.bytes=hunter2");
  EXPECT_EQ(said, "librdkafka does not take this value of socket.send.buffer.bytes");
}

TEST(KafkaConfig, options_that_need_one_another_come_together) {
  using O = KafkaSinkOptions;
  EXPECT_NE(refusal([](O& o) { o.brokers = ""; }), "");
  EXPECT_NE(refusal([](O& o) { o.topic = "{node}"; }), "");
  EXPECT_NE(refusal([](O& o) { o.user = "user"; }), "");
  EXPECT_NE(refusal([](O& o) { o.sasl_mechanism = "PLAIN"; }), "");
  EXPECT_NE(refusal([](O& o) {
              o.sasl_mechanism = "GSSAPI";
              o.user = "user";
            }),
            "");
  EXPECT_EQ(refusal([](O& o) {
              o.sasl_mechanism = "SCRAM-SHA-512";
              o.user = "user";
            }),
            "");
  EXPECT_NE(refusal([](O& o) { o.ca_file = "ca.pem"; }), "");
  EXPECT_NE(refusal([](O& o) {
              o.tls = true;
              o.cert_file = "c.pem";
            }),
            "");
  EXPECT_EQ(refusal([](O& o) {
              o.tls = true;
              o.cert_file = o.key_file = "c.pem";
            }),
            "");
  EXPECT_NE(refusal([](O& o) { o.transactional = true; }), "");
  EXPECT_NE(refusal([](O& o) {
              o.transactional = true;
              o.transactional_id = "name";
              o.cursor_topic = "a b";
            }),
            "");
  EXPECT_EQ(refusal([](O& o) {
              o.transactional = true;
              o.transactional_id = "name";
            }),
            "");
}

TEST(KafkaConfig, bounds_hold) {
  using O = KafkaSinkOptions;
  EXPECT_EQ(refusal([](O& o) { o.timeout_us = kafka_timeout_us_min; }), "");
  EXPECT_EQ(refusal([](O& o) { o.timeout_us = kafka_timeout_us_max; }), "");
  EXPECT_NE(refusal([](O& o) { o.timeout_us = kafka_timeout_us_min - 1; }), "");
  EXPECT_NE(refusal([](O& o) { o.timeout_us = kafka_timeout_us_max + 1; }), "");
  EXPECT_EQ(refusal([](O& o) { o.linger_us = 0; }), "");
  EXPECT_EQ(refusal([](O& o) { o.linger_us = kafka_linger_us_max; }), "");
  EXPECT_NE(refusal([](O& o) { o.linger_us = kafka_linger_us_max + 1; }), "");
  EXPECT_EQ(refusal([](O& o) { o.message_bytes_max = kafka_message_bytes_min; }), "");
  EXPECT_EQ(refusal([](O& o) { o.message_bytes_max = kafka_message_bytes_max; }), "");
  EXPECT_NE(refusal([](O& o) { o.message_bytes_max = kafka_message_bytes_min - 1; }), "");
  EXPECT_NE(refusal([](O& o) { o.message_bytes_max = kafka_message_bytes_max + 1; }), "");
}

TEST(KafkaConfig, the_promises_are_set) {
  KafkaSinkOptions options = good();
  options.tls = true;
  options.sasl_mechanism = "PLAIN";
  options.user = "user";
  const auto plain = make_kafka_config(options, {.set_bytes = 5000, .alone = true});
  ASSERT_TRUE(plain);
  EXPECT_EQ(value(plain->get(), "enable.idempotence"), "true");
  EXPECT_EQ(value(plain->get(), "enable.gapless.guarantee"), "true");
  EXPECT_EQ(value(plain->get(), "message.timeout.ms"), "0");
  EXPECT_EQ(value(plain->get(), "acks"), "-1");
  EXPECT_EQ(value(plain->get(), "security.protocol"), "sasl_ssl");
  EXPECT_EQ(value(plain->get(), "batch.size"), "5000");
  EXPECT_EQ(value(plain->get(), "batch.num.messages"), "1");
  options.transactional = true;
  options.transactional_id = "inlet-n-bus";
  const auto transactional = make_kafka_config(options, {});
  ASSERT_TRUE(transactional);
  EXPECT_EQ(value(transactional->get(), "transactional.id"), "inlet-n-bus");
  EXPECT_EQ(value(transactional->get(), "transaction.timeout.ms"), "150000");
}

}  // namespace
}  // namespace inlet::sinks
