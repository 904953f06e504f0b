// healthd_log: every request in the log that Elastic Beanstalk's health agent reads.
//
//   BASE.2015-07-23-00                                        the hour of the line, in UTC
//   1437609879.311"/"200"0.083"0.083"177.72.242.17            seconds"path"status"took"took"client
//
// Elastic Beanstalk Developer Guide, "Enhanced health log format". The agent splits lines at every
// quote, needs a last field, and makes request counts and latencies of what it finds; where a
// platform has no proxy of Elastic Beanstalk's (Docker Compose), the application writes this log.
//
// Loops push into rings (healthd_ring.h); a thread of its own formats and appends a few times a
// second. A file is there from the top of its hour, also when nobody asks for anything; it is never
// truncated, and removed when its hour has been over for two. While the log runs it holds a lock
// beside the files, so no two processes write them.
//
// Invariants:
//   - every request pushed is exactly one line, or counted in dropped().
//   - nothing a client sends can add, shift or end a field.
//   - no file is removed that is not named like one of ours.
//
// A directory that is missing or cannot be written costs lines, which are counted, and one warning;
// it is tried again once a second.
//
// Threads: push() on that loop's; the figures from any; the rest from its owner's. Without start()
// nothing runs by itself: tests drive write_once().

#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/file.h"
#include "health/healthd_ring.h"

namespace inlet::health {

struct HealthdOptions {
  std::string base = "/var/log/nginx/healthd/application.log";
  std::size_t loops = 1;
  std::size_t ring_entries = healthd_ring_entries;
};

inline constexpr Microseconds healthd_write_us = 200'000;
inline constexpr Microseconds healthd_retry_us = 1'000'000;
inline constexpr Microseconds healthd_keep_us = Microseconds{2} * 3600 * 1'000'000;
inline constexpr std::size_t healthd_piece_bytes = 256U << 10;  // Formatted before it is written.

class HealthdLog {
 public:
  HealthdLog(FileSystem& files, Clock& clock, HealthdOptions options);
  HealthdLog(const HealthdLog&) = delete;
  HealthdLog& operator=(const HealthdLog&) = delete;
  ~HealthdLog();  // stop().

  void start();
  void stop();  // Writes what waits. No push() after it.

  // Never waits. On that loop's thread.
  void push(std::size_t loop, const HealthdEntry& entry) {
    if (rings_[loop]->push(entry)) wake_.notify_one();
  }

  // Appends everything that waits, keeps the hour's file there and old ones away.
  void write_once();

  // Lines written; of those, how many without path and with a mean time; and lines lost.
  [[nodiscard]] std::uint64_t lines() const { return lines_.get(); }
  [[nodiscard]] std::uint64_t coarse_lines() const { return coarse_lines_.get(); }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.get(); }

 private:
  void run();
  void get_ready(Microseconds now_us);
  [[nodiscard]] Status take_lock();
  [[nodiscard]] Status use_hour(std::int64_t hour);
  [[nodiscard]] bool file_is_there();
  void remove_old(Microseconds now_us);
  void add(const HealthdEntry& entry);
  void add_crowded(HealthdRing& ring, Microseconds now_us);
  void flush();
  [[nodiscard]] Status append();
  void forget_text();
  void give_up(const Error& error);

  FileSystem& files_;
  Clock& clock_;
  const HealthdOptions options_;
  std::vector<std::unique_ptr<HealthdRing>> rings_;

  // The log's thread alone.
  std::unique_ptr<FileLock> lock_;  // Null: nothing can be written.
  std::unique_ptr<File> file_;
  std::int64_t hour_ = -1;          // Of file_, since 1970; -1: none is open.
  std::int64_t hour_cleaned_ = -1;  // When old files were last removed.
  std::string text_;                // Lines of one hour, not written.
  std::int64_t text_hour_ = -1;
  bool cut_ = false;          // text_ begins inside a line.
  Microseconds look_us_ = 0;  // On the steady clock: when to try again, or see that all is there.
  bool warned_ = false;

  Counter lines_;
  Counter coarse_lines_;
  Counter dropped_;

  std::mutex mutex_;  // Guards stopping_.
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

// The pure parts.
void append_healthd_line(std::string& out, const HealthdEntry& entry);
// BASE.YYYY-MM-DD-HH for hours since 1970, in UTC.
[[nodiscard]] std::string healthd_file_name(std::string_view base, std::int64_t hour);
// The hour a file name says, or -1 if healthd_file_name() does not make such names.
[[nodiscard]] std::int64_t healthd_hour_of(std::string_view base, std::string_view name);

}  // namespace inlet::health
