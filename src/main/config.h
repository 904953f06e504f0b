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

enum class Auth : unsigned char { unset, none };
enum class Direct : unsigned char { automatic, never };
enum class Format : unsigned char { raw, json, ndjson };
enum class Ack : unsigned char { disk, replicated };
enum class SinkType : unsigned char { file };
enum class Compression : unsigned char { none, gzip, zstd };

struct NodeConfig {
  std::string name;

  bool operator==(const NodeConfig&) const = default;
};

struct ServerConfig {
  Address listen;
  std::optional<Address> admin;  // Empty: no admin listener.
  Auth auth = Auth::unset;
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
  std::uint64_t max_body_bytes = 0;  // Never above ServerConfig::max_body_bytes.

  bool operator==(const StreamConfig&) const = default;
};

struct SinkConfig {
  std::string name;
  SinkType type = SinkType::file;
  std::string path;
  std::uint64_t batch_bytes = 0;
  std::uint32_t batch_records = 0;
  Microseconds batch_age_us = 0;
  Compression compression = Compression::zstd;
  std::uint32_t level = 0;
  bool envelope = true;

  bool operator==(const SinkConfig&) const = default;
};

struct LogConfig {
  LogLevel level = LogLevel::info;

  bool operator==(const LogConfig&) const = default;
};

struct Config {
  std::string data;  // Directory.
  NodeConfig node;
  ServerConfig server;
  JournalConfig journal;
  std::vector<StreamConfig> streams;  // By name. Others are raw, acknowledged from disk.
  std::vector<SinkConfig> sinks;      // By name.
  LogConfig log;

  bool operator==(const Config&) const = default;
};

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
