// vitals: how this node is doing: counted as it happens, looked at once a second, told to all who
// ask (status.h, metrics.h) or listen (Elastic Beanstalk's health agent, CloudWatch's agent).
//
// Loops only count. A thread of its own looks at the machine, the journal and the sinks, keeps the
// last hour and judges, so that a disk or a /proc that hangs delays a figure and no request.
//
// Threads: on_answer() on that loop's; commit_took() on the committer's; start() and stop() the
// owner's; all else any.

#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "health/emf.h"
#include "health/emf_log.h"
#include "health/healthd_log.h"
#include "health/host_figures.h"
#include "health/last_hour.h"
#include "health/readings.h"
#include "health/window.h"
#include "http/server.h"
#include "logs/process_log.h"
#include "serve/door.h"

namespace inlet::serve {

struct VitalsOptions {
  std::size_t loops = 1;
  std::string journal_directory;  // On the disk that is looked at.
  std::string certificate;        // Name of what the listener shows; "": it has none.
  std::string healthd_directory;  // "": no healthd log.
  std::string emf_file;           // "": none.
  health::EmfOptions emf;
  Microseconds emf_period_us = 60'000'000;
  const logs::ProcessLog* process_log = nullptr;  // This process's; null: it has no file.
};

inline constexpr Microseconds look_every_us = 1'000'000;

class Vitals final : public http::AnswerListener {
 public:
  // All outlive it; `door` is complete.
  Vitals(FileSystem& files, Clock& clock, const DoorContext& door, const http::Server& server,
         const MemoryBudget& memory, VitalsOptions options);
  Vitals(const Vitals&) = delete;
  Vitals& operator=(const Vitals&) = delete;
  ~Vitals();

  void start();
  void stop_looking();  // After it, nothing of this runs by itself but the healthd log.
  void stop();          // After the last on_answer(). Writes what listeners are owed.

  void on_answer(const http::Answered& answered) override;
  void commit_took(Microseconds took_us) { commit_latency_.record(took_us); }

  // As of the last look.
  struct Look {
    health::HostFigures host;
    health::Verdict verdict;
  };
  [[nodiscard]] Look last_look() const;
  // At this moment, but for the network: that is as of the last look.
  [[nodiscard]] health::Totals totals() const;
  [[nodiscard]] const health::Window& window() const { return window_; }
  [[nodiscard]] const health::HealthdLog* healthd() const { return healthd_.get(); }
  [[nodiscard]] const health::EmfLog* emf() const { return emf_.get(); }
  [[nodiscard]] const logs::ProcessLog* process_log() const { return options_.process_log; }

  // What the thread does once a second.
  void look();

 private:
  void run();
  void log_access(const http::Answered& answered);
  [[nodiscard]] health::NodeState state_of(const health::HostFigures& host,
                                           const health::Interval& minute,
                                           const journal::JournalStatus& journal,
                                           const std::vector<SinkFigures>& sinks);
  void tell_cloudwatch(const health::Totals& totals, const Look& look,
                       const health::NodeState& state, const std::vector<SinkFigures>& sinks);

  FileSystem& files_;
  Clock& clock_;
  const DoorContext& door_;
  const http::Server& server_;
  const MemoryBudget& memory_;
  const VitalsOptions options_;

  std::vector<health::RequestFigures> requests_;  // By loop.
  health::LatencyRecorder commit_latency_;
  std::unique_ptr<health::HealthdLog> healthd_;
  std::unique_ptr<health::EmfLog> emf_;
  health::Window window_;

  health::Traffic network_at_start_{};
  // The thread's, or before it runs the owner's.
  health::HostReader host_reader_;
  std::map<std::string, health::LastHour> dead_records_;  // By sink.
  health::LastHour healthd_dropped_;
  std::optional<Microseconds> keys_stale_since_us_;
  health::Totals emf_totals_;  // As of the last lines,
  Microseconds emf_us_ = 0;    // then.

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Look look_;
  bool stopping_ = false;
  bool stopped_all_ = false;
  std::thread thread_;
};

}  // namespace inlet::serve
