// key_watch: the keys as they are now: follows the file while clients are judged by it.
//
// The file is looked at once a second, by its content: names of the same length and clocks that
// stand still change nothing. So a key is revoked within two seconds of the file's change.
//
// Invariants:
//   - a file that is missing, unreadable or wrong never takes away the keys that were good: the
//     last good table stays, `stale` says why. At the start, of a wrong file the lines that are
//     right count; of a missing one, none: everything is refused.
//   - a loop never waits: it marks the table it reads, and a table is freed when it has been
//     replaced and no loop has it marked.
//   - use counts survive reloads, as long as the key is in the file.
//
// Threads: one of its own reads the file. Each loop reads tables under its own index; the rest may
// be called from any thread.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/time.h"
#include "serve/key_table.h"

namespace inlet::serve {

struct KeyWatchOptions {
  std::string path;
  std::size_t loops = 1;             // That read; each has one index below this.
  Microseconds look_us = 1'000'000;  // Between looks at the file.
};

struct KeyWatchStatus {
  std::size_t keys = 0;
  bool stale = false;            // The file is not what is in force.
  std::string reason;            // Why; what it says was logged once.
  Microseconds loaded_us = 0;    // When the table in force was read, on the wall clock; 0: never.
  std::uint64_t generation = 0;  // How many tables there have been.
};

// What is shown of a key; nothing of it is secret.
struct KeyFigures {
  std::string id;
  std::string tenant;
  Microseconds expires_us = never_us;
  std::uint64_t uses = 0;
  Microseconds last_used_us = 0;  // On the wall clock; 0: never since the process began.
};

class KeyWatch {
 public:
  // Called on the watch's thread after another table came into force.
  using Changed = std::function<void(const KeyTable& table)>;

  // Reads the file at once, and begins to watch it. `tenant_index` is called from here and from the
  // watch's thread.
  KeyWatch(FileSystem& files, Clock& clock, KeyWatchOptions options,
           KeyTable::TenantIndex tenant_index, Changed changed = {});
  KeyWatch(const KeyWatch&) = delete;
  KeyWatch& operator=(const KeyWatch&) = delete;
  ~KeyWatch();

  // The table in force, for as long as this lives; so short that nothing else happens meanwhile
  // on that loop. Keep no Key beyond it.
  class Reading {
   public:
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    ~Reading() { mark_.store(nullptr, std::memory_order_release); }

    const KeyTable& operator*() const { return *table_; }
    const KeyTable* operator->() const { return table_; }

   private:
    friend class KeyWatch;
    Reading(std::atomic<const KeyTable*>& mark, const KeyTable* table)
        : mark_(mark), table_(table) {}

    std::atomic<const KeyTable*>& mark_;
    const KeyTable* const table_;
  };
  // On the thread of that loop only; one Reading at a time.
  [[nodiscard]] Reading read(std::size_t loop);

  // Has the file looked at now, not in a second (SIGHUP).
  void reload();

  [[nodiscard]] KeyWatchStatus status() const;
  [[nodiscard]] std::vector<KeyFigures> figures() const;  // In the order of the file.
  [[nodiscard]] std::size_t retired() const;              // Tables replaced, still marked.

 private:
  struct alignas(64) Mark {
    std::atomic<const KeyTable*> table{nullptr};
  };

  void run();
  void judge(Result<std::string> text);
  [[nodiscard]] Result<std::string> read_settled() const;
  [[nodiscard]] Result<std::string> read_file() const;
  void take(KeyTable::Parsed parsed);
  void put_in_force(std::unique_ptr<const KeyTable> table);
  void go_stale(std::string reason);
  void free_unread();

  FileSystem& files_;
  Clock& clock_;
  const KeyWatchOptions options_;
  const KeyTable::TenantIndex tenant_index_;
  const Changed changed_;
  std::vector<Mark> marks_;  // One per loop.
  std::atomic<const KeyTable*> in_force_{nullptr};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  KeyWatchStatus status_;
  KeyUses uses_;
  std::unique_ptr<const KeyTable> table_;                 // What in_force_ points to.
  std::vector<std::unique_ptr<const KeyTable>> retired_;  // At most one per loop after a look.
  bool look_now_ = false;
  bool stopped_ = false;

  // The watch's thread alone.
  std::string seen_;  // The content last judged.
  bool seen_any_ = false;
  std::thread thread_;
};

}  // namespace inlet::serve
