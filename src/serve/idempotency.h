// idempotency: a request sent again under its Idempotency-Key is stored once and answered alike.
//
// The table (idempotency_table.h) is in memory; a log beside the journal (idempotency_log.h) makes
// it survive. The log lags: it is written by a thread of its own, and what it missed is read from
// the journal's records when the node starts; without a log, as many of those as the start has time
// for. So that they are still there, the log's mark is a
// floor under the journal: no segment is used again before the log has passed it.
//
// Invariants:
//   - a keyed record that was answered is known for window_us, through any crash, unless max_keys
//     newer ones have come or the log could not be written.
//   - of requests with one key and body that are under way at once one is `first`, whatever threads
//     they come on.
//   - a log that cannot be written never holds the journal's segments: the floor is let go, and
//     status() and the log say so. The table goes on.
//
// How a door uses it, all on its loop's thread:
//
//   on_head    read_idempotency_key(head): 400, or name()
//   on_body    begin(): first       append to the journal
//                       duplicate   200 with request.sequence, Inlet-Duplicate: true
//                       other_body  422
//                       joined      wait: the hand-back function brings the request to its loop:
//                                   request.stored, as duplicate; else 503, nothing was stored
//   append refused, or its ticket came back: settled(), before the answer
//
// Threads: any for begin() and settled(); one opens, starts and stops.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/memory.h"
#include "base/time.h"
#include "journal/journal.h"
#include "serve/idempotency_key.h"
#include "serve/idempotency_log.h"
#include "serve/idempotency_table.h"

namespace inlet::serve {

struct IdempotencyOptions {
  std::string journal_directory;
  std::uint64_t max_keys = 1'000'000;
  Microseconds window_us = Microseconds{24} * 3600 * 1'000'000;
};

struct IdempotencyStatus {
  TableStatus table;
  bool log_failing = false;             // What is remembered now would not survive a restart.
  std::uint64_t log_failures = 0;       // Writes of the log that failed.
  std::uint64_t log_bytes = 0;          // Of the file.
  std::uint64_t complete_to = 0;        // Keys of records before this sequence are in the log.
  std::uint64_t stretches_damaged = 0;  // Of the log, when it was opened.
  std::uint64_t entries_loaded = 0;     // At the start, from the log,
  std::uint64_t records_scanned = 0;    // and from the journal.
};

class Idempotency {
 public:
  // Takes requests that had joined another, of one loop each, to their loop. Called by settled().
  using HandBack = std::function<void(unsigned loop, KeyedRequest* list)>;

  // After the journal was opened with StoreOptions::floor = 1, before its first append: loads the
  // log, reads what it missed, sets the floor. Never refuses to start.
  [[nodiscard]] static std::unique_ptr<Idempotency> open(FileSystem& files, Clock& clock,
                                                         MemoryBudget& memory,
                                                         journal::Journal& journal,
                                                         IdempotencyOptions options,
                                                         HandBack hand_back);
  ~Idempotency();

  // Says which key a request has, and that begin() comes soon: before its body has come.
  void name(KeyedRequest& request, std::string_view tenant, std::string_view stream,
            const IdempotencyKey& key) const;
  // A request that was named, with `loop` set.
  [[nodiscard]] Claim begin(KeyedRequest& request, std::string_view content_encoding, Bytes body,
                            Microseconds received_us);
  // Says that settled() comes soon: for each of many, before the first of them.
  void settled_soon(const KeyedRequest& request) const { table_.expect(request.key); }
  // Exactly once for each `first`: the sequence it was committed as, or nothing if it was not.
  void settled(KeyedRequest& request, std::optional<std::uint64_t> sequence);

  void start();  // The log's thread.
  void stop();   // Writes what is settled. After the last settled().

  [[nodiscard]] IdempotencyStatus status() const;

  // Without start(), for tests: what the thread does when it wakes.
  void keep_log();

 private:
  Idempotency(FileSystem& files, Clock& clock, MemoryBudget& memory, journal::Journal& journal,
              IdempotencyOptions options, HandBack hand_back);

  void load();
  void scan(std::uint64_t from);
  [[nodiscard]] std::uint64_t scan_limit() const;
  void remember(const journal::Record& record);
  [[nodiscard]] bool log_due() const;
  void write_log();
  void log_failed(const Error& error);
  void run();

  FileSystem& files_;
  Clock& clock_;
  journal::Journal& journal_;
  const IdempotencyOptions options_;
  const HandBack hand_back_;
  IdempotencyTable table_;
  IdempotencyLog log_;
  IdempotencySecret secret_{};
  std::optional<BodyHasher> hasher_;  // Made when the secret is known.

  // The log's thread's, but for reading the atomics.
  Microseconds written_us_ = 0;       // Steady; of the last write of the log.
  std::uint64_t journal_bytes_ = 0;   // Written to the journal by then.
  std::uint64_t settled_before_ = 0;  // Entries settled by then.
  Microseconds failed_us_ = 0;
  std::atomic<bool> failing_{false};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint64_t> log_bytes_{0};
  std::atomic<std::uint64_t> complete_to_{0};
  std::uint64_t stretches_damaged_ = 0;
  std::uint64_t entries_loaded_ = 0;
  std::uint64_t records_scanned_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace inlet::serve
