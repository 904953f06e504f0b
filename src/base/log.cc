#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

#include "base/calendar.h"
#include "base/json.h"
#include "base/time.h"

namespace inlet {
namespace {

std::atomic<LogLevel> lowest{LogLevel::info};
std::atomic<LogOutput*> other_output{nullptr};
std::atomic<bool> to_standard_error{true};

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

}  // namespace

void log_line(LogLevel level, std::string_view room, std::string_view message, LogFields fields) {
  if (level < lowest.load(std::memory_order_relaxed)) return;
  std::string line = "{\"time\":\"";
  append_rfc3339(line, SystemClock().wall_us());
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
  line += "}\n";
  LogOutput* const output = other_output.load();
  const bool taken = output != nullptr && output->write(line);
  if (!taken || to_standard_error.load(std::memory_order_relaxed)) write_standard_error(line);
}

void set_log_output(LogOutput* output, bool standard_error) {
  other_output = output;
  to_standard_error = standard_error;
}

void write_standard_error(std::string_view lines) {
  if (lines.ends_with('\n')) lines.remove_suffix(1);  // The logger adds one.
  logger().log(spdlog::level::info, spdlog::string_view_t(lines.data(), lines.size()));
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
