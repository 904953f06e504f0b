#include "base/calendar.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace inlet {
namespace {

constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds minute_us = 60 * second_us;
constexpr Microseconds day_us = 24 * 60 * minute_us;
constexpr std::size_t fraction_digits_max = 9;
constexpr Microseconds lowest_us = -62'167'219'200 * second_us;       // 0000-01-01T00:00:00
constexpr Microseconds highest_us = 253'402'300'800 * second_us - 1;  // 9999-12-31T23:59:59.999999

// The next `digits` decimal digits of `text`, which are cut off.
std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < digits; i++) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<Microseconds> take_date(std::string_view& text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || *year < 1970) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count() * day_us;
}

std::optional<Microseconds> take_fraction(std::string_view& text) {
  if (!take(text, ".")) return 0;
  Microseconds value = 0;
  std::size_t digits = 0;
  while (const auto digit = take_digits(text, 1)) {
    if (++digits <= 6) value = value * 10 + *digit;
  }
  if (digits == 0 || digits > fraction_digits_max) return std::nullopt;
  for (std::size_t i = digits; i < 6; i++) value *= 10;
  return value;
}

std::optional<Microseconds> take_clock(std::string_view& text) {
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ":")) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59 || !take(text, ":")) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || *second > 60) return std::nullopt;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  return (*hour * 60 + *minute) * minute_us + *second * second_us + *fraction;
}

// How far the zone is ahead of UTC.
std::optional<Microseconds> take_zone(std::string_view& text) {
  if (take(text, "Zz")) return 0;
  const bool behind = !text.empty() && text[0] == '-';
  if (!take(text, "+-")) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ":")) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59) return std::nullopt;
  const Microseconds ahead = (*hour * 60 + *minute) * minute_us;
  return behind ? -ahead : ahead;
}

void put_digits(char* at, std::size_t digits, Microseconds value) {
  for (std::size_t i = digits; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

}  // namespace

std::optional<Microseconds> parse_rfc3339(std::string_view text) {
  const auto date = take_date(text);
  if (!date || text.empty()) return date;
  if (!take(text, "Tt ")) return std::nullopt;
  const auto clock = take_clock(text);
  if (!clock) return std::nullopt;
  const auto zone = take_zone(text);
  if (!zone || !text.empty()) return std::nullopt;
  return *date + *clock - *zone;
}

void append_rfc3339(std::string& out, Microseconds wall_us) {
  const std::chrono::sys_time<std::chrono::microseconds> at{
      std::chrono::microseconds(std::clamp(wall_us, lowest_us, highest_us))};
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const Microseconds in_day = (at - day).count();
  std::array<char, 27> text = {"0000-00-00T00:00:00.00000"};
  put_digits(text.data(), 4, static_cast<int>(date.year()));
  put_digits(&text[5], 2, static_cast<unsigned>(date.month()));
  put_digits(&text[8], 2, static_cast<unsigned>(date.day()));
  put_digits(&text[11], 2, in_day / (60 * minute_us));
  put_digits(&text[14], 2, in_day / minute_us % 60);
  put_digits(&text[17], 2, in_day / second_us % 60);
  put_digits(&text[20], 6, in_day % second_us);
  text[26] = 'Z';
  out.append(text.data(), text.size());
}

}  // namespace inlet
