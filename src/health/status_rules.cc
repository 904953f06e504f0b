#include "health/status_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/json.h"

namespace inlet::health {
namespace {

constexpr double minutes = 60;
constexpr double hours = 3600;
constexpr double x = no_threshold;
constexpr auto high = Rule::Bad::high;
constexpr auto low = Rule::Bad::low;

// In the order of Figure, which is the order of causes of one level.
constexpr std::array<Rule, figures_judged> table = {{
    {Figure::refusing, high, {x, x, x, 1}, "the journal is {subject}: records are refused"},
    {Figure::failed_requests,
     high,
     {x, 1, 5, 20},
     "{value} % of requests failed with 5xx in the last minute"},
    {Figure::client_errors,
     high,
     {20, x, x, x},
     "{value} % of requests were answered with 4xx in the last minute"},
    {Figure::request_latency,
     high,
     {1, 5, 15, 30},
     "1 % of requests took {value} s or longer in the last minute"},
    {Figure::commit_latency,
     high,
     {0.1, 0.5, 2, x},
     "1 % of flushes took {value} s or longer in the last minute"},
    {Figure::failed_commits,
     high,
     {x, 1, 3, x},
     "the disk refused {value} writes in the last minute"},
    {Figure::journal_used, high, {x, 70, 85, 95}, "journal {value} % full"},
    {Figure::journal_full_in,
     low,
     {6 * hours, 1 * hours, 15 * minutes, 5 * minutes},
     "journal full in {duration}"},
    {Figure::damaged_records,
     high,
     {x, 1, x, x},
     "{value} acknowledged records were found damaged on the disk"},
    {Figure::sink_lag,
     high,
     {60, 5 * minutes, 30 * minutes, 2 * hours},
     "sink {subject} is {duration} behind"},
    {Figure::sink_failing,
     high,
     {1, 5, 10 * minutes, x},
     "sink {subject} has taken nothing for {duration}: {detail}"},
    {Figure::sink_silent,
     high,
     {x, 30, 2 * minutes, x},
     "the shipper of sink {subject} has not reported for {duration}"},
    {Figure::sink_dead_records,
     high,
     {1, 100, x, x},
     "sink {subject} refused {value} records in the last hour"},
    {Figure::disk_used, high, {x, 90, 95, 98}, "disk {value} % full"},
    {Figure::memory_used, high, {x, 90, 97, x}, "memory {value} % used"},
    {Figure::client_memory_used, high, {80, 95, x, x}, "memory for client data {value} % used"},
    {Figure::cpu_used, high, {90, 98, x, x}, "CPU {value} % busy"},
    {Figure::descriptors_used, high, {x, 80, 95, x}, "{value} % of file descriptors in use"},
    {Figure::draining, high, {1, x, x, x}, "draining: this node is about to leave"},
    {Figure::keys_stale,
     high,
     {x, 1 * minutes, 1 * hours, x},
     "the file of API keys cannot be read since {duration}; the keys before hold"},
    {Figure::certificate_days_left, low, {30, 14, 3, 0}, "certificate {subject} {expiry}"},
    {Figure::healthd_dropped,
     high,
     {1, x, x, x},
     "{value} requests are missing in the healthd log of the last hour"},
}};

static_assert([] {
  for (std::size_t i = 0; i < figures_judged; i++) {
    if (static_cast<std::size_t>(table[i].figure) != i) return false;
    double before = no_threshold;
    for (const double at : table[i].at) {  // Worse and worse.
      if (at != at) continue;
      if (before == before && (table[i].bad == high ? at <= before : at >= before)) return false;
      before = at;
    }
  }
  return true;
}());

// Two digits are enough to act on, and a count stays whole.
std::string value_text(double value) {
  if (std::abs(value) >= 10 || value == std::floor(value)) {
    return fmt::format("{:.0f}", std::floor(value));
  }
  return fmt::format("{:.2g}", value);
}

std::string expiry_text(double days) {
  if (days <= 0) return "has expired";
  return fmt::format("expires in {}", duration_text(days * 24 * hours));
}

std::string_view cut(std::string_view text) {
  if (text.size() <= detail_bytes_max) return text;
  std::size_t end = detail_bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) end--;
  return text.substr(0, end);
}

std::string text_of(const Rule& rule, const Reading& reading) {
  std::string out;
  std::string_view rest = rule.text;
  while (!rest.empty()) {
    const std::size_t open = rest.find('{');
    out += rest.substr(0, open);
    if (open == std::string_view::npos) break;
    const std::size_t close = rest.find('}', open);
    CHECK(close != std::string_view::npos);
    const std::string_view name = rest.substr(open + 1, close - open - 1);
    if (name == "value") out += value_text(reading.value);
    if (name == "duration") out += duration_text(reading.value);
    if (name == "subject") out += reading.subject;
    if (name == "detail") out += cut(reading.detail);
    if (name == "expiry") out += expiry_text(reading.value);
    rest.remove_prefix(close + 1);
  }
  return out;
}

std::string threshold_text(const Rule& rule, double at) {
  if (std::isnan(at)) return "";
  if (rule.text.contains("{duration}")) return duration_text(at);
  if (rule.text.contains("{expiry}"))
    return at == 0 ? "has expired" : duration_text(at * 24 * hours);
  return rule.text.contains("{value}") ? value_text(at) : "always";
}

}  // namespace

std::string_view name_of(Level level) {
  constexpr std::string_view names[] = {"Ok", "Info", "Warning", "Degraded", "Severe"};
  return names[static_cast<std::size_t>(level)];
}

// Elastic Beanstalk Developer Guide, "Publishing Amazon CloudWatch custom metrics".
int eb_value_of(Level level) {
  constexpr int values[] = {0, 1, 15, 20, 25};
  return values[static_cast<std::size_t>(level)];
}

const std::array<Rule, figures_judged>& rules() { return table; }

Level level_of(const Rule& rule, double value) {
  Level level = Level::ok;
  for (std::size_t i = 0; i < rule.at.size(); i++) {
    // False for no_threshold, and for a value that is no number.
    const bool reached = rule.bad == high ? value >= rule.at[i] : value <= rule.at[i];
    if (reached) level = static_cast<Level>(i + 1);
  }
  return level;
}

Verdict judge(const std::vector<Reading>& readings) {
  Verdict out;
  for (const Reading& reading : readings) {
    const Rule& rule = table[static_cast<std::size_t>(reading.figure)];
    const Level level = level_of(rule, reading.value);
    if (level == Level::ok) continue;
    out.causes.push_back({level, reading.figure, text_of(rule, reading)});
    out.level = std::max(out.level, level);
  }
  std::ranges::stable_sort(out.causes, [](const Cause& a, const Cause& b) {
    return a.level != b.level ? a.level > b.level : a.figure < b.figure;
  });
  return out;
}

void append_json(std::string& out, const Verdict& verdict) {
  fmt::format_to(std::back_inserter(out), R"({{"level":"{}","causes":[)", name_of(verdict.level));
  for (const Cause& cause : verdict.causes) {
    if (&cause != &verdict.causes.front()) out += ',';
    fmt::format_to(std::back_inserter(out), R"({{"level":"{}","text":)", name_of(cause.level));
    append_json_string(out, cause.text);
    out += '}';
  }
  out += "]}";
}

std::string duration_text(double seconds) {
  constexpr double most_seconds = 360;  // Then minutes are precise enough, and so on.
  constexpr double most_minutes = 300;
  constexpr double most_hours = 72;
  if (seconds < most_seconds) return fmt::format("{:.0f} s", std::max(0.0, seconds));
  if (seconds < most_minutes * minutes) return fmt::format("{:.0f} min", seconds / minutes);
  if (seconds < most_hours * hours) return fmt::format("{:.0f} h", seconds / hours);
  return fmt::format("{:.0f} days", seconds / hours / 24);
}

std::string rules_markdown() {
  std::string out = "| cause | Info | Warning | Degraded | Severe |\n|---|---|---|---|---|\n";
  for (const Rule& rule : table) {
    std::string text(rule.text);
    for (const auto& [name, shown] :
         {std::pair("{value}", "N"), std::pair("{duration}", "T"), std::pair("{subject}", "NAME"),
          std::pair("{expiry}", "expires in T"), std::pair("{detail}", "the last error")}) {
      if (const std::size_t at = text.find(name); at != std::string::npos) {
        text.replace(at, std::string_view(name).size(), shown);
      }
    }
    out += "| " + text + " |";
    for (const double at : rule.at)
      fmt::format_to(std::back_inserter(out), " {} |", threshold_text(rule, at));
    out += '\n';
  }
  return out;
}

}  // namespace inlet::health
