// access_log: a line for every request that was answered, or for a sample of them.
//
//   {"time":"2026-11-23T10:00:00.000000Z","room":"access","request_id":"4f…","trace_id":"0af7…",
//    "amzn_trace_id":"1-…","client":"192.0.2.1","method":"POST","path":"/ingest/web","status":200,
//    "took_us":412,"bytes":1024,"tenant":"acme","stream":"web","id":"…","user_agent":"curl/8.1",
//    "sample":0.01}
//
// `time` is when it was answered, `bytes` the body's, `id` the record's if there is one; what is
// empty is left out, and "cut" names what was too long. A line with a "sample" stands for 1/sample
// requests.
//
// Loops push into rings (access_ring.h); a thread of its own writes a few times a second.
//
// Invariants:
//   - answers of 500 and above are never sampled away.
//   - every request asked for is one line, or counted in dropped(), which the log says.
//   - whatever a client sends, a line is one line and valid JSON, of at most access_line_bytes_max.
//   - the query of a target, which may hold secrets, is in none.
//
// Threads: wants() and push() on that loop's; lines() and dropped() from any; the rest from its
// owner's. Without start() nothing runs by itself: tests drive write_once().

#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/counter.h"
#include "base/file.h"
#include "logs/access_ring.h"
#include "logs/log_file.h"

namespace inlet::logs {

enum class Access : unsigned char {
  off,
  errors,  // Answers of 400 and above.
  all,
};

struct AccessOptions {
  Access access = Access::off;
  double sample = 1;             // Part of those below 500 that is written.
  std::uint64_t journal_id = 0;  // For record ids.
  std::size_t loops = 1;
  std::size_t ring_entries = access_ring_entries;
  std::uint64_t seed = 1;  // Of the sample.
};

inline constexpr Microseconds access_write_us = 200'000;
inline constexpr Microseconds access_say_us =
    10'000'000;  // Between two words about what is missing.
inline constexpr std::size_t access_piece_bytes = 64U << 10;  // Formatted before it is written.
// Of texts full of control characters; clients get no more than 2 KiB through the parser.
inline constexpr std::size_t access_line_bytes_max = 6144;

class AccessLog {
 public:
  // `file` null: to standard error.
  AccessLog(Clock& clock, AccessOptions options, std::unique_ptr<LogFile> file);
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;
  ~AccessLog();  // stop().

  void start();
  void stop();  // Writes what waits. No push() after it.

  // Whether an answer of this status is to be pushed; draws the sample, so ask once.
  [[nodiscard]] bool wants(std::size_t loop, int status);
  // Never waits.
  void push(std::size_t loop, const AccessEntry& entry) {
    if (loops_[loop]->ring.push(entry)) wake_.notify_one();
  }

  void write_once();

  // Requests written.
  [[nodiscard]] std::uint64_t lines() const { return file_ ? file_->lines() : lines_said_.get(); }
  // Requests that were to be written and are in no file.
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  struct Loop {
    explicit Loop(std::size_t entries) : ring(entries) {}
    AccessRing ring;
    alignas(64) std::uint64_t random = 0;  // The loop's own.
  };

  void run();
  void flush();
  void say_dropped();
  [[nodiscard]] std::uint64_t crowded_out() const;

  Clock& clock_;
  const AccessOptions options_;
  const std::uint64_t threshold_;  // Of 2^63: what the sample takes.
  std::vector<std::unique_ptr<Loop>> loops_;

  // The log's thread alone.
  const std::unique_ptr<LogFile> file_;
  std::string text_;
  Counter lines_said_;  // On standard error.
  std::uint64_t dropped_said_ = 0;
  Microseconds say_at_us_ = 0;  // On the steady clock.

  std::mutex mutex_;  // Guards stopping_.
  std::condition_variable wake_;
  bool stopping_ = false;
  bool stopped_ = false;  // The owner's.
  std::thread thread_;
};

// The pure part.
void append_access_line(std::string& out, const AccessSlot& slot, std::uint64_t journal_id,
                        double sample);

}  // namespace inlet::logs
