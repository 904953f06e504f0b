// log_file: one process's log in a directory: appended, rotated, and kept within its bounds.
//
// PROCESS.log is renamed (file_name.h) when it is full or old, or was left by an earlier life, and
// a new one is begun: log shippers, ours among them, take renamed files and never open ones. The
// oldest rotated files, whoever wrote them, go when there are too many in the directory, and the
// log says so.
//
// Invariants:
//   - only whole lines are dropped, and dropped() counts them; nothing written is overwritten.
//   - a line whose write() returned while healthy() outlives the process, not the machine's power.
//   - no two processes write one file: PROCESS.lock is held as long as it is open.
//   - a directory that is missing, full or broken costs lines, never more than pending_bytes_max of
//     memory, one warning, and a try a second.
//
// Waits for the disk, so it is no business of a thread that answers requests (process_log.h,
// access_log.h). One thread; the figures from any.

#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "base/counter.h"
#include "base/file.h"
#include "base/time.h"
#include "logs/file_name.h"

namespace inlet::logs {

inline constexpr std::size_t pending_bytes_max = 256U << 10;  // Waiting for the disk.
inline constexpr std::size_t rotated_files_max = 10'000;      // In a directory, of all processes.
inline constexpr Microseconds log_retry_us = 1'000'000;

struct LogFileOptions {
  std::string directory;
  std::string process;  // is_process_name().
  std::uint64_t bytes_max = 64U << 20;
  Microseconds age_max_us = Microseconds{3600} * 1'000'000;  // Since its first line.
  std::uint64_t total_bytes_max = 1U << 30;  // Of the directory's rotated files together.
};

class LogFile {
 public:
  LogFile(FileSystem& files, Clock& clock, LogFileOptions options);
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Whole lines with their ends. May be called by what it logs itself.
  void write(std::string_view lines);
  // Rotates what has become old; tries again what failed.
  void tick();
  // How long until there is something for tick() to do.
  [[nodiscard]] Microseconds tick_in_us();
  // Now, unless there is nothing in it.
  void rotate();
  // A last try to write; what is left of it is returned, and the file is closed.
  [[nodiscard]] std::string close();

  // False: lines wait or are dropped.
  [[nodiscard]] bool healthy() const { return !failing_.load(); }
  [[nodiscard]] std::uint64_t lines() const { return lines_.get(); }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.get(); }
  [[nodiscard]] std::uint64_t removed_files() const { return removed_files_.get(); }

  static constexpr Microseconds never = std::numeric_limits<Microseconds>::max();

 private:
  void keep(std::string_view lines);
  void work(bool rotate_now);
  [[nodiscard]] Status bring_to_disk(bool rotate_now);
  [[nodiscard]] Status get_ready();
  void see_that_it_is_there();
  [[nodiscard]] Status open_file();
  [[nodiscard]] Status append();
  [[nodiscard]] Status append_part();
  [[nodiscard]] std::size_t part_bytes() const;
  [[nodiscard]] bool is_due(bool rotate_now);
  void forget_cut_line();
  void remove_old();
  void give_up(const Error& error);
  void recover();

  FileSystem& files_;
  Clock& clock_;
  const LogFileOptions options_;
  const std::string path_;

  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<File> file_;
  std::uint64_t bytes_ = 0;           // In file_.
  Microseconds begun_us_ = 0;         // Its first line, on the steady clock.
  std::string pending_;               // Lines not written; may begin inside one, cut_.
  bool cut_ = false;                  // A write took a part of a line.
  bool busy_ = false;                 // Inside work().
  Microseconds retry_at_us_ = 0;      // On the steady clock, after a failure.
  Microseconds look_at_us_ = 0;       // When to see again that the file is there.
  std::uint64_t dropped_before_ = 0;  // Before the failure.

  std::atomic<bool> failing_{false};  // From a failure until it is over.
  Counter lines_;
  Counter dropped_;
  Counter removed_files_;
};

// Renames PROCESS.log of a directory so that it is final; nothing if it is empty or not there. The
// caller holds the lock.
[[nodiscard]] Status rotate_log(FileSystem& files, Clock& clock, const std::string& directory,
                                std::string_view process);

}  // namespace inlet::logs
