#include "main/values.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

namespace inlet::main {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t worth;
};

// The largest first: formatting takes the first that divides.
constexpr Unit size_units[] = {{"GiB", 1U << 30}, {"GB", 1'000'000'000}, {"MiB", 1U << 20},
                               {"MB", 1'000'000}, {"KiB", 1U << 10},     {"kB", 1'000},
                               {"B", 1}};
constexpr Unit duration_units[] = {{"d", 86'400'000'000}, {"h", 3'600'000'000}, {"m", 60'000'000},
                                   {"s", 1'000'000},      {"ms", 1'000},        {"us", 1}};

template <typename T>
struct Choice {
  std::string_view name;
  T value;
};
constexpr Choice<Auth> auth_choices[] = {
    {"", Auth::unset}, {"none", Auth::none}, {"keys", Auth::keys}};
constexpr Choice<Direct> direct_choices[] = {{"auto", Direct::automatic}, {"never", Direct::never}};
constexpr Choice<Format> format_choices[] = {
    {"raw", Format::raw}, {"json", Format::json}, {"ndjson", Format::ndjson}};
constexpr Choice<Ack> ack_choices[] = {{"disk", Ack::disk}, {"replicated", Ack::replicated}};
constexpr Choice<SinkType> sink_type_choices[] = {
    {"file", SinkType::file},         {"s3", SinkType::s3},
    {"kafka", SinkType::kafka},       {"kinesis", SinkType::kinesis},
    {"firehose", SinkType::firehose}, {"http", SinkType::http}};
constexpr Choice<Compression> compression_choices[] = {{"none", Compression::none},
                                                       {"gzip", Compression::gzip},
                                                       {"zstd", Compression::zstd},
                                                       {"snappy", Compression::snappy},
                                                       {"lz4", Compression::lz4}};
constexpr Choice<PathStyle> path_style_choices[] = {
    {"auto", PathStyle::automatic}, {"true", PathStyle::yes}, {"false", PathStyle::no}};
constexpr Choice<KafkaKey> kafka_key_choices[] = {
    {"stream", KafkaKey::stream}, {"id", KafkaKey::id}, {"none", KafkaKey::none}};
constexpr Choice<KafkaEvents> kafka_events_choices[] = {{"record", KafkaEvents::record},
                                                        {"event", KafkaEvents::event}};
constexpr Choice<PartitionKey> partition_key_choices[] = {{"stream", PartitionKey::stream},
                                                          {"id", PartitionKey::id}};
constexpr Choice<HttpBody> http_body_choices[] = {{"ndjson", HttpBody::ndjson},
                                                  {"json", HttpBody::json}};
constexpr Choice<LogLevel> log_level_choices[] = {{"debug", LogLevel::debug},
                                                  {"info", LogLevel::info},
                                                  {"warn", LogLevel::warn},
                                                  {"error", LogLevel::error},
                                                  {"off", LogLevel::off}};

// The number at the start of `text`, which is cut off; empty if there is none or it is too large.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// "" counts as the unit worth `bare`; 0: a unit is needed.
std::optional<std::uint64_t> read_quantity(std::string_view text, std::span<const Unit> units,
                                           std::uint64_t bare) {
  const auto number = take_number(text);
  if (!number) return std::nullopt;
  if (text.empty() && (bare != 0 || *number == 0)) return *number * bare;
  for (const Unit& unit : units) {
    if (unit.name != text) continue;
    std::uint64_t value = 0;
    if (__builtin_mul_overflow(*number, unit.worth, &value)) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::string format_quantity(std::uint64_t value, std::span<const Unit> units) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.worth == 0)
      return fmt::format("{}{}", value / unit.worth, unit.name);
  }
  return fmt::format("0{}", units.back().name);
}

template <typename Show>
Problem outside(std::uint64_t value, Range range, Show show) {
  if (value < range.least)
    return fmt::format("is below {}, the least it can be", show(range.least));
  if (value > range.most) return fmt::format("is above {}, the most it can be", show(range.most));
  return std::nullopt;
}

template <typename T, std::size_t count>
Problem read_choice(std::string_view text, const Choice<T> (&choices)[count], T& out) {
  std::vector<std::string_view> names;
  for (const auto& choice : choices) {
    names.push_back(choice.name);
    if (choice.name != text) continue;
    out = choice.value;
    return std::nullopt;
  }
  if (count == 1) return fmt::format("is not known; \"{}\" is the only choice", names[0]);
  std::string list;
  for (std::size_t i = 0; i < count; i++) {
    if (i > 0) list += i + 1 == count ? " or " : ", ";
    list += fmt::format("\"{}\"", names[i]);
  }
  return "is not " + list + suggestion(text, names);
}

// Insertions, deletions, changes, and two neighbours the wrong way round, each one edit.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before;  // The row for i - 2, then that for i - 1.
  std::vector<std::size_t> last(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); j++) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); i++) {
    std::vector<std::size_t> row(b.size() + 1);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); j++) {
      const std::size_t change = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({change, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(last, std::move(row));
  }
  return last[b.size()];
}

}  // namespace

Problem read_value(std::string_view text, Range, std::string& out) {
  if (text.find('\0') != std::string_view::npos) return "holds a zero byte";
  out = text;
  return std::nullopt;
}

Problem read_value(std::string_view text, Range range, std::uint64_t& out) {
  const auto bytes = read_quantity(text, size_units, 1);
  if (!bytes) return "is not a size such as 16MiB";
  if (auto problem = outside(*bytes, range, format_size)) return problem;
  out = *bytes;
  return std::nullopt;
}

Problem read_value(std::string_view text, Range range, Microseconds& out) {
  const auto duration_us = read_quantity(text, duration_units, 0);
  const bool fits = duration_us && *duration_us <= std::numeric_limits<Microseconds>::max() / 2;
  if (!fits) return "is not a duration such as 10s (us, ms, s, m, h or d)";
  const auto show = [](std::uint64_t us) { return format_duration(static_cast<Microseconds>(us)); };
  if (auto problem = outside(*duration_us, range, show)) return problem;
  out = static_cast<Microseconds>(*duration_us);
  return std::nullopt;
}

Problem read_value(std::string_view text, Range range, std::uint32_t& out) {
  const auto number = take_number(text);
  if (!number || !text.empty() || *number > std::numeric_limits<std::uint32_t>::max()) {
    return "is not a whole number";
  }
  if (auto problem = outside(*number, range, [](std::uint64_t n) { return std::to_string(n); })) {
    return problem;
  }
  out = static_cast<std::uint32_t>(*number);
  return std::nullopt;
}

Problem read_value(std::string_view text, Range, bool& out) {
  if (text != "true" && text != "false") return "is not true or false";
  out = text == "true";
  return std::nullopt;
}

Problem read_value(std::string_view text, Range, Address& out) {
  static constexpr const char* problem =
      "is not a numeric address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return problem;
  std::string_view port_text = text.substr(colon + 1);
  const auto port = take_number(port_text);
  if (!port || !port_text.empty() || *port > 65535) return problem;
  std::string host(text.substr(0, colon));
  if (host == "localhost") host = "127.0.0.1";
  in6_addr address{};  // Large enough for either kind.
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (::inet_pton(AF_INET6, host.c_str(), &address) != 1) return problem;
  } else if (::inet_pton(AF_INET, host.c_str(), &address) != 1) {
    return problem;
  }
  out = Address{.host = std::move(host), .port = static_cast<std::uint16_t>(*port)};
  return std::nullopt;
}

Problem read_value(std::string_view text, Range range, std::optional<Address>& out) {
  if (text.empty()) {
    out.reset();
    return std::nullopt;
  }
  Address address;
  if (auto problem = read_value(text, range, address)) return problem;
  out = std::move(address);
  return std::nullopt;
}

Problem read_value(std::string_view text, Range, Auth& out) {
  return read_choice(text, auth_choices, out);
}
Problem read_value(std::string_view text, Range, Direct& out) {
  return read_choice(text, direct_choices, out);
}
Problem read_value(std::string_view text, Range, Format& out) {
  return read_choice(text, format_choices, out);
}
Problem read_value(std::string_view text, Range, Ack& out) {
  return read_choice(text, ack_choices, out);
}
Problem read_value(std::string_view text, Range, SinkType& out) {
  return read_choice(text, sink_type_choices, out);
}
Problem read_value(std::string_view text, Range, Compression& out) {
  return read_choice(text, compression_choices, out);
}
Problem read_value(std::string_view text, Range, PathStyle& out) {
  return read_choice(text, path_style_choices, out);
}
Problem read_value(std::string_view text, Range, KafkaKey& out) {
  return read_choice(text, kafka_key_choices, out);
}
Problem read_value(std::string_view text, Range, KafkaEvents& out) {
  return read_choice(text, kafka_events_choices, out);
}
Problem read_value(std::string_view text, Range, PartitionKey& out) {
  return read_choice(text, partition_key_choices, out);
}
Problem read_value(std::string_view text, Range, HttpBody& out) {
  return read_choice(text, http_body_choices, out);
}
Problem read_value(std::string_view text, Range range, std::vector<std::string>& out) {
  out.clear();
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) {
      if (auto problem = read_value(text.substr(0, end), range, out.emplace_back())) return problem;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}
Problem read_value(std::string_view text, Range, LogLevel& out) {
  return read_choice(text, log_level_choices, out);
}

std::string format_size(std::uint64_t bytes) { return format_quantity(bytes, size_units); }

std::string format_duration(Microseconds duration_us) {
  if (duration_us == 0) return "0s";
  return format_quantity(static_cast<std::uint64_t>(duration_us), duration_units);
}

std::string reachable(Address address) {
  if (address.host == "0.0.0.0") address.host = "127.0.0.1";
  if (address.host == "::") address.host = "::1";
  return address.text();
}

std::optional<std::string_view> nearest(std::string_view text,
                                        std::span<const std::string_view> candidates) {
  std::optional<std::string_view> best;
  std::size_t best_distance = std::max<std::size_t>(1, text.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.empty()) continue;
    const std::size_t distance = edit_distance(text, candidate);
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

std::string suggestion(std::string_view text, std::span<const std::string_view> candidates) {
  const auto meant = nearest(text, candidates);
  return meant ? fmt::format("; did you mean {}?", *meant) : std::string();
}

bool Address::is_loopback() const { return host.starts_with("127.") || host == "::1"; }

std::string Address::text() const {
  const bool six = host.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(six ? "[{}]:{}" : "{}:{}"), host, port);
}

}  // namespace inlet::main
