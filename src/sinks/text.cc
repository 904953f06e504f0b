#include "sinks/text.h"

#include <algorithm>
#include <chrono>

namespace inlet::sinks {
namespace {

constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds lowest_us = -62'167'219'200 * second_us;       // 0000-01-01T00:00:00
constexpr Microseconds highest_us = 253'402'300'800 * second_us - 1;  // 9999-12-31T23:59:59.999999

void put_digits(char* at, std::size_t digits, Microseconds value) {
  for (std::size_t i = digits; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

// "YYYY-MM-DD"
void put_date(char* at, std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  put_digits(at, 4, static_cast<int>(date.year()));
  at[4] = '-';
  put_digits(at + 5, 2, static_cast<unsigned>(date.month()));
  at[7] = '-';
  put_digits(at + 8, 2, static_cast<unsigned>(date.day()));
}

Microseconds bounded(Microseconds wall_us) { return std::clamp(wall_us, lowest_us, highest_us); }

}  // namespace

void append_base64(std::string& out, Bytes bytes) {
  static constexpr char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t start = out.size();
  out.resize(start + (bytes.size() + 2) / 3 * 4);
  char* to = out.data() + start;
  const auto at = [&](std::size_t i) { return std::to_integer<unsigned>(bytes[i]); };
  std::size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const unsigned three = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    *to++ = digits[three >> 18];
    *to++ = digits[three >> 12 & 63];
    *to++ = digits[three >> 6 & 63];
    *to++ = digits[three & 63];
  }
  if (i == bytes.size()) return;
  const bool two = i + 2 == bytes.size();
  const unsigned rest = at(i) << 16 | (two ? at(i + 1) << 8 : 0);
  *to++ = digits[rest >> 18];
  *to++ = digits[rest >> 12 & 63];
  *to++ = two ? digits[rest >> 6 & 63] : '=';
  *to = '=';
}

Microseconds utc_hour(Microseconds wall_us) {
  return std::chrono::floor<std::chrono::hours>(std::chrono::microseconds(bounded(wall_us)))
      .count();
}

std::string hour_path(Microseconds hour) {
  const std::chrono::sys_time<std::chrono::hours> at{std::chrono::hours(hour)};
  const auto day = std::chrono::floor<std::chrono::days>(at);
  std::string path = "date=0000-00-00/hour=00";
  put_date(&path[5], day);
  put_digits(&path[21], 2, (at - day).count());
  return path;
}

}  // namespace inlet::sinks
