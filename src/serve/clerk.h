// clerk: one thread that reads files for requests, so that event loops never wait for the disk.
//
// Invariants:
//   - a job that post() took is called exactly once: on the clerk's thread, or by stop() with
//     Call::stopped, when it only has to hand its request back.
//   - at most jobs_max wait; nobody but operators gets the last jobs_kept_for_operators places, and
//     one tenant never more than jobs_of_tenant_max.

#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace inlet::serve {

class Clerk {
 public:
  enum class Call : std::uint8_t { run, stopped };
  using Job = std::move_only_function<void(Call)>;

  Clerk();
  Clerk(const Clerk&) = delete;
  Clerk& operator=(const Clerk&) = delete;
  ~Clerk();  // stop().

  // `tenant`: for whom; "" is an operator. False: no place, or stopped; the job was not taken and
  // `job` is as it was. Never blocks. Any thread.
  [[nodiscard]] bool post(std::string_view tenant, Job& job);

  // Waits for the job in hand, then hands the waiting ones back. What jobs post to must still be
  // there.
  void stop();

  static constexpr std::size_t jobs_max = 64;  // Waiting.
  static constexpr std::size_t jobs_kept_for_operators = 16;
  static constexpr std::size_t jobs_of_tenant_max = 16;

 private:
  struct Waiting {
    std::string tenant;
    Job job;
  };

  [[nodiscard]] bool has_place(std::string_view tenant) const;
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> waiting_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace inlet::serve
