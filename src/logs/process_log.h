// process_log: everything a process logs (base/log.h), into its file as well as to standard error.
//
// A line is put into a bounded queue, and a thread of its own writes it at once: a disk that is
// slow, full or gone holds up nobody who logs. The supervisor must have no second thread (it
// forks), so there the caller writes; it has no request to answer.
//
// Invariants:
//   - a line for which there is no room, and every line while the file cannot be written, goes to
//     standard error whatever was configured.
//   - what is queued when it is closed is written, to standard error if the file will not have it.
//
// It outlives every thread that logs. Threads: write() from any with `own_thread`, else one.

#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/log.h"
#include "logs/log_file.h"

namespace inlet::logs {

enum class Writer : unsigned char { own_thread, caller };

inline constexpr std::size_t log_queue_bytes_max = 256U << 10;

class ProcessLog final : public LogOutput {
 public:
  // From now on log lines come here, and to standard error too if `standard_error`.
  ProcessLog(FileSystem& files, Clock& clock, LogFileOptions options, Writer writer,
             bool standard_error);
  ProcessLog(const ProcessLog&) = delete;
  ProcessLog& operator=(const ProcessLog&) = delete;
  // Log lines go to standard error alone again.
  ~ProcessLog();

  // Starts the thread; lines wait for it. After the sandbox, whose fences bind threads one by one.
  void start();

  [[nodiscard]] bool write(std::string_view line) override;

  // With Writer::caller. tick(): now and then; rotate(): so that what is there can be shipped.
  void tick();
  void rotate();

  // Lines that are in no file.
  [[nodiscard]] std::uint64_t dropped() const { return file_.dropped() + refused_.load(); }

 private:
  void run();

  LogFile file_;
  Writer writer_;
  const bool standard_error_;

  std::mutex mutex_;  // Guards queue_ and stopping_.
  std::condition_variable wake_;
  std::string queue_;
  bool stopping_ = false;
  std::atomic<std::uint64_t> refused_{0};  // By a full queue.
  std::thread thread_;
};

}  // namespace inlet::logs
