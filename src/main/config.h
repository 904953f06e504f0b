// config: what a node is told to be, from a TOML file, the environment and flags.
//
// Flags win over the environment (INLET_SECTION_KEY), that over the file, that over the defaults.
// The keys are one table in config.cc; a key, section or value that is not in it is a mistake, and
// every mistake is found in one reading, each with its place. `inlet check` prints the result.
//
// Sizes are written with B, KiB, MiB, GiB, kB, MB or GB, durations with us, ms, s, m, h or d.
// Relative paths are relative to the working directory.
//
// Invariants:
//   - with no mistakes, every value in Config is final: defaults that depend on the machine are
//     filled in, names are valid, and one largest record and one full commit fit in a segment.
//   - what host and environment say is passed in, so the same Sources give the same Loaded.
//
// Plain values; any thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "main/host_facts.h"

namespace inlet::main {

// A numeric address to listen on.
struct Address {
  std::string host;  // "127.0.0.1", "::1"; never a name to be resolved.
  std::uint16_t port = 0;

  bool operator==(const Address&) const = default;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] std::string text() const;  // "127.0.0.1:8080", "[::1]:8080".
};

enum class Auth : unsigned char { unset, none, keys };
enum class Direct : unsigned char { automatic, never };
enum class Format : unsigned char { raw, json, ndjson };
enum class Ack : unsigned char { disk, replicated };
enum class SinkType : unsigned char { file, s3, kafka, kinesis, firehose, http };
enum class Compression : unsigned char { none, gzip, zstd, snappy, lz4 };
enum class PathStyle : unsigned char { automatic, yes, no };  // BUCKET.HOST/KEY or HOST/BUCKET/KEY.
enum class KafkaKey : unsigned char { stream, id, none };
enum class KafkaEvents : unsigned char { record, event };
enum class PartitionKey : unsigned char { stream, id };
enum class HttpBody : unsigned char { ndjson, json };
enum class TlsClientAuth : unsigned char { none, optional, required };
enum class TlsVersion : unsigned char { v1_2, v1_3 };
enum class Access : unsigned char { off, errors, all };

struct NodeConfig {
  std::string name;

  bool operator==(const NodeConfig&) const = default;
};

struct ServerConfig {
  Address listen;
  std::optional<Address> admin;  // Empty: no admin listener.
  Auth auth = Auth::unset;
  std::string keys;                   // File of API keys, in use with Auth::keys.
  std::uint32_t loops = 0;            // Event loops; at least 1.
  std::uint64_t memory_bytes = 0;     // Ceiling on what clients can make us use.
  std::uint64_t max_body_bytes = 0;   // Of any stream.
  std::uint32_t max_connections = 0;  // At least 1.
  Microseconds header_timeout_us = 0;
  Microseconds body_timeout_us = 0;
  Microseconds idle_timeout_us = 0;
  Microseconds write_timeout_us = 0;
  std::uint64_t min_body_rate_bytes_per_s = 0;  // 0: no such limit.
  Microseconds drain_delay_us = 0;
  Microseconds flush_deadline_us = 0;
  Microseconds memory_wait_us = 0;
  Microseconds ack_timeout_us = 0;  // How long an answer may wait to be `replicated`.
  std::string tls_cert;             // Files in PEM; "": no TLS.
  std::string tls_key;
  std::string tls_client_ca;  // Needed if clients are asked for certificates.
  TlsClientAuth tls_client_auth = TlsClientAuth::none;
  TlsVersion tls_min_version = TlsVersion::v1_2;
  bool proxy_protocol = false;               // Needs trusted_proxies.
  std::vector<std::string> trusted_proxies;  // Networks, as http/address_list.h reads them.
  std::vector<std::string> admin_origins;    // Of pages that may read this node's status.

  bool operator==(const ServerConfig&) const = default;
};

struct JournalConfig {
  std::string path;
  std::uint64_t max_bytes = 0;
  std::uint64_t segment_bytes = 0;
  Microseconds retain_us = 0;
  Direct direct = Direct::automatic;

  bool operator==(const JournalConfig&) const = default;
};

struct StreamConfig {
  std::string name;
  Format format = Format::raw;
  Ack ack = Ack::disk;
  std::uint64_t max_body_bytes = 0;       // Never above ServerConfig::max_body_bytes.
  std::vector<std::string> cors_origins;  // Of pages that may send here; "*": any.

  bool operator==(const StreamConfig&) const = default;
};

// What one tenant may use; 0: as much as there is.
struct TenantConfig {
  std::string name;
  std::uint32_t requests_per_s = 0;
  std::uint32_t requests_burst = 0;  // 0: what a second brings.
  std::uint64_t bytes_per_s = 0;
  std::uint64_t bytes_burst = 0;  // 0: what a second brings, and one largest body.
  std::uint64_t max_body_bytes = 0;
  std::uint32_t requests_in_flight = 0;  // At once.
  std::uint32_t journal_percent = 0;  // Of the journal, when it is nearly full; 0: an equal part.
  std::uint32_t memory_percent = 0;   // Of the memory for bodies, when it is scarce; the same.

  bool operator==(const TenantConfig&) const = default;
};

struct IdempotencyConfig {
  Microseconds window_us = 0;  // How long a key is remembered.
  std::uint32_t max_keys = 0;  // Then the oldest are forgotten first.

  bool operator==(const IdempotencyConfig&) const = default;
};

// Which keys a type has, and their defaults, is in config_schema.cc; the others stay as they are.
struct SinkConfig {
  std::string name;
  SinkType type = SinkType::file;
  std::vector<std::string> streams;  // Patterns (base/names.h); a stream of none is not delivered.
  bool replica = false;              // Inlet-Ack: replicated waits for this sink.
  std::uint64_t batch_bytes = 0;
  std::uint32_t batch_records = 0;
  Microseconds batch_age_us = 0;
  std::uint64_t dead_bytes_max = 0;  // Of dead letters; then delivery waits.
  std::uint32_t in_flight = 1;       // Requests under way at once.
  Microseconds timeout_us = 0;       // Of one request.

  bool envelope = true;
  Compression compression = Compression::none;
  std::uint32_t level = 0;
  std::string endpoint;  // Of an AWS service; "": the service's own.
  std::string region;    // "": as AWS_REGION says.

  std::string path;  // file

  std::string bucket;  // s3
  std::string prefix;
  PathStyle path_style = PathStyle::automatic;
  std::string storage_class;
  std::string sse;
  std::string kms_key;

  std::string kinesis_stream;  // kinesis
  PartitionKey partition_key = PartitionKey::stream;
  std::uint64_t record_bytes_max = 0;

  std::string delivery_stream;  // firehose

  std::string brokers;  // kafka
  std::string topic;
  KafkaKey key = KafkaKey::stream;
  KafkaEvents events = KafkaEvents::record;
  Microseconds linger_us = 0;
  std::uint64_t message_bytes_max = 0;
  bool transactional = false;
  std::string transactional_id;
  std::string cursor_topic;
  bool tls = false;
  std::string sasl_mechanism;
  std::vector<std::string> properties;  // NAME=VALUE

  std::string url;  // http
  std::string method;
  HttpBody body = HttpBody::ndjson;
  std::vector<std::string> headers;  // NAME: VALUE
  std::string bearer;
  std::uint64_t request_bytes_max = 0;

  std::string user;  // kafka, http
  std::string password;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;

  bool operator==(const SinkConfig&) const = default;
};

struct HealthConfig {
  std::string healthd_dir;  // Of Elastic Beanstalk's health agent; "": no such log.

  bool operator==(const HealthConfig&) const = default;
};

struct CloudwatchConfig {
  std::string emf_file;  // That CloudWatch's agent tails; "": none.
  bool put = false;      // Figures are sent to CloudWatch by a process of their own.
  std::string metric_namespace;
  std::string environment;  // A dimension; "": none.
  Microseconds period_us = 0;
  bool per_node = true;
  bool per_sink = false;
  bool high_resolution = false;
  std::string region;    // "": as AWS_REGION says.
  std::string endpoint;  // "": the service's own.

  bool operator==(const CloudwatchConfig&) const = default;
};

struct LogConfig {
  LogLevel level = LogLevel::info;
  std::string directory;              // Of log files; "": there are none.
  bool standard_error = true;         // Lines go there although there are files.
  std::uint64_t bytes_max = 0;        // Of a file, until it is rotated,
  Microseconds age_max_us = 0;        // and how old its first line may become.
  std::uint64_t total_bytes_max = 0;  // Of all that are rotated; then the oldest go.
  Access access = Access::off;
  double access_sample = 1;  // Part of the requests answered below 500 that gets a line.
  std::string archive;       // "s3://BUCKET/PREFIX" or a directory; "": rotated files stay.
  std::string archive_region;
  std::string archive_endpoint;  // "": S3's own.
  std::string archive_ca_file;

  bool operator==(const LogConfig&) const = default;
};

struct Config {
  std::string data;  // Directory.
  NodeConfig node;
  ServerConfig server;
  JournalConfig journal;
  std::vector<StreamConfig> streams;  // By name. Others are raw, acknowledged from disk.
  TenantConfig limits;                // Of tenants that are not named.
  std::vector<TenantConfig> tenants;  // By name.
  IdempotencyConfig idempotency;
  std::vector<SinkConfig> sinks;  // By name.
  HealthConfig health;
  CloudwatchConfig cloudwatch;
  LogConfig log;

  bool operator==(const Config&) const = default;
};

// The sink that Inlet-Ack: replicated waits for; null: there is none.
[[nodiscard]] const SinkConfig* replica_of(const Config& config);

struct Sources {
  std::string file;  // Path; "": none, or what INLET_CONFIG says.
  std::vector<std::pair<std::string, std::string>> environment;  // All of it; only INLET_* counts.
  std::string data;                                              // --data, or "".
  // Flags that stand for a key: {"server.listen", "--listen", "127.0.0.1:0"}.
  struct Flag {
    std::string key;
    std::string name;
    std::string value;
  };
  std::vector<Flag> flags;
  HostFacts host;
};

// One effective value, for `inlet check`.
struct Setting {
  std::string key;     // "server.listen"
  std::string value;   // As written, or the default in full.
  std::string origin;  // "default", "inlet.toml:3:10", "environment INLET_LOG_LEVEL", "--listen".
};

struct Loaded {
  Config config;                      // Only to be used without mistakes.
  std::vector<Setting> settings;      // In the order of the sections above.
  std::vector<std::string> mistakes;  // One sentence each, with its place.
  std::string file;                   // Path of the file that was read, or "".
  std::string file_text;              // What was in it.
};

[[nodiscard]] Loaded load_config(FileSystem& files, const Sources& sources);

}  // namespace inlet::main
