#include "main/config_schema.h"

#include "base/limits.h"
#include "main/listener_config.h"
#include "main/log_config.h"

namespace inlet::main {
namespace {

constexpr std::uint64_t kib = 1U << 10;
constexpr std::uint64_t mib = 1U << 20;
constexpr std::uint64_t gib = 1U << 30;
constexpr std::uint64_t ms = 1'000;
constexpr std::uint64_t hour = 3'600'000'000;
constexpr std::uint64_t day = 24 * hour;

constexpr std::uint64_t memory_bytes_min = 48 * mib;
constexpr std::uint64_t max_body_bytes_max = gib / 2;
constexpr std::uint32_t loops_max = 1024;
constexpr std::uint32_t connections_max = 1U << 20;
constexpr std::uint32_t batch_records_max = 10'000'000;
constexpr std::uint32_t in_flight_max = 64;
constexpr std::uint64_t bytes_per_s_max = 60 * gib;
constexpr std::uint64_t bytes_burst_max = 1024 * gib;
constexpr std::uint32_t requests_per_s_max = 100'000'000;
constexpr std::uint32_t requests_in_flight_max = 1'000'000;
constexpr std::uint32_t idempotency_keys_max = 100'000'000;
constexpr std::uint32_t level_max = 19;  // zstd's; gzip's 9 is checked with the compression.

template <typename S, typename T>
T value_type(T S::*);
template <typename S, typename T>
S section_type(T S::*);

template <typename T>
constexpr Shape shape_of() {
  if (std::is_same_v<T, std::uint64_t>) return Shape::size;
  if (std::is_same_v<T, Microseconds>) return Shape::duration;
  if (std::is_same_v<T, std::uint32_t>) return Shape::number;
  if (std::is_same_v<T, bool> || std::is_same_v<T, PathStyle>) return Shape::boolean;
  if (std::is_same_v<T, std::vector<std::string>>) return Shape::list;
  return Shape::text;
}

template <auto member>
Problem read_member(void* section, std::string_view text, Range range) {
  using S = decltype(section_type(member));
  return read_value(text, range, static_cast<S*>(section)->*member);
}

template <auto member>
constexpr Key key(std::string_view name, std::string_view fallback, Range range = {},
                  SinkTypes sinks = every_sink) {
  return {name, fallback, shape_of<decltype(value_type(member))>(), range, read_member<member>,
          sinks};
}

template <auto member>
constexpr Key key(SinkTypes sinks, std::string_view name, std::string_view fallback,
                  Range range = {}) {
  return key<member>(name, fallback, range, sinks);
}

template <auto member>
constexpr Key secret_key(SinkTypes sinks, std::string_view name) {
  Key made = key<member>(name, "", {}, sinks);
  made.secret = true;
  return made;
}

constexpr Key node_keys[] = {
    key<&NodeConfig::name>("name", ""),
};

using S = ServerConfig;
constexpr Key server_keys[] = {
    key<&S::listen>("listen", "127.0.0.1:8080"),
    key<&S::admin>("admin", "127.0.0.1:8081"),
    key<&S::auth>("auth", ""),
    key<&S::keys>("keys", ""),
    key<&S::loops>("loops", "", {0, loops_max}),
    key<&S::memory_bytes>("memory", "", {memory_bytes_min}),
    key<&S::max_body_bytes>("max_body", "16MiB", {kib, max_body_bytes_max}),
    key<&S::max_connections>("max_connections", "", {0, connections_max}),
    key<&S::header_timeout_us>("header_timeout", "10s", {10 * ms, hour}),
    key<&S::body_timeout_us>("body_timeout", "120s", {10 * ms, day}),
    key<&S::idle_timeout_us>("idle_timeout", "75s", {10 * ms, day}),
    key<&S::write_timeout_us>("write_timeout", "10s", {10 * ms, hour}),
    key<&S::min_body_rate_bytes_per_s>("min_body_rate", "1KiB", {0, gib}),
    key<&S::drain_delay_us>("drain_delay", "5s", {0, hour}),
    key<&S::flush_deadline_us>("flush_deadline", "30s", {0, day}),
    key<&S::memory_wait_us>("memory_wait", "5s", {0, hour}),
    key<&S::ack_timeout_us>("ack_timeout", "5s", {ms, hour}),
    key<&S::tls_cert>("tls_cert", ""),
    key<&S::tls_key>("tls_key", ""),
    key<&S::tls_client_ca>("tls_client_ca", ""),
    {"tls_client_auth", "none", Shape::text, {}, read_client_auth},
    {"tls_min_version", "1.2", Shape::text, {}, read_tls_version},
    key<&S::proxy_protocol>("proxy_protocol", "false"),
    {"trusted_proxies", "", Shape::list, {}, read_networks},
    key<&S::admin_origins>("admin_origins", ""),
};

constexpr Key journal_keys[] = {
    key<&JournalConfig::path>("path", ""),
    key<&JournalConfig::max_bytes>("max_bytes", "10GiB"),
    key<&JournalConfig::segment_bytes>("segment_bytes", "64MiB",
                                       {limits::segment_bytes_min, limits::segment_bytes_max}),
    key<&JournalConfig::retain_us>("retain", "0s", {0, 3650 * day}),
    key<&JournalConfig::direct>("direct", "auto"),
};

constexpr Key stream_keys[] = {
    key<&StreamConfig::format>("format", "raw"),
    key<&StreamConfig::ack>("ack", "disk"),
    key<&StreamConfig::max_body_bytes>("max_body", "", {1, max_body_bytes_max}),
    key<&StreamConfig::cors_origins>("cors_origins", ""),
};

// Of a tenant, and of all that are not named: [tenants.NAME] takes from [limits] what it does not
// say.
using T = TenantConfig;
constexpr Key limit_keys[] = {
    key<&T::requests_per_s>("requests_per_s", "0", {0, requests_per_s_max}),
    key<&T::requests_burst>("requests_burst", "0", {0, requests_per_s_max}),
    key<&T::bytes_per_s>("bytes_per_s", "0B", {0, bytes_per_s_max}),
    key<&T::bytes_burst>("bytes_burst", "0B", {0, bytes_burst_max}),
    key<&T::max_body_bytes>("max_body", "0B", {0, max_body_bytes_max}),
    key<&T::requests_in_flight>("requests_in_flight", "0", {0, requests_in_flight_max}),
    key<&T::journal_percent>("journal_percent", "0", {0, 100}),
    key<&T::memory_percent>("memory_percent", "0", {0, 100}),
};

using I = IdempotencyConfig;
constexpr Key idempotency_keys[] = {
    key<&I::window_us>("window", "24h", {1000 * ms, 30 * day}),
    key<&I::max_keys>("max_keys", "1000000", {1'000, idempotency_keys_max}),
};

using K = SinkConfig;
constexpr SinkTypes file = only(SinkType::file);
constexpr SinkTypes s3 = only(SinkType::s3);
constexpr SinkTypes kafka = only(SinkType::kafka);
constexpr SinkTypes kinesis = only(SinkType::kinesis);
constexpr SinkTypes firehose = only(SinkType::firehose);
constexpr SinkTypes http = only(SinkType::http);

constexpr Key sink_keys[] = {
    key<&K::type>("type", "file"),
    key<&K::streams>("streams", "*"),
    key<&K::replica>("replica", "false"),
    key<&K::batch_bytes>("batch_bytes", "16MiB", {1, gib}),
    key<&K::batch_records>("batch_records", "100000", {1, batch_records_max}),
    key<&K::batch_age_us>(file, "batch_age", "2s", {0, day}),
    key<&K::batch_age_us>(s3, "batch_age", "30s", {0, day}),
    key<&K::batch_age_us>(kafka, "batch_age", "20ms", {0, day}),
    key<&K::batch_age_us>(kinesis | firehose | http, "batch_age", "1s", {0, day}),
    key<&K::dead_bytes_max>("dead_bytes", "1GiB", {1}),
    key<&K::timeout_us>(s3, "timeout", "60s", {10 * ms, hour}),
    key<&K::timeout_us>(kafka, "timeout", "120s", {1000 * ms, 840'000 * ms}),
    key<&K::timeout_us>(kinesis | firehose | http, "timeout", "30s", {10 * ms, hour}),
    key<&K::in_flight>(s3 | kinesis | firehose | http, "in_flight", "4", {1, in_flight_max}),

    key<&K::path>(file, "path", ""),
    key<&K::url>(http, "url", ""),
    key<&K::method>(http, "method", "POST"),
    key<&K::body>(http, "body", "ndjson"),
    secret_key<&K::headers>(http, "headers"),
    secret_key<&K::bearer>(http, "bearer"),
    key<&K::request_bytes_max>(http, "request_bytes", "1MiB", {kib, gib}),

    key<&K::bucket>(s3, "bucket", ""),
    key<&K::prefix>(s3, "prefix", ""),
    key<&K::path_style>(s3, "path_style", "auto"),
    key<&K::storage_class>(s3, "storage_class", ""),
    key<&K::sse>(s3, "sse", ""),
    key<&K::kms_key>(s3, "kms_key", ""),

    key<&K::kinesis_stream>(kinesis, "kinesis_stream", ""),
    key<&K::partition_key>(kinesis, "partition_key", "stream"),
    key<&K::record_bytes_max>(kinesis, "record_bytes", "1MiB", {kib, 10 * mib}),
    key<&K::delivery_stream>(firehose, "delivery_stream", ""),

    key<&K::region>(s3 | kinesis | firehose, "region", ""),
    key<&K::endpoint>(s3 | kinesis | firehose, "endpoint", ""),
    key<&K::compression>(file | s3, "compression", "zstd"),
    key<&K::compression>(http, "compression", "none"),
    key<&K::compression>(kafka, "compression", "lz4"),
    key<&K::level>(file | s3 | http, "level", "1", {1, level_max}),
    key<&K::envelope>(file | s3 | kinesis | firehose | http, "envelope", "true"),

    key<&K::brokers>(kafka, "brokers", ""),
    key<&K::topic>(kafka, "topic", "ingest.{tenant}.{stream}"),
    key<&K::key>(kafka, "key", "stream"),
    key<&K::events>(kafka, "events", "record"),
    key<&K::linger_us>(kafka, "linger", "5ms", {0, 900 * ms}),
    key<&K::message_bytes_max>(kafka, "message_bytes", "1000000", {1000, 1'000'000'000}),
    key<&K::transactional>(kafka, "transactional", "false"),
    key<&K::transactional_id>(kafka, "transactional_id", ""),
    key<&K::cursor_topic>(kafka, "cursor_topic", "inlet-cursors"),
    key<&K::tls>(kafka, "tls", "false"),
    key<&K::sasl_mechanism>(kafka, "sasl_mechanism", ""),
    secret_key<&K::properties>(kafka, "properties"),

    key<&K::user>(kafka | http, "user", ""),
    secret_key<&K::password>(kafka | http, "password"),
    key<&K::ca_file>(kafka | http | s3 | kinesis | firehose, "ca_file", ""),
    key<&K::cert_file>(kafka | http, "cert_file", ""),
    key<&K::key_file>(kafka | http, "key_file", ""),
};

constexpr Key health_keys[] = {
    key<&HealthConfig::healthd_dir>("healthd_dir", ""),
};

using C = CloudwatchConfig;
constexpr Key cloudwatch_keys[] = {
    key<&C::emf_file>("emf_file", ""),
    key<&C::put>("put", "false"),
    key<&C::metric_namespace>("namespace", "Inlet"),
    key<&C::environment>("environment", ""),
    key<&C::period_us>("period", "60s", {1000 * ms, hour}),
    key<&C::per_node>("per_node", "true"),
    key<&C::per_sink>("per_sink", "false"),
    key<&C::high_resolution>("high_resolution", "false"),
    key<&C::region>("region", ""),
    key<&C::endpoint>("endpoint", ""),
};

using L = LogConfig;
constexpr Key log_keys[] = {
    key<&L::level>("level", "info"),
    key<&L::directory>("directory", ""),
    key<&L::standard_error>("stderr", "true"),
    key<&L::bytes_max>("max_bytes", "64MiB", {64 * kib, 256 * mib}),
    key<&L::age_max_us>("max_age", "1h", {1000 * ms, 30 * day}),
    key<&L::total_bytes_max>("max_total_bytes", "1GiB", {mib}),
    {"access", "off", Shape::text, {}, read_access},
    {"access_sample", "1", Shape::fraction, {}, read_access_sample},
    {"archive", "", Shape::text, {}, read_log_archive},
    key<&L::archive_region>("archive_region", ""),
    key<&L::archive_endpoint>("archive_endpoint", ""),
    key<&L::archive_ca_file>("archive_ca_file", ""),
};

constexpr Section sections[] = {
    {"node", false, node_keys},
    {"server", false, server_keys},
    {"journal", false, journal_keys},
    {"streams", true, stream_keys},
    {"limits", false, limit_keys},
    {"tenants", true, limit_keys},
    {"sinks", true, sink_keys},
    {"health", false, health_keys},
    {"cloudwatch", false, cloudwatch_keys},
    {"log", false, log_keys},
    {"idempotency", false, idempotency_keys},
};

}  // namespace

std::span<const Section> config_sections() { return sections; }

const Section* find_section(std::string_view name) {
  for (const Section& section : sections) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

const Key* find_key(const Section& section, std::string_view name) {
  for (const Key& key : section.keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string types_with(std::string_view key) {
  static constexpr std::pair<std::string_view, SinkTypes> names[] = {
      {"file", file},         {"s3", s3},    {"kafka", kafka}, {"kinesis", kinesis},
      {"firehose", firehose}, {"http", http}};
  SinkTypes types = 0;
  for (const Key& row : sink_keys) {
    if (row.name == key) types |= row.sinks;
  }
  std::string list;
  for (const auto& [name, bit] : names) {
    if ((types & bit) == 0) continue;
    types &= ~bit;
    if (!list.empty())
      list += (types & (file | s3 | kafka | kinesis | firehose | http)) != 0 ? ", " : " or ";
    list += name;
  }
  return list;
}

}  // namespace inlet::main
