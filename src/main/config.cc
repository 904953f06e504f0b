#include "main/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "base/check.h"
#include "base/limits.h"
#include "base/names.h"
#include "main/config_schema.h"
#include "main/config_sinks.h"
#include "main/config_sources.h"
#include "main/listener_config.h"
#include "main/log_config.h"
#include "main/values.h"
#include "serve/tenant.h"

namespace inlet::main {
namespace {

constexpr std::uint64_t file_bytes_max = 1U << 20;
constexpr std::uint64_t memory_bytes_default = 256U << 20;
constexpr std::uint64_t memory_bytes_min = 48U << 20;
constexpr std::uint64_t descriptors_reserved = 64;  // For the journal, logs and the like.
constexpr std::uint64_t connections_default_max = 1U << 20;
constexpr std::uint64_t segments_min = 4;

std::string section_path(const Given& given) {
  return given.name.empty() ? given.section : given.section + "." + given.name;
}

// Scheme, host and port of a page, as browsers send them (RFC 6454 section 6.2).
bool is_origin(std::string_view text) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!text.starts_with(scheme)) continue;
    text.remove_prefix(scheme.size());
    return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-:[]") ==
                                std::string_view::npos;
  }
  return false;
}

// A URL without the user and password that somebody wrote into it: they are a mistake, and theirs.
std::string without_user(const std::string& value) {
  const std::size_t scheme = value.find("://");
  if (scheme == std::string::npos) return value;
  const std::size_t host = scheme + 3;
  const std::size_t end = std::min(value.find('/', host), value.size());
  const std::size_t at = value.substr(0, end).rfind('@');
  if (at == std::string::npos || at < host) return value;
  return value.substr(0, host) + "(secret)" + value.substr(at);
}

// Puts the sources on top of each other, then works out what depends on several keys.
class Loader {
 public:
  explicit Loader(const Sources& sources) : sources_(sources) {}

  Loaded load(FileSystem& files) {
    read_sources(files);
    make_sections();
    for (const Section& section : config_sections()) apply_section(section);
    fill_in();
    check_values();
    finish();
    return std::move(loaded_);
  }

 private:
  [[nodiscard]] std::string environment(std::string_view name) const {
    for (const auto& [variable, value] : sources_.environment) {
      if (variable == name) return value;
    }
    return {};
  }

  void read_sources(FileSystem& files) {
    const bool file_by_flag = !sources_.file.empty();
    loaded_.file = file_by_flag ? sources_.file : environment("INLET_CONFIG");
    if (!loaded_.file.empty()) {
      if (const Status read = read_file(files); read) {
        read_toml(loaded_.file_text, loaded_.file, written_);
      } else {
        Place place;
        place.text = file_by_flag ? "--config" : "environment INLET_CONFIG";
        mistake(std::move(place), read.error().what);
      }
    }
    std::ranges::stable_sort(written_.given, {}, [](const Given& given) {
      return std::tuple(given.place.line, given.place.column);
    });
    read_environment(sources_.environment, written_);
    for (const Sources::Flag& flag : sources_.flags) {
      const std::size_t dot = flag.key.find('.');
      Given given;
      given.section = flag.key.substr(0, dot);
      given.key = flag.key.substr(dot + 1);
      given.value = flag.value;
      given.place.text = flag.name;
      written_.given.push_back(std::move(given));
    }
    read_data();
  }

  Status read_file(FileSystem& files) {
    const auto file = files.open(loaded_.file, {});
    if (!file) return fail(file);
    const auto bytes = (*file)->size();
    if (!bytes) return fail(bytes);
    if (*bytes > file_bytes_max) {
      return fail(ErrorKind::reject,
                  fmt::format("{} is larger than {}", loaded_.file, format_size(file_bytes_max)));
    }
    loaded_.file_text.resize(*bytes);
    return read_all(**file, std::as_writable_bytes(std::span(loaded_.file_text)), 0);
  }

  void read_data() {
    loaded_.config.data = sources_.data;
    std::string origin = "--data";
    if (loaded_.config.data.empty()) {
      loaded_.config.data = environment("INLET_DATA");
      origin = "environment INLET_DATA";
    }
    if (loaded_.config.data.empty()) {
      loaded_.config.data = "./data";
      origin = "default";
    }
    loaded_.settings.push_back({"data", loaded_.config.data, origin});
  }

  [[nodiscard]] bool mentioned(std::string_view section) const {
    return std::ranges::any_of(written_.given,
                               [&](const Given& given) { return given.section == section; });
  }

  // One stream or sink for each name somebody wrote down, sorted; and a sink for who wrote none.
  void make_sections() {
    std::map<std::string, StreamConfig> streams;
    std::map<std::string, TenantConfig> tenants;
    std::map<std::string, SinkConfig> sinks;
    if (!mentioned("sinks")) sinks["archive"].name = "archive";
    for (const Given& given : written_.given) {
      if (given.name.empty()) continue;
      if (given.section == "streams") streams[given.name].name = given.name;
      if (given.section == "sinks") sinks[given.name].name = given.name;
      if (given.section == "tenants" && tenants.try_emplace(given.name).second) {
        tenants[given.name].name = given.name;
        if (given.name == serve::other_tenant) {
          mistake(given.place, fmt::format("\"other\" {}", serve::other_tenant_mistake));
        }
      }
    }
    for (auto& [name, stream] : streams) loaded_.config.streams.push_back(std::move(stream));
    for (auto& [name, tenant] : tenants) loaded_.config.tenants.push_back(std::move(tenant));
    for (auto& [name, sink] : sinks) loaded_.config.sinks.push_back(std::move(sink));
  }

  void apply_section(const Section& section) {
    Config& config = loaded_.config;
    if (section.name == "node") return apply(section, "", &config.node);
    if (section.name == "server") return apply(section, "", &config.server);
    if (section.name == "journal") return apply(section, "", &config.journal);
    if (section.name == "health") return apply(section, "", &config.health);
    if (section.name == "cloudwatch") return apply(section, "", &config.cloudwatch);
    if (section.name == "log") return apply(section, "", &config.log);
    if (section.name == "limits") return apply(section, "", &config.limits);
    if (section.name == "idempotency") return apply(section, "", &config.idempotency);
    if (section.name == "tenants") {
      for (TenantConfig& tenant : config.tenants) apply_tenant(section, tenant);
      return;
    }
    if (section.name == "streams") {
      for (StreamConfig& stream : config.streams) apply(section, stream.name, &stream);
      return;
    }
    CHECK(section.name == "sinks");
    for (SinkConfig& sink : config.sinks) {
      apply_key(section, find_key(section, "type"), sink.name, &sink);
      apply(section, sink.name, &sink, only(sink.type));
      refuse_foreign_keys(section, sink);
    }
  }

  // What it does not say itself it has from [limits].
  void apply_tenant(const Section& section, TenantConfig& tenant) {
    std::string name = tenant.name;
    tenant = loaded_.config.limits;
    tenant.name = std::move(name);
    for (const Key& key : section.keys) {
      Key inherited = key;
      inherited.fallback = "";
      apply_key(section, &inherited, tenant.name, &tenant);
      const std::string name_of_key = std::string(key.name);
      const std::string setting = "tenants." + tenant.name + "." + name_of_key;
      if (places_.contains(setting)) continue;
      show(setting, value_of("limits." + name_of_key), "limits." + name_of_key);
    }
  }

  // Keys that other types of sink have.
  void refuse_foreign_keys(const Section& section, const SinkConfig& sink) {
    for (const Given& given : written_.given) {
      if (given.section != section.name || given.name != sink.name || given.key.empty()) continue;
      const bool known = std::ranges::any_of(section.keys, [&](const Key& key) {
        return key.name == given.key && (key.sinks & only(sink.type)) != 0;
      });
      if (known) continue;
      mistake(given.place,
              fmt::format("sinks.{}.{} is not a key of type {}, but of {}", sink.name, given.key,
                          value_of("sinks." + sink.name + ".type"), types_with(given.key)));
    }
  }

  void apply(const Section& section, const std::string& name, void* target,
             SinkTypes types = every_sink) {
    for (const Key& key : section.keys) {
      const bool is_first = types != every_sink && key.name == "type";  // Applied before the rest.
      if ((key.sinks & types) != 0 && !is_first) apply_key(section, &key, name, target);
    }
  }

  // Default first, then every source in the order of its weight; each wrong value is a mistake,
  // even one that a later source overrides.
  void apply_key(const Section& section, const Key* key, const std::string& name, void* target) {
    const std::string path =
        name.empty() ? std::string(section.name) : fmt::format("{}.{}", section.name, name);
    Setting setting{fmt::format("{}.{}", path, key->name), std::string(key->fallback), "default"};
    if (!key->fallback.empty()) CHECK(!key->read(target, key->fallback, key->range));
    for (const Given& given : written_.given) {
      if (given.key != key->name || section_path(given) != path) continue;
      const std::string shown = key->secret ? "(secret)" : without_user(given.value);
      if (const Problem problem = key->read(target, given.value, key->range)) {
        mistake(given.place, fmt::format("{}: \"{}\" {}", setting.key, shown, *problem));
        continue;
      }
      setting.value = shown;
      setting.origin = given.place.text;
      places_[setting.key] = given.place;
    }
    loaded_.settings.push_back(std::move(setting));
  }

  // Defaults that depend on the machine or on other keys.
  void fill_in() {
    Config& config = loaded_.config;
    const HostFacts& host = sources_.host;
    if (config.node.name.empty()) set(config.node.name, "node.name", node_name(host.host_name));
    if (config.server.loops == 0) {
      config.server.loops = std::max(1U, host.cores);
      show("server.loops", std::to_string(config.server.loops));
    }
    if (config.server.memory_bytes == 0) {
      std::uint64_t bytes = memory_bytes_default;
      if (host.memory_limit_bytes) bytes = std::min(bytes, *host.memory_limit_bytes / 10 * 6);
      config.server.memory_bytes = std::max(bytes, memory_bytes_min);
      show("server.memory", format_size(config.server.memory_bytes));
    }
    if (config.server.max_connections == 0) {
      const std::uint64_t free = host.descriptors_max > descriptors_reserved
                                     ? host.descriptors_max - descriptors_reserved
                                     : 1;
      config.server.max_connections =
          static_cast<std::uint32_t>(std::min(free, connections_default_max));
      show("server.max_connections", std::to_string(config.server.max_connections));
    }
    if (config.journal.path.empty()) {
      set(config.journal.path, "journal.path", config.data + "/journal");
    }
    if (config.server.keys.empty()) set(config.server.keys, "server.keys", config.data + "/keys");
    for (StreamConfig& stream : config.streams) {
      if (stream.max_body_bytes != 0) continue;
      stream.max_body_bytes = config.server.max_body_bytes;
      show("streams." + stream.name + ".max_body", format_size(stream.max_body_bytes));
    }
    for (SinkConfig& sink : config.sinks) {
      // Clients wait for a replica: what is there goes out at once, the rest gathers meanwhile.
      const bool quick = sink.type == SinkType::kafka || sink.type == SinkType::kinesis;
      if (sink.replica && quick && !places_.contains("sinks." + sink.name + ".batch_age")) {
        sink.batch_age_us = 0;
        show("sinks." + sink.name + ".batch_age", format_duration(0));
      }
      if (sink.type == SinkType::file && sink.path.empty()) {
        set(sink.path, "sinks." + sink.name + ".path", config.data + "/archive");
      }
    }
  }

  void set(std::string& value, const std::string& key, std::string text) {
    value = std::move(text);
    show(key, value);
  }

  [[nodiscard]] std::string value_of(std::string_view key) const {
    const auto found = std::ranges::find(loaded_.settings, key, &Setting::key);
    return found == loaded_.settings.end() ? std::string() : found->value;
  }

  void show(std::string_view key, const std::string& value, std::string_view origin = {}) {
    for (Setting& setting : loaded_.settings) {
      if (setting.key != key) continue;
      setting.value = value;
      if (!origin.empty()) setting.origin = origin;
    }
  }

  void check_values() {
    check_server();
    check_journal();
    check_health();
    for (const auto& [key, why] : log_mistakes(loaded_.config)) wrong(key, why);
    for (const StreamConfig& stream : loaded_.config.streams) check_stream(stream);
    for (const TenantConfig& tenant : loaded_.config.tenants) check_tenant(tenant);
    for (const SinkConfig& sink : loaded_.config.sinks) check_sink(sink);
  }

  void check_server() {
    const Config& config = loaded_.config;
    const ServerConfig& server = config.server;
    if (!is_name(config.node.name)) {
      wrong("node.name", fmt::format("\"{}\" is not a name: small letters, digits, '_', '.' and "
                                     "'-', at most 64",
                                     config.node.name));
    }
    if (!server.listen.is_loopback() && server.auth == Auth::unset) {
      wrong("server.listen", fmt::format("{} can be reached from outside this machine; write "
                                         "auth = \"none\" in [server] to take data from anyone, "
                                         "or auth = \"keys\" to take it from who has a key",
                                         server.listen.text()));
    }
    if (server.admin == server.listen && server.listen.port != 0) {
      wrong("server.admin", fmt::format("{} is also server.listen", server.listen.text()));
    }
    for (const auto& [key, why] : listener_mistakes(server)) wrong(key, why);
    if (server.max_body_bytes > server.memory_bytes / 2) {
      wrong("server.max_body",
            fmt::format("{} is more than half of server.memory, {}",
                        format_size(server.max_body_bytes), format_size(server.memory_bytes)));
    }
  }

  void check_journal() {
    const JournalConfig& journal = loaded_.config.journal;
    const std::uint64_t max_body_bytes = loaded_.config.server.max_body_bytes;
    if (max_body_bytes > limits::body_bytes_max(journal.segment_bytes)) {
      const std::uint64_t least = 2 * (max_body_bytes + limits::staged_record_bytes_max);
      wrong("journal.segment_bytes",
            fmt::format("{} cannot hold a body of server.max_body, {}, beside a full commit; it "
                        "takes at least {}",
                        format_size(journal.segment_bytes), format_size(max_body_bytes),
                        format_size(round_up(least, 1U << 20))));
    }
    if (journal.segment_bytes % limits::block_bytes != 0) {
      wrong("journal.segment_bytes",
            fmt::format("{} is not a multiple of {}", format_size(journal.segment_bytes),
                        format_size(limits::block_bytes)));
    }
    if (journal.max_bytes < segments_min * journal.segment_bytes) {
      wrong("journal.max_bytes",
            fmt::format("{} is less than {} segments of {}", format_size(journal.max_bytes),
                        segments_min, format_size(journal.segment_bytes)));
    }
  }

  void check_health() {
    for (const std::string& origin : loaded_.config.server.admin_origins) {
      if (is_origin(origin)) continue;
      wrong("server.admin_origins",
            fmt::format("\"{}\" is no origin, as \"http://10.0.0.7:8081\"", origin));
    }
    const CloudwatchConfig& cloudwatch = loaded_.config.cloudwatch;
    if (cloudwatch.metric_namespace.empty() || cloudwatch.metric_namespace.starts_with("AWS/")) {
      wrong("cloudwatch.namespace",
            fmt::format("\"{}\" cannot be used: CloudWatch keeps AWS/ and none for itself",
                        cloudwatch.metric_namespace));
    }
    const std::optional<Address>& admin = loaded_.config.server.admin;
    if (cloudwatch.put && (!admin || admin->port == 0)) {
      wrong("cloudwatch.put",
            fmt::format("figures are read from the admin listener, and server.admin {}",
                        admin ? "has no port of its own" : "is off"));
    }
  }

  void check_stream(const StreamConfig& stream) {
    const std::string path = "streams." + stream.name;
    if (stream.ack == Ack::replicated) check_replicated(path + ".ack", stream.name);
    if (stream.max_body_bytes > loaded_.config.server.max_body_bytes) {
      wrong(path + ".max_body",
            fmt::format("{} is above server.max_body, {}", format_size(stream.max_body_bytes),
                        format_size(loaded_.config.server.max_body_bytes)));
    }
    for (const std::string& origin : stream.cors_origins) {
      if (origin == "*" || is_origin(origin)) continue;
      wrong(path + ".cors_origins",
            fmt::format("\"{}\" is neither an origin, as \"https://app.example.com\", nor \"*\"",
                        origin));
    }
  }

  void check_tenant(const TenantConfig& tenant) {
    if (tenant.max_body_bytes <= loaded_.config.server.max_body_bytes) return;
    wrong(fmt::format("tenants.{}.max_body", tenant.name),
          fmt::format("{} is above server.max_body, {}", format_size(tenant.max_body_bytes),
                      format_size(loaded_.config.server.max_body_bytes)));
  }

  void check_replicated(const std::string& key, const std::string& stream) {
    const SinkConfig* const sink = replica_of(loaded_.config);
    if (sink == nullptr) {
      wrong(key, "\"replicated\" needs a sink with replica = true, and none is configured");
    } else if (!matches_any(sink->streams, stream)) {
      wrong(key, fmt::format("\"replicated\" needs sinks.{}, the replica, to take this stream",
                             sink->name));
    }
  }

  void check_sink(const SinkConfig& sink) {
    check_sink_values(sink, loaded_.config, [&](std::string_view key, const std::string& what) {
      wrong(fmt::format("sinks.{}.{}", sink.name, key), what);
    });
  }

  void mistake(Place place, std::string what) {
    written_.mistakes.push_back({std::move(place), std::move(what)});
  }

  // A mistake in the value of a key, at the place where it was written down, if it was.
  void wrong(const std::string& key, const std::string& what) {
    const auto found = places_.find(key);
    mistake(found == places_.end() ? Place{} : found->second, key + ": " + what);
  }

  // In the order of the file, then the rest as found.
  void finish() {
    std::ranges::stable_sort(written_.mistakes, {}, [](const Mistake& mistake) {
      return std::tuple(mistake.place.line == 0, mistake.place.line, mistake.place.column);
    });
    for (const Mistake& mistake : written_.mistakes) {
      const std::string& place = mistake.place.text;
      loaded_.mistakes.push_back(place.empty() ? mistake.what : place + ": " + mistake.what);
    }
  }

  const Sources& sources_;
  Written written_;
  std::map<std::string, Place> places_;  // Where the value in force was written, by key.
  Loaded loaded_;
};

}  // namespace

Loaded load_config(FileSystem& files, const Sources& sources) {
  return Loader(sources).load(files);
}

}  // namespace inlet::main
