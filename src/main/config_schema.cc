#include "main/config_schema.h"

#include "base/limits.h"

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
  if (std::is_same_v<T, bool>) return Shape::boolean;
  return Shape::text;
}

template <auto member>
Problem read_member(void* section, std::string_view text, Range range) {
  using S = decltype(section_type(member));
  return read_value(text, range, static_cast<S*>(section)->*member);
}

template <auto member>
constexpr Key key(std::string_view name, std::string_view fallback, Range range = {}) {
  return {name, fallback, shape_of<decltype(value_type(member))>(), range, read_member<member>};
}

constexpr Key node_keys[] = {
    key<&NodeConfig::name>("name", ""),
};

using S = ServerConfig;
constexpr Key server_keys[] = {
    key<&S::listen>("listen", "127.0.0.1:8080"),
    key<&S::admin>("admin", "127.0.0.1:8081"),
    key<&S::auth>("auth", ""),
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
};

constexpr Key sink_keys[] = {
    key<&SinkConfig::type>("type", "file"),
    key<&SinkConfig::path>("path", ""),
    key<&SinkConfig::batch_bytes>("batch_bytes", "16MiB", {1, gib}),
    key<&SinkConfig::batch_records>("batch_records", "100000", {1, batch_records_max}),
    key<&SinkConfig::batch_age_us>("batch_age", "2s", {0, day}),
    key<&SinkConfig::compression>("compression", "zstd"),
    key<&SinkConfig::level>("level", "1", {1, level_max}),
    key<&SinkConfig::envelope>("envelope", "true"),
};

constexpr Key log_keys[] = {
    key<&LogConfig::level>("level", "info"),
};

constexpr Section sections[] = {
    {"node", false, node_keys},       {"server", false, server_keys},
    {"journal", false, journal_keys}, {"streams", true, stream_keys},
    {"sinks", true, sink_keys},       {"log", false, log_keys},
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

}  // namespace inlet::main
