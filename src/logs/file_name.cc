#include "logs/file_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <tuple>

namespace inlet::logs {
namespace {

constexpr std::string_view log_suffix = ".log";
constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds latest_us = 253'402'300'800 * second_us - 1;  // 9999-12-31T23:59:59.999999
constexpr std::string_view stamp_pattern = "-00000000T000000.000000Z";

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

std::chrono::year_month_day date_of(Microseconds wall_us) {
  return std::chrono::floor<std::chrono::days>(
      std::chrono::sys_time<std::chrono::microseconds>(std::chrono::microseconds(wall_us)));
}

// The number of `digits` digits at `at`, which is_stamp() has seen.
unsigned number_at(std::string_view text, std::size_t at, std::size_t digits) {
  unsigned value = 0;
  std::from_chars(text.data() + at, text.data() + at + digits, value);
  return value;
}

bool is_stamp(std::string_view text) {
  return std::ranges::equal(text, stamp_pattern, [](char c, char pattern) {
    return pattern == '0' ? c >= '0' && c <= '9' : c == pattern;
  });
}

}  // namespace

bool is_process_name(std::string_view text) {
  return !text.empty() && text.size() <= process_name_bytes_max && text[0] != '_' &&
         text[0] != '.' && text[0] != '-' && std::ranges::all_of(text, is_name_character);
}

std::string open_log_name(std::string_view process) {
  return std::string(process) + std::string(log_suffix);
}

std::string lock_name(std::string_view process) { return std::string(process) + ".lock"; }

std::optional<std::string> parse_open_log(std::string_view name) {
  if (!name.ends_with(log_suffix)) return std::nullopt;
  name.remove_suffix(log_suffix.size());
  if (!is_process_name(name)) return std::nullopt;
  return std::string(name);
}

std::string RotatedLog::name() const {
  const Microseconds at = std::clamp<Microseconds>(at_us, 0, latest_us);
  const auto date = date_of(at);
  const Microseconds seconds = at / second_us;
  return fmt::format("{}-{:04}{:02}{:02}T{:02}{:02}{:02}.{:06}Z{}", process,
                     static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()), seconds / 3600 % 24, seconds / 60 % 60,
                     seconds % 60, at % second_us, log_suffix);
}

std::optional<RotatedLog> parse_rotated_log(std::string_view name) {
  const std::size_t end_bytes = stamp_pattern.size() + log_suffix.size();
  if (name.size() <= end_bytes) return std::nullopt;
  const std::string_view process = name.substr(0, name.size() - end_bytes);
  const std::string_view stamp = name.substr(process.size(), stamp_pattern.size());
  if (!is_process_name(process) || !is_stamp(stamp)) return std::nullopt;
  const std::chrono::sys_days day{std::chrono::year(static_cast<int>(number_at(stamp, 1, 4))) /
                                  std::chrono::month(number_at(stamp, 5, 2)) /
                                  std::chrono::day(number_at(stamp, 7, 2))};
  const auto at = day + std::chrono::hours(number_at(stamp, 10, 2)) +
                  std::chrono::minutes(number_at(stamp, 12, 2)) +
                  std::chrono::seconds(number_at(stamp, 14, 2)) +
                  std::chrono::microseconds(number_at(stamp, 17, 6));
  RotatedLog log{std::string(process), at.time_since_epoch().count()};
  // Whatever else was there (month 13, another suffix) would not be written the same.
  if (log.name() != name) return std::nullopt;
  return log;
}

std::vector<RotatedLog> rotated_logs(const std::vector<std::string>& names) {
  std::vector<RotatedLog> logs;
  for (const std::string& name : names) {
    if (auto log = parse_rotated_log(name)) logs.push_back(std::move(*log));
  }
  std::ranges::sort(logs, {}, [](const RotatedLog& log) {
    return std::tuple<Microseconds, std::string_view>(log.at_us, log.process);
  });
  return logs;
}

std::string day_path(Microseconds wall_us) {
  const auto date = date_of(std::clamp<Microseconds>(wall_us, 0, latest_us));
  return fmt::format("{:04}/{:02}/{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

}  // namespace inlet::logs
