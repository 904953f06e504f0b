// Goal: a topic's name is one that Kafka takes, or it is refused with a reason before it is used.
// Method: names at and over every bound of the rule; templates with every kind of mistake.

#include "sinks/kafka_topic.h"

#include <gtest/gtest.h>

namespace inlet::sinks {
namespace {

TEST(KafkaTopic, names_are_those_the_brokers_allow) {
  EXPECT_TRUE(is_topic_name("a"));
  EXPECT_TRUE(is_topic_name("ingest.Acme-1_x"));
  EXPECT_TRUE(is_topic_name("..."));
  EXPECT_TRUE(is_topic_name(std::string(249, 'x')));
  EXPECT_FALSE(is_topic_name(std::string(250, 'x')));
  for (const char* name : {"", ".", "..", "a b", "a/b", "a{b", "\xc3\xa4"}) {
    EXPECT_FALSE(is_topic_name(name)) << name;
  }
}

TEST(KafkaTopic, a_template_puts_tenant_and_stream_in) {
  EXPECT_EQ(TopicTemplate::parse("ingest.{tenant}.{stream}")->name("acme", "web"),
            "ingest.acme.web");
  EXPECT_EQ(TopicTemplate::parse("{stream}{stream}")->name("acme", "web"), "webweb");
  EXPECT_EQ(TopicTemplate::parse("all")->name("acme", "web"), "all");
}

TEST(KafkaTopic, a_template_with_a_mistake_is_refused) {
  for (const char* text : {"", ".", "..", "a b", "{tenant", "tenant}", "{}", "{node}", "{ tenant}",
                           "{{tenant}}", "{tenant}/{stream}"}) {
    const auto made = TopicTemplate::parse(text);
    ASSERT_FALSE(made) << text;
    EXPECT_EQ(made.error().kind, ErrorKind::reject);
    EXPECT_FALSE(made.error().what.empty());
  }
  EXPECT_FALSE(TopicTemplate::parse(std::string(250, 'x')));
}

}  // namespace
}  // namespace inlet::sinks
