#include "health/proc_text.h"

#include <algorithm>
#include <charconv>

namespace inlet::health {
namespace {

constexpr std::string_view spaces = " \t";

// Takes the first line, without its end, off `text`.
std::string_view next_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

// Takes the first word off `text`; empty if there is none.
std::string_view next_word(std::string_view& text) {
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(spaces)));
  const std::string_view word = text.substr(0, text.find_first_of(spaces));
  text.remove_prefix(word.size());
  return word;
}

template <typename T>
std::optional<T> parse(std::string_view word) {
  T value{};
  const char* const last = word.data() + word.size();
  const auto [end, error] = std::from_chars(word.data(), last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

template <typename T>
std::optional<T> next_number(std::string_view& text) {
  return parse<T>(next_word(text));
}

std::string_view first_line(std::string_view text) { return next_line(text); }

// The number behind the line that begins with `key`.
std::optional<std::uint64_t> number_behind(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (next_word(line) == key) return next_number<std::uint64_t>(line);
  }
  return std::nullopt;
}

// Of "cpu  1 2 3 …"; kernels before 2.6.33 have fewer columns than today's.
CpuTicks parse_ticks(std::string_view columns) {
  CpuTicks out;
  for (std::uint64_t* const count : {&out.user, &out.nice, &out.system, &out.idle, &out.iowait,
                                     &out.irq, &out.softirq, &out.steal}) {
    *count = next_number<std::uint64_t>(columns).value_or(0);
  }
  return out;
}

}  // namespace

std::optional<LoadAverage> parse_loadavg(std::string_view text) {
  const auto one = next_number<double>(text);
  const auto five = next_number<double>(text);
  const auto fifteen = next_number<double>(text);
  if (!one || !five || !fifteen) return std::nullopt;
  return LoadAverage{*one, *five, *fifteen};
}

std::optional<Stat> parse_stat(std::string_view text) {
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = next_line(rest);
    if (next_word(line) != "cpu") continue;
    const Stat out{.ticks = parse_ticks(line), .boot_s = number_behind(text, "btime")};
    if (out.ticks.total() == 0) return std::nullopt;
    return out;
  }
  return std::nullopt;
}

std::optional<CpuShares> cpu_between(const CpuTicks& earlier, const CpuTicks& later) {
  // Kernels let idle and iowait fall back at times (proc(5)).
  const auto grown = [](std::uint64_t before, std::uint64_t now) {
    return static_cast<double>(now > before ? now - before : 0);
  };
  const double user = grown(earlier.user, later.user);
  const double nice = grown(earlier.nice, later.nice);
  const double system = grown(earlier.system, later.system) + grown(earlier.irq, later.irq) +
                        grown(earlier.softirq, later.softirq);
  const double idle = grown(earlier.idle, later.idle);
  const double iowait = grown(earlier.iowait, later.iowait);
  const double steal = grown(earlier.steal, later.steal);
  const double all = user + nice + system + idle + iowait + steal;
  if (all <= 0) return std::nullopt;
  const double percent = 100 / all;
  return CpuShares{user * percent, nice * percent,   system * percent,
                   idle * percent, iowait * percent, steal * percent};
}

std::optional<Memory> parse_meminfo(std::string_view text) {
  const auto total = number_behind(text, "MemTotal:");
  if (!total) return std::nullopt;
  auto available = number_behind(text, "MemAvailable:");
  if (!available) {
    const auto free = number_behind(text, "MemFree:");
    if (!free) return std::nullopt;
    available = *free + number_behind(text, "Buffers:").value_or(0) +
                number_behind(text, "Cached:").value_or(0);
  }
  return Memory{*total * 1024, std::min(*total, *available) * 1024};
}

std::optional<Traffic> parse_net_dev(std::string_view text) {
  Traffic out{};
  bool found = false;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    // The name may touch the first number: "eth0:123".
    const std::size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;
    std::string_view name = line.substr(0, colon);
    name = next_word(name);
    line.remove_prefix(colon + 1);
    const auto in = next_number<std::uint64_t>(line);
    for (int column = 1; column < 8; column++) next_word(line);
    const auto out_bytes = next_number<std::uint64_t>(line);
    if (!in || !out_bytes) continue;
    found = true;
    if (name == "lo") continue;
    out.in_bytes += *in;
    out.out_bytes += *out_bytes;
  }
  if (!found) return std::nullopt;
  return out;
}

std::optional<ProcessStat> parse_process_stat(std::string_view text) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::string_view rest = first_line(text.substr(name_end + 1));
  // Numbered as in proc(5), where the name is the second field.
  constexpr int fields_first = 3;
  constexpr int fields_last = 24;
  std::array<std::string_view, fields_last + 1> fields;
  for (int i = fields_first; i <= fields_last; i++) {
    fields[static_cast<std::size_t>(i)] = next_word(rest);
  }
  const auto user = parse<std::uint64_t>(fields[14]);
  const auto system = parse<std::uint64_t>(fields[15]);
  const auto threads = parse<std::uint64_t>(fields[20]);
  const auto start = parse<std::uint64_t>(fields[22]);
  const auto virtual_bytes = parse<std::uint64_t>(fields[23]);
  const auto resident = parse<std::uint64_t>(fields[24]);
  if (!user || !system || !threads || !start || !virtual_bytes || !resident) return std::nullopt;
  return ProcessStat{*user + *system, *threads, *start, *virtual_bytes, *resident};
}

std::optional<std::uint64_t> parse_open_files_limit(std::string_view text) {
  constexpr std::string_view key = "Max open files";
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    return next_number<std::uint64_t>(line);
  }
  return std::nullopt;
}

std::optional<std::string> parse_cgroup(std::string_view text) {
  constexpr std::string_view version_2 = "0::";
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (line.starts_with("0::/")) return std::string(line.substr(version_2.size()));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  std::string_view line = first_line(text);
  return next_number<std::uint64_t>(line);
}

std::optional<std::uint64_t> parse_keyed(std::string_view text, std::string_view key) {
  return number_behind(text, key);
}

std::optional<double> parse_cpu_max(std::string_view text) {
  std::string_view line = first_line(text);
  const auto quota = next_number<std::uint64_t>(line);
  const auto period = next_number<std::uint64_t>(line);
  if (!quota || !period || *period == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

}  // namespace inlet::health
