// kafka_topic: names of topics: what Kafka allows, and a template with {tenant} and {stream}.
//
// Pure; no threads.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace inlet::sinks {

inline constexpr std::size_t topic_name_bytes_max = 249;

// [a-zA-Z0-9._-]{1,249}, but not "." or "..": the rule of Kafka's brokers
// (org.apache.kafka.common.internals.Topic).
[[nodiscard]] bool is_topic_name(std::string_view name);

class TopicTemplate {
 public:
  // ErrorKind::reject if a brace is not part of {tenant} or {stream}, or if what is around them
  // can stand in no topic's name.
  [[nodiscard]] static Result<TopicTemplate> parse(std::string_view text);

  // The name, which may still be too long.
  [[nodiscard]] std::string name(std::string_view tenant, std::string_view stream) const;

 private:
  enum class Kind : unsigned char { literal, tenant, stream };
  struct Part {
    Kind kind;
    std::string text;
  };
  std::vector<Part> parts_;
};

}  // namespace inlet::sinks
