#include "main/config_sinks.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>

#include "base/names.h"
#include "main/values.h"

namespace inlet::main {
namespace {

constexpr std::uint32_t gzip_level_max = 9;
constexpr std::string_view storage_classes[] = {
    "",        "STANDARD",   "STANDARD_IA",  "ONEZONE_IA",         "INTELLIGENT_TIERING",
    "GLACIER", "GLACIER_IR", "DEEP_ARCHIVE", "REDUCED_REDUNDANCY", "EXPRESS_ONEZONE"};
constexpr std::string_view encryptions[] = {"", "AES256", "aws:kms", "aws:kms:dsse"};
constexpr std::string_view mechanisms[] = {"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
constexpr std::string_view methods[] = {"POST", "PUT"};

// Whether one directory is the other or inside it, as far as the names tell.
bool overlap(const std::string& a, const std::string& b) {
  const auto plain = [](const std::string& path) {
    auto normal = std::filesystem::path(path).lexically_normal();
    return normal.has_filename() ? normal : normal.parent_path();
  };
  const auto first = plain(a);
  const auto second = plain(b);
  const auto [x, y] = std::ranges::mismatch(first, second);
  return x == first.end() || y == second.end();
}

class Checker {
 public:
  using Wrong = std::function<void(std::string_view, const std::string&)>;
  Checker(const SinkConfig& sink, const Config& config, const Wrong& wrong)
      : sink_(sink), config_(config), wrong_(wrong) {}

  void check() {
    check_any();
    switch (sink_.type) {
      case SinkType::file: return check_file();
      case SinkType::s3: return check_s3();
      case SinkType::kafka: return check_kafka();
      case SinkType::kinesis:
        need("kinesis_stream", sink_.kinesis_stream);
        template_fits("kinesis_stream", sink_.kinesis_stream);
        return;
      case SinkType::firehose:
        need("delivery_stream", sink_.delivery_stream);
        template_fits("delivery_stream", sink_.delivery_stream);
        return;
      case SinkType::http: return check_http();
    }
  }

 private:
  void check_any() {
    if (sink_.streams.empty()) wrong_("streams", "is empty: nothing would be delivered");
    for (const std::string& pattern : sink_.streams) {
      if (!is_name_pattern(pattern)) {
        wrong_("streams", fmt::format("\"{}\" is not a pattern: a stream's name, in which '*' "
                                      "stands for any characters",
                                      pattern));
      }
    }
    const bool only_kafka =
        sink_.compression == Compression::snappy || sink_.compression == Compression::lz4;
    if (only_kafka && sink_.type != SinkType::kafka) {
      wrong_("compression", "only a sink of type kafka has snappy and lz4");
    }
    if (sink_.compression == Compression::gzip && sink_.level > gzip_level_max) {
      wrong_("level",
             fmt::format("{} is above {}, the most gzip has", sink_.level, gzip_level_max));
    }
    if (!sink_.replica) return;
    if (sink_.type == SinkType::file) {
      wrong_("replica", "a file is on this node: it cannot make a record safe beyond it");
    }
    for (const SinkConfig& other : config_.sinks) {
      if (other.replica && other.name < sink_.name) {
        wrong_("replica", fmt::format("sinks.{} is the replica already", other.name));
      }
    }
  }

  void check_file() {
    if (overlap(sink_.path, config_.journal.path)) {
      wrong_("path", fmt::format("{} and journal.path, {}, must not be in one another", sink_.path,
                                 config_.journal.path));
    }
    for (const SinkConfig& other : config_.sinks) {
      if (other.type != SinkType::file || other.name >= sink_.name) continue;
      if (!overlap(other.path, sink_.path)) continue;
      wrong_("path", fmt::format("{} and sinks.{}.path, {}, must not be in one another", sink_.path,
                                 other.name, other.path));
    }
  }

  void check_s3() {
    need("bucket", sink_.bucket);
    one_of("storage_class", sink_.storage_class, storage_classes);
    one_of("sse", sink_.sse, encryptions);
    if (!sink_.kms_key.empty() && !sink_.sse.starts_with("aws:kms")) {
      wrong_("kms_key", "needs sse = \"aws:kms\"");
    }
  }

  void check_kafka() {
    need("brokers", sink_.brokers);
    need("topic", sink_.topic);
    template_fits("topic", sink_.topic);
    one_of("sasl_mechanism", sink_.sasl_mechanism, mechanisms);
    if (!sink_.sasl_mechanism.empty() && sink_.user.empty()) need("user", sink_.user);
    if (sink_.sasl_mechanism.empty() && !sink_.user.empty()) {
      wrong_("user", "needs sasl_mechanism, which says how it is proved");
    }
    if (!sink_.tls && !sink_.ca_file.empty()) wrong_("ca_file", "needs tls = true");
    if (!sink_.tls && !sink_.cert_file.empty()) wrong_("cert_file", "needs tls = true");
    for (const std::string& property : sink_.properties) {
      if (property.find('=') != std::string::npos) continue;
      wrong_("properties", "every property is written \"NAME=VALUE\"");
    }
    check_pair();
  }

  void check_http() {
    need("url", sink_.url);
    if (!sink_.url.empty() && !sink_.url.starts_with("http://") &&
        !sink_.url.starts_with("https://")) {
      wrong_("url", "begins with neither http:// nor https://");
    }
    template_fits("url", sink_.url);
    const std::size_t host = sink_.url.find("//") + 2;
    const std::string authority = sink_.url.substr(host, sink_.url.find('/', host) - host);
    if (authority.find('@') != std::string::npos) {
      wrong_("url", "holds a user or a password; write them as user and password");
    }
    if (authority.find('{') != std::string::npos) {
      wrong_("url", "{tenant} and {stream} can stand behind the host only");
    }
    if (sink_.user.find(':') != std::string::npos) wrong_("user", "holds a ':'");
    one_of("method", sink_.method, methods);
    for (const std::string& header : sink_.headers) {
      const std::size_t colon = header.find(':');
      const bool fine = colon != 0 && colon != std::string::npos &&
                        header.find_first_of("\r\n") == std::string::npos;
      if (!fine) wrong_("headers", "every header is written \"NAME: VALUE\"");
    }
    if (!sink_.bearer.empty() && !sink_.user.empty()) {
      wrong_("bearer", "and user cannot both be sent: there is one Authorization header");
    }
    check_pair();
  }

  void check_pair() {
    if (!sink_.cert_file.empty()) need("key_file", sink_.key_file);
    if (!sink_.key_file.empty()) need("cert_file", sink_.cert_file);
  }

  void need(std::string_view key, const std::string& value) {
    if (value.empty()) wrong_(key, fmt::format("is needed by a sink of this type"));
  }

  // {tenant} and {stream} are all that can be filled in.
  void template_fits(std::string_view key, const std::string& text) {
    for (std::size_t at = text.find_first_of("{}"); at != std::string::npos;
         at = text.find_first_of("{}", at)) {
      const std::string_view rest = std::string_view(text).substr(at);
      const std::string_view known = rest.starts_with("{tenant}") ? "{tenant}" : "{stream}";
      if (!rest.starts_with(known)) {
        wrong_(key, fmt::format("\"{}\": only {{tenant}} and {{stream}} can be filled in", text));
        return;
      }
      at += known.size();
    }
  }

  void one_of(std::string_view key, const std::string& value,
              std::span<const std::string_view> choices) {
    if (std::ranges::find(choices, value) != choices.end()) return;
    std::string list;
    for (const std::string_view choice : choices) {
      if (choice.empty()) continue;
      if (!list.empty()) list += choice == choices.back() ? " or " : ", ";
      list += fmt::format("\"{}\"", choice);
    }
    wrong_(key, fmt::format("\"{}\" is not {}{}", value, list, suggestion(value, choices)));
  }

  const SinkConfig& sink_;
  const Config& config_;
  const Wrong& wrong_;
};

}  // namespace

void check_sink_values(const SinkConfig& sink, const Config& config,
                       const std::function<void(std::string_view, const std::string&)>& wrong) {
  Checker(sink, config, wrong).check();
}

const SinkConfig* replica_of(const Config& config) {
  const auto found = std::ranges::find(config.sinks, true, &SinkConfig::replica);
  return found == config.sinks.end() ? nullptr : &*found;
}

}  // namespace inlet::main
