#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <ctime>

#include "base/json.h"
#include "base/time.h"

namespace inlet {
namespace {

std::atomic<LogLevel> lowest{LogLevel::info};

constexpr std::string_view level_names[] = {"debug", "info", "warn", "error", "off"};

spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made("inlet", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made.set_pattern("%v");
    made.set_level(spdlog::level::trace);
    made.flush_on(spdlog::level::trace);
    return made;
  }();
  return instance;
}

void append_time(std::string& out, Microseconds wall_us) {
  const std::time_t seconds = wall_us / 1'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[40];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  out.append(text, length);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%06dZ", static_cast<int>(wall_us % 1'000'000));
  out += fraction;
}

}  // namespace

void log_line(LogLevel level, std::string_view room, std::string_view message, LogFields fields) {
  if (level < lowest.load(std::memory_order_relaxed)) return;
  std::string line = "{\"time\":\"";
  append_time(line, SystemClock().wall_us());
  line += "\",\"level\":\"";
  line += level_names[static_cast<std::size_t>(level)];
  line += "\",\"room\":";
  append_json_string(line, room);
  line += ",\"message\":";
  append_json_string(line, message);
  for (const LogField& field : fields) {
    line += ',';
    append_json_string(line, field.key);
    line += ':';
    if (field.quoted) {
      append_json_string(line, field.value);
    } else {
      line += field.value;
    }
  }
  line += '}';
  logger().log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

void set_log_level(LogLevel level) { lowest.store(level, std::memory_order_relaxed); }

bool parse_log_level(std::string_view name, LogLevel& level) {
  for (std::size_t i = 0; i < std::size(level_names); i++) {
    if (level_names[i] != name) continue;
    level = static_cast<LogLevel>(i);
    return true;
  }
  return false;
}

}  // namespace inlet
