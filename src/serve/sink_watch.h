// sink_watch: how far delivery is, for operators: read from the files the shippers keep.
//
// serve talks to no shipper. Counts are the cursor's; lag, retries and the last error come from the
// status file, whose age says whether its writer lives. One thread of its own looks once a second,
// so that a disk that hangs never holds up an event loop.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/time.h"

namespace inlet::serve {

struct SinkFigures {
  std::string name;
  std::uint64_t next_sequence = 1;  // Of the first record not yet delivered.
  std::uint64_t delivered_records = 0;
  std::uint64_t delivered_bytes = 0;
  std::uint64_t dead_records = 0;
  std::uint64_t lost_records = 0;
  std::uint64_t skipped_records = 0;
  std::uint64_t pending_bytes = 0;
  std::uint64_t retries = 0;    // Since its process started.
  Microseconds oldest_us = 0;   // When the oldest record not yet delivered came, on the wall clock;
                                // 0: there was none.
  Microseconds updated_us = 0;  // When the shipper last said so; 0: never.
  std::string last_error;       // The latest, also when it is over.
  std::string last_error_at;
  Microseconds failing_since_us = 0;  // First of the failures in a row; 0: the last attempt did.
};

// What a shipper's status file says, into `out`; false if it is not one. Pure.
[[nodiscard]] bool read_status(std::string_view json, SinkFigures& out);

// How long it has been since `then_us`, also if the wall clock was set back meanwhile.
[[nodiscard]] Microseconds age_us(Microseconds then_us, Microseconds wall_us);

// How old the oldest record is that the sink has not got; 0 if it has all up to `next_sequence`.
[[nodiscard]] Microseconds lag_us(const SinkFigures& sink, std::uint64_t next_sequence,
                                  Microseconds wall_us);

class SinkWatch {
 public:
  SinkWatch(FileSystem& files, std::string journal_directory, std::vector<std::string> sinks);
  SinkWatch(const SinkWatch&) = delete;
  SinkWatch& operator=(const SinkWatch&) = delete;
  ~SinkWatch();

  // As of the last look. Any thread.
  [[nodiscard]] std::vector<SinkFigures> figures() const;

 private:
  void run();
  [[nodiscard]] SinkFigures look(const std::string& sink) const;

  FileSystem& files_;
  const std::string journal_directory_;
  const std::vector<std::string> sinks_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<SinkFigures> figures_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace inlet::serve
