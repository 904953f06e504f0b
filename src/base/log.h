// log: structured log lines, one JSON object a line, on standard error and to one output besides.
//
// log_info("journal", "opened", {{"segment", 7}, {"path", path}});
//   {"time":"2026-11-23T10:00:00.000000Z","level":"info","room":"journal","message":"opened",…}
//
// Values are escaped, so input can never forge a line. A line is written by one system call.
// Threads: any, but set_log_output() is for when no other logs. Not for the request path.

#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace inlet {

enum class LogLevel : unsigned char { debug, info, warn, error, off };

struct LogField {
  template <std::integral T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)), quoted(false) {}
  LogField(std::string_view k, std::string_view v) : key(k), value(v), quoted(true) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v), quoted(true) {}
  LogField(std::string_view k, const char* v) : key(k), value(v), quoted(true) {}

  std::string_view key;
  std::string value;
  bool quoted;
};

using LogFields = std::initializer_list<LogField>;

void log_line(LogLevel level, std::string_view room, std::string_view message, LogFields fields);

inline void log_debug(std::string_view room, std::string_view message, LogFields fields = {}) {
  log_line(LogLevel::debug, room, message, fields);
}
inline void log_info(std::string_view room, std::string_view message, LogFields fields = {}) {
  log_line(LogLevel::info, room, message, fields);
}
inline void log_warn(std::string_view room, std::string_view message, LogFields fields = {}) {
  log_line(LogLevel::warn, room, message, fields);
}
inline void log_error(std::string_view room, std::string_view message, LogFields fields = {}) {
  log_line(LogLevel::error, room, message, fields);
}

// Lines below this level are not written. Default info.
void set_log_level(LogLevel level);

// Takes log lines from any thread, and never waits for a disk.
class LogOutput {
 public:
  // A line with its end. False: it may get lost, and goes to standard error whatever was set.
  [[nodiscard]] virtual bool write(std::string_view line) = 0;

 protected:
  ~LogOutput() = default;
};
// From now on lines go to `output` (null: there is none), and to standard error if `standard_error`
// or nothing else takes them. `output` stays until it is replaced.
void set_log_output(LogOutput* output, bool standard_error);

// Whole lines with their ends, to standard error and nowhere else.
void write_standard_error(std::string_view lines);

// "debug", "info", "warn", "error", "off"; false if `name` is none of them.
[[nodiscard]] bool parse_log_level(std::string_view name, LogLevel& level);

}  // namespace inlet
