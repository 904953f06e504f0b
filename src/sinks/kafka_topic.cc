#include "sinks/kafka_topic.h"

#include <fmt/format.h>

#include <algorithm>

namespace inlet::sinks {
namespace {

bool is_topic_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

bool is_topic_name(std::string_view name) {
  return !name.empty() && name.size() <= topic_name_bytes_max && name != "." && name != ".." &&
         std::ranges::all_of(name, is_topic_character);
}

Result<TopicTemplate> TopicTemplate::parse(std::string_view text) {
  TopicTemplate made;
  while (!text.empty()) {
    const std::string_view literal = text.substr(0, text.find('{'));
    if (!std::ranges::all_of(literal, is_topic_character)) {
      return fail(ErrorKind::reject, "topic has characters besides a-z A-Z 0-9 . _ -");
    }
    if (!literal.empty()) made.parts_.push_back({Kind::literal, std::string(literal)});
    text.remove_prefix(literal.size());
    if (text.empty()) break;
    const std::string_view field = text.substr(0, text.find('}') + 1);
    if (field == "{tenant}") {
      made.parts_.push_back({Kind::tenant, ""});
    } else if (field == "{stream}") {
      made.parts_.push_back({Kind::stream, ""});
    } else {
      return fail(ErrorKind::reject, "topic has braces besides {tenant} and {stream}");
    }
    text.remove_prefix(field.size());
  }
  if (!is_topic_name(made.name("t", "s"))) {
    return fail(ErrorKind::reject,
                fmt::format("topic makes no name of 1 to {} characters", topic_name_bytes_max));
  }
  return made;
}

std::string TopicTemplate::name(std::string_view tenant, std::string_view stream) const {
  std::string name;
  for (const Part& part : parts_) {
    switch (part.kind) {
      case Kind::literal: name += part.text; break;
      case Kind::tenant: name += tenant; break;
      case Kind::stream: name += stream; break;
    }
  }
  return name;
}

}  // namespace inlet::sinks
