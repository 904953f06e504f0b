#include "sinks/kafka_log.h"

#include <librdkafka/rdkafka.h>

#include "base/log.h"

namespace inlet::sinks {
namespace {

// librdkafka's errors are ours to judge: what matters comes as a batch's answer, so nothing it says
// is more than a warning.
LogLevel log_level(int level) {
  if (level >= 7) return LogLevel::debug;
  return level >= 5 ? LogLevel::info : LogLevel::warn;
}

}  // namespace

void KafkaLog::callback(const rd_kafka_t* handle, int level, const char* facility,
                        const char* text) {
  static_cast<KafkaLog*>(rd_kafka_opaque(handle))->line(level, facility, text);
}

void KafkaLog::line(int level, std::string_view facility, std::string_view text) {
  if (facility == "CONFWARN") level = 7;  // Of our own choices.
  std::uint64_t left_out = 0;
  if (level < 7 && !admit(left_out)) return;  // Debug is on only where somebody asked for it.
  if (left_out == 0) {
    log_line(log_level(level), "kafka", text, {{"facility", facility}});
  } else {
    log_line(log_level(level), "kafka", text, {{"facility", facility}, {"left_out", left_out}});
  }
}

bool KafkaLog::admit(std::uint64_t& left_out) {
  const std::lock_guard lock(mutex_);
  const Microseconds now = clock_.steady_us();
  if (!started_ || now - span_start_us_ >= span_us) {
    started_ = true;
    span_start_us_ = now;
    lines_ = 0;
  }
  if (lines_ >= lines_max) {
    left_out_++;
    return false;
  }
  lines_++;
  left_out = left_out_;
  left_out_ = 0;
  return true;
}

}  // namespace inlet::sinks
