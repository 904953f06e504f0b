#include "top/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

namespace inlet::top {
namespace {

constexpr std::string_view ellipsis = "..";

// One decimal below a hundred where it says something.
std::string short_number(double value) {
  if (value >= 99.95 || value == std::floor(value)) return fmt::format("{:.0f}", value);
  return fmt::format("{:.1f}", value);
}

// The value in the largest unit in which it is at least 1. Rounding may reach the next unit, hence
// not 1000 but what would be written so.
template <std::size_t count>
std::string with_unit(double value, const std::array<std::string_view, count>& units) {
  constexpr double next = 999.5;
  std::size_t unit = 0;
  while (value >= next && unit + 1 < count) {
    value /= 1000;
    unit++;
  }
  return short_number(value) + std::string(units[unit]);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 && byte < 0xC0) continue;  // The rest of a character of several bytes.
    out += byte >= 0x20 && byte < 0x7F ? c : '?';
  }
  return out;
}

std::string cut(std::string_view text, std::size_t width) {
  std::string out = printable(text);
  if (out.size() <= width) return out;
  if (width <= ellipsis.size()) return std::string(ellipsis.substr(0, width));
  out.resize(width - ellipsis.size());
  out += ellipsis;
  return out;
}

std::string left(std::string_view text, std::size_t width) {
  std::string out = cut(text, width);
  out.resize(width, ' ');
  return out;
}

std::string right(std::string_view text, std::size_t width) {
  const std::string out = cut(text, width);
  return std::string(width - out.size(), ' ') + out;
}

std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> out;
  const std::string all = printable(text);
  std::string_view rest = all;
  width = std::max<std::size_t>(width, 1);
  while (rest.size() > width) {
    std::size_t end = rest.rfind(' ', width);
    if (end == std::string_view::npos || end == 0) end = width;
    out.emplace_back(rest.substr(0, end));
    rest.remove_prefix(rest[end] == ' ' ? end + 1 : end);
  }
  if (!rest.empty() || out.empty()) out.emplace_back(rest);
  return out;
}

std::string number_text(double value) {
  constexpr std::array<std::string_view, 6> units = {"", "k", "M", "G", "T", "P"};
  return with_unit(value, units);
}

std::string percent_text(double percent) {
  if (percent <= 0) return "0";
  if (percent < 0.01) return "<0.01";  // Not nothing.
  if (percent < 0.1) return fmt::format("{:.2f}", percent);
  // Only all is 100.
  if (percent < 100 && percent >= 99.95) return "99.9";
  return short_number(percent);
}

std::string latency_text(Microseconds took_us) {
  constexpr double second_us = 1e6;
  const auto value = static_cast<double>(took_us);
  if (value < 999.5) return fmt::format("{:.0f}us", value);
  if (value < 999.5e3) return short_number(value / 1e3) + "ms";
  if (value < 120 * second_us) return short_number(value / second_us) + "s";
  return short_number(value / (60 * second_us)) + "min";
}

std::string bytes_text(double bytes) {
  constexpr std::array<std::string_view, 6> units = {" B", " kB", " MB", " GB", " TB", " PB"};
  return with_unit(bytes, units);
}

std::string count_text(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string time_text(Microseconds wall_us) {
  const auto seconds = static_cast<std::time_t>(wall_us / 1'000'000);
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "?";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace inlet::top
