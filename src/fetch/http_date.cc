#include "fetch/http_date.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace inlet::fetch {
namespace {

constexpr Microseconds second_us = 1'000'000;
constexpr int years_ahead_max = 50;  // Of a year of two digits (RFC 9110, 5.6.7).

constexpr std::array<std::string_view, 7> days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// Takes a text apart from its beginning; after the first mismatch all else fails.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  void expect(std::string_view literal) {
    if (!rest_.starts_with(literal)) return fail();
    rest_.remove_prefix(literal.size());
  }

  int number(std::size_t digits) {
    int value = 0;
    if (rest_.size() < digits) fail();
    for (std::size_t i = 0; i < digits && good_; i++) {
      const char c = rest_[i];
      if (c < '0' || c > '9') fail();
      value = value * 10 + (c - '0');
    }
    if (good_) rest_.remove_prefix(digits);
    return value;
  }

  // Two characters, of which the first may be a space.
  int padded_number() {
    if (!rest_.starts_with(' ')) return number(2);
    rest_.remove_prefix(1);
    return number(1);
  }

  // The index of the name that comes next, of which only the first `chars` count.
  template <std::size_t N>
  unsigned name(const std::array<std::string_view, N>& names, std::size_t chars) {
    for (unsigned i = 0; i < N; i++) {
      const std::string_view candidate = names[i].substr(0, chars);
      if (!rest_.starts_with(candidate)) continue;
      rest_.remove_prefix(candidate.size());
      return i;
    }
    fail();
    return 0;
  }

  [[nodiscard]] bool at_end() const { return good_ && rest_.empty(); }

 private:
  void fail() {
    good_ = false;
    rest_ = {};
  }

  std::string_view rest_;
  bool good_ = true;
};

struct Fields {
  unsigned weekday = 0;  // 0: Sunday.
  int year = 0;
  unsigned month = 0;  // 0: January.
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

void scan_time(Scanner& in, Fields& to) {
  to.hour = in.number(2);
  in.expect(":");
  to.minute = in.number(2);
  in.expect(":");
  to.second = in.number(2);
}

bool scan_fixed(std::string_view text, Fields& to) {
  Scanner in(text);
  to.weekday = in.name(days, 3);
  in.expect(", ");
  to.day = in.number(2);
  in.expect(" ");
  to.month = in.name(months, 3);
  in.expect(" ");
  to.year = in.number(4);
  in.expect(" ");
  scan_time(in, to);
  in.expect(" GMT");
  return in.at_end();
}

int year_of(Microseconds wall_us) {
  const auto day = std::chrono::floor<std::chrono::days>(
      std::chrono::sys_time<std::chrono::microseconds>(std::chrono::microseconds(wall_us)));
  return static_cast<int>(std::chrono::year_month_day(day).year());
}

bool scan_rfc850(std::string_view text, Microseconds wall_us, Fields& to) {
  Scanner in(text);
  to.weekday = in.name(days, std::string_view::npos);
  in.expect(", ");
  to.day = in.number(2);
  in.expect("-");
  to.month = in.name(months, 3);
  in.expect("-");
  const int now = year_of(wall_us);
  to.year = now - now % 100 + in.number(2);
  if (to.year > now + years_ahead_max) to.year -= 100;
  if (to.year <= now + years_ahead_max - 100) to.year += 100;
  in.expect(" ");
  scan_time(in, to);
  in.expect(" GMT");
  return in.at_end();
}

bool scan_asctime(std::string_view text, Fields& to) {
  Scanner in(text);
  to.weekday = in.name(days, 3);
  in.expect(" ");
  to.month = in.name(months, 3);
  in.expect(" ");
  to.day = in.padded_number();
  in.expect(" ");
  scan_time(in, to);
  in.expect(" ");
  to.year = in.number(4);
  return in.at_end();
}

std::optional<Microseconds> to_time(const Fields& fields) {
  namespace chrono = std::chrono;
  const chrono::year_month_day date(chrono::year(fields.year), chrono::month(fields.month + 1),
                                    chrono::day(static_cast<unsigned>(fields.day)));
  if (!date.ok()) return std::nullopt;
  const chrono::sys_days day(date);
  if (chrono::weekday(day) != chrono::weekday(fields.weekday)) return std::nullopt;
  if (fields.hour > 23 || fields.minute > 59 || fields.second > 60) return std::nullopt;
  const chrono::seconds since = day.time_since_epoch() + chrono::hours(fields.hour) +
                                chrono::minutes(fields.minute) + chrono::seconds(fields.second);
  return since.count() * second_us;
}

}  // namespace

std::optional<Microseconds> parse_http_date(std::string_view text, Microseconds wall_us) {
  Fields fields;
  if (scan_fixed(text, fields) || scan_rfc850(text, wall_us, fields) ||
      scan_asctime(text, fields)) {
    return to_time(fields);
  }
  return std::nullopt;
}

}  // namespace inlet::fetch
