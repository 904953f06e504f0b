// idempotency_table: the keys seen lately, what became of their requests, and those under way.
//
// Sharded by key, a small mutex each, because loops are several threads. A shard keeps its settled
// keys in the order they were settled, in chunks that are taken as needed and used again, and finds
// them by an open-addressed index of 4-byte slots. When it is full, or a key is older than the
// window, the oldest goes. 44 bytes an entry, about 50 with the index; all of it is reserved from
// the MemoryBudget, and where that gives no more the oldest goes, too.
//
// Requests under way are the callers' own objects, linked in: no memory of ours, and no bound
// needed beyond that on connections.
//
// For the log: collect() gives entries in order, each once, and a sequence below which none is
// missing. That holds because a request under way carries the next sequence of the journal as it
// began (its own cannot be less), and the oldest of a shard holds the mark back.
//
// Threads: any for expect(), begin(), settled() and status(); collect() and restore() one at a
// time.

#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/counter.h"
#include "base/memory.h"
#include "base/time.h"
#include "serve/idempotency_key.h"

namespace inlet::serve {

// How a request with a key stands to those before it.
enum class Claim : std::uint8_t {
  first,       // Nobody had this key: store it, then say settled().
  duplicate,   // Stored before, as `sequence`.
  other_body,  // The key belongs to another body.
  joined,      // An equal request is under way: this one comes back when that is settled.
};

// One request with a key. The caller keeps it, unmoved, from begin() until it is settled or handed
// back; a `duplicate` or `other_body` is not kept.
struct KeyedRequest {
  KeyedRequest* next = nullptr;  // In a list that is handed back.
  unsigned loop = 0;             // Where it is handed back to; set by the caller.
  bool stored = false;           // The outcome of one that had joined.
  std::uint64_t sequence = 0;    // Of the record that was stored: duplicate, or joined and stored.

  // The table's.
  Hash128 key;
  Hash128 body;
  Microseconds received_us = 0;
  std::uint64_t sequence_min = 0;       // Its record cannot be before this one.
  KeyedRequest* same_bucket = nullptr;  // Those under way.
  KeyedRequest* older = nullptr;
  KeyedRequest* newer = nullptr;
  KeyedRequest* joined_first = nullptr;
  KeyedRequest* joined_last = nullptr;
};

// A settled key, as it stands in memory and in the log.
struct IdempotencyEntry {
  Hash128 key;
  Hash128 body;
  std::uint64_t sequence;
  Microseconds received_us;  // Kept in milliseconds.

  bool operator==(const IdempotencyEntry&) const = default;
};

inline constexpr std::size_t idempotency_entry_bytes = 44;
inline constexpr std::uint64_t idempotency_keys_max = 100'000'000;  // That may be asked for: 5 GB.

// Bytes of an entry: 0 key, 16 body, 32 u48 sequence, 38 u48 received, ms.
void encode_entry(const IdempotencyEntry& entry, std::byte* out);
[[nodiscard]] IdempotencyEntry decode_entry(const std::byte* in);

struct TableStatus {
  std::uint64_t keys = 0;
  std::uint64_t keys_max = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t evicted = 0;       // Younger than the window, for want of room.
  Microseconds window_us = 0;      // What is really remembered: less than asked for if evicting.
  std::uint64_t duplicates = 0;    // Requests found to be so, since the start, those that
  std::uint64_t other_bodies = 0;  // joined included.
  std::uint64_t under_way = 0;
};

class IdempotencyTable {
 public:
  // `memory` outlives it. At least one key.
  IdempotencyTable(MemoryBudget& memory, std::uint64_t keys_max, Microseconds window_us);
  IdempotencyTable(const IdempotencyTable&) = delete;
  IdempotencyTable& operator=(const IdempotencyTable&) = delete;
  ~IdempotencyTable();

  // Has what begin() and settled() will look at fetched into the cache, meanwhile.
  void expect(const Hash128& key) const;
  // `request` has its key, body, time and loop. `next_sequence`: of the journal, at this moment or
  // earlier.
  [[nodiscard]] Claim begin(KeyedRequest& request, std::uint64_t next_sequence);
  // Of a `first`: the sequence it was stored as, or nothing. Returns those that had joined it, as a
  // list, with their outcome.
  [[nodiscard]] KeyedRequest* settled(KeyedRequest& request, std::optional<std::uint64_t> sequence);

  // Puts in what was settled in an earlier life. A later record of the same key replaces one
  // before. False: out of the window at `now_us`, or known.
  bool restore(const IdempotencyEntry& entry, Microseconds now_us);

  // What is held came from the log: it need not be given to it again.
  void all_logged();

  // How many entries were put in so far.
  [[nodiscard]] std::uint64_t settled_total() const;
  [[nodiscard]] TableStatus status(Microseconds now_us) const;

  // One round of giving entries to the log.
  class Collection {
   public:
    enum class From : bool { last_round, oldest };
    // `next_sequence`: of the journal, read before.
    Collection(IdempotencyTable& table, std::uint64_t next_sequence, From from)
        : table_(table), complete_to_(next_sequence), from_(from) {}

    // Copies entries, encoded, as many as fit; returns their number.
    [[nodiscard]] std::size_t take(MutableBytes out);
    [[nodiscard]] bool done() const { return shard_ == table_.shards_count_; }
    // When done: of keyed records before this sequence none is missing from what all rounds gave.
    [[nodiscard]] std::uint64_t complete_to() const { return complete_to_; }

   private:
    IdempotencyTable& table_;
    std::uint64_t complete_to_;
    const From from_;
    std::size_t shard_ = 0;
    bool entered_ = false;     // The shard was looked at,
    std::uint64_t until_ = 0;  // and had so many entries then.
  };

 private:
  struct IndexHint;
  class Shard;
  [[nodiscard]] std::size_t shard_index(const Hash128& key) const {
    return key.high & (shards_count_ - 1);
  }
  [[nodiscard]] Shard& shard_of(const Hash128& key) const;

  const Microseconds window_us_;
  const std::uint64_t keys_max_;
  const std::size_t shards_count_;  // A power of two.
  std::unique_ptr<IndexHint[]> hints_;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace inlet::serve
