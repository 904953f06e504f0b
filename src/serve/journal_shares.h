// journal_shares: how much of the journal is whose, until it is delivered, and how full it is.
//
// A stored record adds its bytes to its tenant at once (Visit::stored). Ten times a second a thread
// of its own notes what was added since, with the sequence the journal has reached: a stretch. When
// every sink is durably past the end of a stretch, its bytes are taken off their tenants again. So
// a request pays for none of this but two atomic additions.
//
// What was in the journal at the start is counted by reading it, in the background and at a bounded
// pace; until then it is nobody's.
//
// Invariants:
//   - bytes are taken off a tenant only when they are delivered, and exactly those that were added.
//   - memory is bounded: neighbouring stretches are merged (and then given back later, never
//     earlier).
//   - a journal that cannot be read keeps nobody out and nothing from starting.
//
// Threads: facts() and level() any; the rest its owner's or its own thread's.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/memory.h"
#include "base/time.h"
#include "journal/journal.h"
#include "journal/reader.h"
#include "serve/tenants.h"

namespace inlet::serve {

// What a record takes up in the journal; the padding of its commit is nobody's.
[[nodiscard]] std::uint64_t journal_bytes(const journal::Metadata& metadata,
                                          std::uint64_t body_bytes);

enum class JournalLevel : std::uint8_t {
  calm,
  filling,  // A warning.
  pressed,  // Tenants over their share are refused.
};

// Where the journal is now, given where it was: down again only a little below the mark. Pure.
[[nodiscard]] JournalLevel next_level(JournalLevel level, double ratio);

inline constexpr double journal_filling_ratio = 0.70;
inline constexpr double journal_pressed_ratio = 0.85;
inline constexpr double journal_level_slack = 0.02;

// Undelivered bytes by tenant, in stretches of the journal one behind the other.
class Stretches {
 public:
  struct Part {
    std::uint32_t tenant;
    std::uint64_t bytes;
  };
  Stretches(std::size_t stretches_max, std::size_t parts_max)
      : stretches_max_(stretches_max), parts_max_(parts_max) {}

  // All of it lies below `end_sequence`, which never goes back. One part per tenant at most.
  void add(std::uint64_t end_sequence, std::vector<Part> parts);
  // Removes the stretches that end at or below `sequence` and hands out their parts.
  void deliver(std::uint64_t sequence, const std::function<void(const Part&)>& each);

  [[nodiscard]] std::size_t size() const { return stretches_.size(); }
  [[nodiscard]] std::size_t parts() const { return parts_; }

 private:
  struct Stretch {
    std::uint64_t end_sequence;
    std::vector<Part> parts;  // By tenant.
  };
  void merge_neighbours();

  const std::size_t stretches_max_;
  const std::size_t parts_max_;
  std::deque<Stretch> stretches_;
  std::size_t parts_ = 0;
};

struct JournalSharesOptions {
  std::string directory;  // The journal's.
  Microseconds turn_us = 100'000;
  std::uint64_t scan_bytes_per_turn = 6U << 20;  // Of the backlog found at the start.
};

class JournalShares {
 public:
  // After the journal is open and before the first record is taken: what is in it now is backlog.
  JournalShares(Tenants& tenants, const journal::Journal& journal, FileSystem& files, Clock& clock,
                JournalSharesOptions options);
  JournalShares(const JournalShares&) = delete;
  JournalShares& operator=(const JournalShares&) = delete;
  ~JournalShares();

  void start();
  void stop();

  // What a judgement needs to know of the node. A few loads.
  [[nodiscard]] NodeFacts facts(const MemoryBudget& memory) const;
  [[nodiscard]] JournalLevel level() const { return level_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool scanning() const { return scanning_.load(std::memory_order_relaxed); }

  // What the thread does each time. Without start() tests call them.
  void turn();
  void scan();

 private:
  void run();
  [[nodiscard]] std::vector<Stretches::Part> collect();
  void deliver(std::uint64_t sequence);
  void publish(const journal::Fullness& fullness);
  void tell(JournalLevel level, double ratio) const;
  enum class ScanState : std::uint8_t { more, done, stuck };
  [[nodiscard]] ScanState scan_some();

  Tenants& tenants_;
  const journal::Journal& journal_;
  Clock& clock_;
  const JournalSharesOptions options_;

  // The thread's.
  Stretches backlog_;  // All of it lies before
  Stretches fresh_;    // this.
  std::uint64_t attributed_bytes_ = 0;
  std::uint64_t delivered_sequence_ = 1;
  std::unique_ptr<journal::Reader> reader_;  // While scanning.
  std::uint64_t scan_end_ = 1;
  int scan_idle_turns_ = 0;
  bool backlog_known_ = false;
  Microseconds tenants_turned_us_ = 0;

  std::atomic<JournalLevel> level_{JournalLevel::calm};
  std::atomic<bool> scanning_{false};
  std::atomic<std::uint64_t> journal_bytes_{0};
  std::atomic<std::uint64_t> journal_used_{0};
  std::atomic<std::uint64_t> journal_relief_{0};
  std::atomic<std::uint64_t> drain_bytes_per_s_{0};

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace inlet::serve
