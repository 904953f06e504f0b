// rollout: an upgrade in place: from the test of the new programs to the moment they are trusted.
//
//   testing    the candidates are started to look at the configuration and the journal and to say
//              their version; nothing was touched yet
//   replacing  serve, then one ship after the other, ends and comes back as the candidate; serve
//              must say that it is ready, a ship must live for a while
//   proven     everything runs on the candidates: the supervisor itself may follow
//   returning  a candidate did not hold: everything goes back to the running edition
//
// Invariant: whatever ends it (a refusal, a return, a proof that was not acted upon), the note says
// what happened and why, and no test program is left running.
//
// Children are not its own: it says which to replace and is told what became of them. One thread.

#pragma once

#include <sys/types.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/time.h"
#include "main/edition.h"
#include "main/node_state.h"
#include "main/process.h"

namespace inlet::main {

struct RolloutLimits {
  Microseconds test_us = 15'000'000;       // For all tests together.
  Microseconds ready_us = 10'000'000;      // From serve's start to its readiness.
  Microseconds ship_trial_us = 1'000'000;  // A ship that lives so long is taken for well.
};

class Rollout {
 public:
  enum class Stage : unsigned char { idle, testing, replacing, proven, returning };

  static constexpr Microseconds never = std::numeric_limits<Microseconds>::max();

  // `replace` tells a child to end and come back as that edition; on_started() follows. It outlives
  // the rollout.
  using Replace = std::function<void(const std::string& child, Edition edition)>;
  Rollout(Replace replace, RolloutLimits limits);
  ~Rollout();
  Rollout(const Rollout&) = delete;
  Rollout& operator=(const Rollout&) = delete;

  struct Member {
    std::string name;  // Of a child.
    bool settled;      // Else it comes and goes already, and proves nothing about the candidate.
  };

  // `tests` print "inlet VERSION" and exit with 0, all with the same version. serve is the first
  // of the children.
  void begin(Microseconds id, const std::string& version, std::vector<Command> tests,
             std::vector<Member> children, Microseconds now_us);
  // Notes that there will be none.
  void refuse(Microseconds id, const std::string& version, const std::string& why);
  // Does what is due.
  void turn(Microseconds now_us);
  [[nodiscard]] Microseconds next_us() const { return due_us_; }

  // True if it was a test of this rollout's.
  [[nodiscard]] bool on_exit(pid_t pid, int wait_status);
  void on_started(const std::string& child, Edition edition, Microseconds now_us);
  void on_ended(const std::string& child, Edition edition, const std::string& how);
  void on_ready();  // serve answers.

  // The node ends: nothing more is replaced.
  void interrupt(const std::string& why);
  // What was proven could not be made use of.
  void fail(const std::string& why);

  [[nodiscard]] Stage stage() const { return stage_; }
  // The first child, serve, was ready as candidate.
  [[nodiscard]] bool serve_held() const { return replaced_ > 0; }
  // Of the present upgrade or the one before.
  [[nodiscard]] const UpgradeNote& note() const { return note_; }
  void set_note(UpgradeNote note) { note_ = std::move(note); }

 private:
  void start_test();
  void judge_test(int wait_status);
  void replace_next();
  void read_output();
  void end_tests();
  void finish(const std::string& outcome, const std::string& why);

  Replace replace_;
  const RolloutLimits limits_;
  Stage stage_ = Stage::idle;
  UpgradeNote note_;
  Microseconds due_us_ = never;
  std::vector<Command> tests_;
  std::size_t test_ = 0;
  pid_t test_pid_ = 0;
  Microseconds tests_end_us_ = 0;
  Descriptor output_;
  std::string said_;
  std::vector<Member> children_;
  std::size_t replaced_ = 0;  // children_[0, replaced_) hold as candidates.
  bool started_ = false;      // The one being replaced runs; when returning: serve does.
};

}  // namespace inlet::main
