// kafka_log: what librdkafka says, into our log, but never more than a few lines a minute.
//
// A dead cluster makes librdkafka repeat itself for every broker and attempt; the lines left out
// are counted and the count is told. Threads: any; librdkafka logs from its own.

#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>

#include "base/time.h"

struct rd_kafka_s;

namespace inlet::sinks {

class KafkaLog {
 public:
  // `clock` outlives the log.
  explicit KafkaLog(Clock& clock) : clock_(clock) {}
  KafkaLog(const KafkaLog&) = delete;
  KafkaLog& operator=(const KafkaLog&) = delete;

  // `level` as syslog counts: 3 and less are errors, 4 warnings, 7 debug.
  void line(int level, std::string_view facility, std::string_view text);

  // For librdkafka: rd_kafka_conf_set_log_cb, of a handle whose opaque is a KafkaLog.
  static void callback(const rd_kafka_s* handle, int level, const char* facility, const char* text);

  static constexpr std::uint64_t lines_max = 20;  // In each
  static constexpr Microseconds span_us = 60'000'000;

 private:
  // Whether one more may be written; `left_out` is how many were not before it.
  [[nodiscard]] bool admit(std::uint64_t& left_out);

  Clock& clock_;
  std::mutex mutex_;
  bool started_ = false;
  Microseconds span_start_us_ = 0;
  std::uint64_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace inlet::sinks
