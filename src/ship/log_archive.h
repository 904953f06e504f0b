// log_archive: rotated log files into a store, oldest first, and then off the disk.
//
//   [PREFIX/]NODE/PROCESS/YYYY/MM/DD/PROCESS-20261123T215500.123456Z.log.gz
//
// Invariants:
//   - a file is removed only after the store said that it has it, and only if it is a rotated log.
//   - no file is shipped before an older one that can be read.
//   - what is stored under a key is that file, whole: after a crash it is stored again, the same.
//   - while the store takes nothing, files wait, are asked for again with growing pauses for ever,
//     and bound themselves (logs/log_file.h).
//
// Open files are their processes' to rotate. What a dead one left open is rotated here: whose lock
// is free has no writer.
//
// Memory: one file, compressed, of at most log_bytes_max before. One process, which
// LogArchive::open() sees to. run() is one thread's; flush() and stop() may be called from any.

#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "base/file.h"
#include "base/time.h"
#include "logs/file_name.h"
#include "ship/retry.h"
#include "sinks/compress.h"
#include "sinks/log_store.h"

namespace inlet::ship {

inline constexpr std::uint64_t log_bytes_max = 1U << 30;      // Longer files stay.
inline constexpr Microseconds log_look_us = 1'000'000;        // For new files.
inline constexpr Microseconds log_adopt_us = 10'000'000;      // For files of the dead.
inline constexpr Microseconds log_complain_us = 600'000'000;  // Between two such words.
inline constexpr Microseconds unreadable_log_retry_us = 60'000'000;
inline constexpr std::string_view log_archive_lock = "archiver.lock";

struct LogArchiveOptions {
  std::string directory;
  std::string node;
  std::string own = {};  // The process whose log is this one's: it rotates it itself.
  Microseconds flush_deadline_us = 30'000'000;
  RetryOptions retry = {};
  std::uint64_t seed = 1;  // Of the pauses' spread.
};

struct LogArchiveFigures {
  std::uint64_t files = 0;  // Stored by this process.
  std::uint64_t bytes = 0;  // Of them, before compression.
  std::uint64_t retries = 0;
  std::uint64_t waiting_files = 0;  // As last seen.
  Microseconds oldest_us = 0;       // Wall time of the oldest waiting; 0: none is.
  std::string last_error;
};

class LogArchive {
 public:
  // References outlive it. ErrorKind::reject if another process archives this directory.
  [[nodiscard]] static Result<std::unique_ptr<LogArchive>> open(FileSystem& files, Clock& clock,
                                                                sinks::LogStore& store,
                                                                LogArchiveOptions options);

  // Until told to end; what waits then.
  LogArchiveFigures run();
  // End when everything rotated is stored, at the latest after flush_deadline_us.
  void flush();
  // End after the step in hand.
  void stop() { wish_.store(Wish::stop); }

  // The parts of run(), for tests. How long to wait before the next step; 0: go on.
  [[nodiscard]] Microseconds run_once();
  // Whether the last step looked and found nothing to ship.
  [[nodiscard]] bool is_idle() const { return idle_; }
  [[nodiscard]] const LogArchiveFigures& figures() const { return figures_; }

 private:
  enum class Wish : unsigned char { run, flush, stop };
  struct Sent {
    logs::RotatedLog log;
    std::uint64_t bytes;
  };

  LogArchive(FileSystem& files, Clock& clock, sinks::LogStore& store, LogArchiveOptions options,
             std::unique_ptr<FileLock> lock);
  void adopt_orphans();
  [[nodiscard]] Microseconds start_oldest();
  // False: it cannot be read now.
  [[nodiscard]] bool start(const logs::RotatedLog& log);
  [[nodiscard]] Status read(const logs::RotatedLog& log, std::string& body, std::uint64_t& bytes);
  void settle(const sinks::Delivery& delivery);
  void note_failure(const sinks::Delivery& delivery);
  [[nodiscard]] std::string path_of(const logs::RotatedLog& log) const;
  void complain(const std::string& why);

  FileSystem& files_;
  Clock& clock_;
  sinks::LogStore& store_;
  const LogArchiveOptions options_;
  const std::unique_ptr<FileLock> lock_;
  sinks::Compressor compressor_;
  std::mt19937_64 random_;

  std::optional<Sent> sent_;
  bool idle_ = false;
  std::uint64_t failures_ = 0;  // In a row.
  Microseconds not_before_us_ = 0;
  Microseconds adopt_at_us_ = 0;
  Microseconds complain_at_us_ = 0;
  std::map<std::string, Microseconds> unreadable_;  // Until when, by name.
  LogArchiveFigures figures_;
  std::atomic<Wish> wish_{Wish::run};
  static_assert(std::atomic<Wish>::is_always_lock_free);
};

// Where a rotated log goes.
[[nodiscard]] std::string log_key(std::string_view node, const logs::RotatedLog& log);

}  // namespace inlet::ship
