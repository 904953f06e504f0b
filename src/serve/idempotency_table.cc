#include "serve/idempotency_table.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace inlet::serve {
namespace {

constexpr std::size_t shards_max = 4096;
// Enough shards for loops to seldom meet, and for growing an index, which stops one of them, to
// take a fraction of a millisecond; few enough that what each request touches stays in a cache.
constexpr std::uint64_t keys_per_shard_min = 16'000;
constexpr std::uint64_t chunk_entries = 256;
constexpr std::size_t chunk_bytes = chunk_entries * idempotency_entry_bytes;
constexpr std::uint64_t index_slots_min = 64;
constexpr std::size_t buckets_count = 64;  // Per shard, for requests under way.
constexpr int expired_per_insert = 2;      // More than one: the backlog of expired ones shrinks.
constexpr Microseconds us_per_ms = 1000;
constexpr int u48_bits = 48;
constexpr std::uint64_t u48_mask = (std::uint64_t{1} << u48_bits) - 1;

// A slot of the index: the first bits of the key, then the place plus one. So a search looks at an
// entry, which no cache holds, only if it is the right one or, one in eight at most, by chance; and
// where a slot belongs is known without its entry.
constexpr unsigned place_bits = 15;
constexpr unsigned tag_bits = 32 - place_bits;
constexpr std::uint32_t place_mask = (std::uint32_t{1} << place_bits) - 1;

constexpr std::uint32_t tag_of(const Hash128& key) {
  return static_cast<std::uint32_t>(key.low >> (64 - tag_bits));
}
// Where a search for the tag begins.
constexpr std::uint64_t home_in(std::uint64_t slots, std::uint32_t tag) {
  return tag * slots >> tag_bits;
}
constexpr std::uint32_t slot_value(std::uint32_t tag, std::uint64_t place) {
  return tag << place_bits | static_cast<std::uint32_t>(place + 1);
}

// Three quarters full at most: then a search looks at few slots.
constexpr std::uint64_t slots_for(std::uint64_t keys) { return keys + keys / 3 + 1; }

constexpr std::size_t shards_for(std::uint64_t keys_max) {
  return std::clamp<std::size_t>(std::bit_floor(keys_max / keys_per_shard_min), 1, shards_max);
}

// As decode_entry() will say.
constexpr Microseconds kept_time(Microseconds received_us) {
  const Microseconds ms = std::max<Microseconds>(received_us, 0) / us_per_ms;
  return (ms & static_cast<Microseconds>(u48_mask)) * us_per_ms;
}

constexpr std::uint64_t keys_each(std::uint64_t keys_max) {
  return (keys_max + shards_for(keys_max) - 1) / shards_for(keys_max);
}

// Two more than are full: one that is being filled, one that is being emptied.
constexpr std::uint64_t chunks_for(std::uint64_t keys) { return keys / chunk_entries + 2; }

// The most keys a shard has: with all that may be asked for, or one short of another shard.
static_assert(chunks_for(keys_each(idempotency_keys_max)) * chunk_entries <= place_mask);
static_assert(chunks_for(2 * keys_per_shard_min) * chunk_entries <= place_mask);

}  // namespace

void encode_entry(const IdempotencyEntry& entry, std::byte* out) {
  CHECK(entry.sequence <= u48_mask);
  const auto ms = static_cast<std::uint64_t>(kept_time(entry.received_us) / us_per_ms);
  store(out, entry.key.low);
  store(out + 8, entry.key.high);
  store(out + 16, entry.body.low);
  store(out + 24, entry.body.high);
  store(out + 32, static_cast<std::uint32_t>(entry.sequence));
  store(out + 36, static_cast<std::uint16_t>(entry.sequence >> 32));
  store(out + 38, static_cast<std::uint32_t>(ms));
  store(out + 42, static_cast<std::uint16_t>(ms >> 32));
}

IdempotencyEntry decode_entry(const std::byte* in) {
  const auto u48 = [](const std::byte* at) {
    return std::uint64_t{load<std::uint32_t>(at)} | std::uint64_t{load<std::uint16_t>(at + 4)}
                                                        << 32;
  };
  return {.key = {load<std::uint64_t>(in), load<std::uint64_t>(in + 8)},
          .body = {load<std::uint64_t>(in + 16), load<std::uint64_t>(in + 24)},
          .sequence = u48(in + 32),
          .received_us = static_cast<Microseconds>(u48(in + 38)) * us_per_ms};
}

// Where a shard's index is, for expect(), which takes no lock: now, or before a growth. Those of
// all shards stand together, so that they are in a cache when the shards are not.
struct IdempotencyTable::IndexHint {
  std::atomic<const std::uint32_t*> index{nullptr};
  std::atomic<std::uint64_t> slots{0};
};

// Entries have positions, counted up for ever: [tail_, head_) are held. The chunk of a position is
// found through order_, a ring of chunk numbers; `place` is chunk * chunk_entries + offset, what
// the index holds.
class alignas(64) IdempotencyTable::Shard {
 public:
  void prepare(MemoryBudget& memory, IndexHint& hint, std::uint64_t keys_max,
               Microseconds window_us) {
    memory_ = &memory;
    hint_ = &hint;
    keys_max_ = keys_max;
    window_us_ = window_us;
  }
  ~Shard() {
    if (memory_ != nullptr) memory_->release(memory_bytes_);
  }

  // Without the mutex: reads nothing.
  void fetch(const Hash128& key) const {
    __builtin_prefetch(&mutex);
    __builtin_prefetch(&keys_max_);
    __builtin_prefetch(&under_way_);
    __builtin_prefetch(static_cast<const void*>(&buckets_[key.low % buckets_count]));
  }

  // All of these under the mutex.
  std::mutex mutex;

  Claim begin(KeyedRequest& request, std::uint64_t next_sequence);
  KeyedRequest* settle(KeyedRequest& request, std::optional<std::uint64_t> sequence);
  bool restore(const IdempotencyEntry& entry, Microseconds now_us);
  bool in_window(Microseconds received_us, Microseconds now_us) const {
    return received_us > now_us - window_us_;
  }
  void add_to(TableStatus& status, Microseconds now_us) const;

  // For the log.
  std::uint64_t oldest_under_way() const {
    return oldest_ == nullptr ? UINT64_MAX : oldest_->sequence_min;
  }
  void log_again() { logged_ = tail_; }
  void all_logged() { logged_ = head_; }
  std::uint64_t head() const { return head_; }
  bool take(std::uint64_t until, MutableBytes& out);

  Counter settled_count;  // Written under the mutex, read by any.

 private:
  static constexpr std::uint32_t none = 0;

  std::byte* at_place(std::uint64_t place) const {
    return chunks_[place / chunk_entries].get() + place % chunk_entries * idempotency_entry_bytes;
  }
  std::uint64_t place_of(std::uint64_t position) const {
    return order_[position / chunk_entries % order_.size()] * chunk_entries +
           position % chunk_entries;
  }
  std::uint64_t home_of(std::uint32_t tag) const { return home_in(slots_, tag); }
  std::uint64_t place_in(std::uint64_t slot) const { return (index_[slot] & place_mask) - 1; }
  std::uint64_t after(std::uint64_t slot) const { return slot + 1 == slots_ ? 0 : slot + 1; }
  bool holds(std::uint64_t slot, const Hash128& key) const {
    if (index_[slot] >> place_bits != tag_of(key)) return false;
    const std::byte* const at = at_place(place_in(slot));
    return load<std::uint64_t>(at) == key.low && load<std::uint64_t>(at + 8) == key.high;
  }

  std::optional<std::uint64_t> find(const Hash128& key) const;  // Its slot.
  std::optional<std::uint64_t> find_value(std::uint32_t value) const;
  void erase_slot(std::uint64_t slot);
  void enter(const Hash128& key, std::uint64_t place);
  void put(const IdempotencyEntry& entry, Microseconds now_us);
  bool grow_index();
  bool grow_chunks();
  bool make_room(Microseconds now_us);
  void drop_oldest(Microseconds now_us);
  KeyedRequest*& bucket_of(const Hash128& key) { return buckets_[key.low % buckets_count]; }
  void enlist(KeyedRequest& request);
  void strike_off(KeyedRequest& request);

  // What every request touches stands together: shards are many, and caches small.
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t keys_max_ = 0;
  Microseconds window_us_ = 0;
  Microseconds tail_received_us_ = 0;  // Of the entry at tail_, if there is one.
  std::uint64_t head_chunk_ = 0;       // The number of the chunk of head_, but at its end,
  std::byte* head_bytes_ = nullptr;    // and its bytes.
  std::unique_ptr<std::uint32_t[]> index_;
  std::uint64_t slots_ = 0;
  std::uint64_t slots_used_ = 0;
  KeyedRequest* oldest_ = nullptr;
  KeyedRequest* newest_ = nullptr;
  std::uint64_t under_way_ = 0;
  std::array<KeyedRequest*, buckets_count> buckets_{};

  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::vector<std::uint32_t> free_chunks_;
  std::vector<std::uint32_t> order_;
  std::uint64_t logged_ = 0;
  MemoryBudget* memory_ = nullptr;
  IndexHint* hint_ = nullptr;
  std::size_t memory_bytes_ = 0;
  std::uint64_t evicted_ = 0;
  std::uint64_t duplicates_ = 0;
  std::uint64_t other_bodies_ = 0;
};

// --- Requests.

Claim IdempotencyTable::Shard::begin(KeyedRequest& request, std::uint64_t next_sequence) {
  for (KeyedRequest* other = bucket_of(request.key); other != nullptr; other = other->same_bucket) {
    if (other->key != request.key) continue;
    if (other->body != request.body) {
      other_bodies_++;
      return Claim::other_body;
    }
    request.next = nullptr;
    (other->joined_last == nullptr ? other->joined_first : other->joined_last->next) = &request;
    other->joined_last = &request;
    return Claim::joined;
  }
  if (const auto slot = find(request.key)) {
    const IdempotencyEntry entry = decode_entry(at_place(place_in(*slot)));
    if (in_window(entry.received_us, request.received_us)) {
      const bool same = entry.body == request.body;
      (same ? duplicates_ : other_bodies_)++;
      request.sequence = entry.sequence;
      return same ? Claim::duplicate : Claim::other_body;
    }
  }
  request.sequence_min = next_sequence;
  enlist(request);
  return Claim::first;
}

KeyedRequest* IdempotencyTable::Shard::settle(KeyedRequest& request,
                                              std::optional<std::uint64_t> sequence) {
  strike_off(request);
  for (KeyedRequest* joined = request.joined_first; joined != nullptr; joined = joined->next) {
    joined->stored = sequence.has_value();
    joined->sequence = sequence.value_or(0);
    if (sequence) duplicates_++;
  }
  if (sequence) {
    put({request.key, request.body, *sequence, request.received_us}, request.received_us);
  }
  return request.joined_first;
}

void IdempotencyTable::Shard::enlist(KeyedRequest& request) {
  request.joined_first = request.joined_last = nullptr;
  request.same_bucket = bucket_of(request.key);
  bucket_of(request.key) = &request;
  request.newer = nullptr;
  request.older = newest_;
  (newest_ == nullptr ? oldest_ : newest_->newer) = &request;
  newest_ = &request;
  under_way_++;
}

void IdempotencyTable::Shard::strike_off(KeyedRequest& request) {
  KeyedRequest** at = &bucket_of(request.key);
  while (*at != &request) {
    CHECK(*at != nullptr);
    at = &(*at)->same_bucket;
  }
  *at = request.same_bucket;
  (request.older == nullptr ? oldest_ : request.older->newer) = request.newer;
  (request.newer == nullptr ? newest_ : request.newer->older) = request.older;
  under_way_--;
}

// --- Entries.

bool IdempotencyTable::Shard::restore(const IdempotencyEntry& entry, Microseconds now_us) {
  if (!in_window(entry.received_us, now_us)) return false;
  if (const auto known = find(entry.key)) {
    if (decode_entry(at_place(place_in(*known))).sequence >= entry.sequence) return false;
  }
  put(entry, now_us);
  return true;
}

// What is held of the key, if anything, is of a record before.
void IdempotencyTable::Shard::put(const IdempotencyEntry& entry, Microseconds now_us) {
  for (int i = 0; i < expired_per_insert && tail_ < head_; i++) {
    if (in_window(tail_received_us_, now_us)) break;
    drop_oldest(now_us);
  }
  settled_count.add();
  if (!make_room(now_us)) {
    evicted_++;
    return;
  }
  if (tail_ == head_) tail_received_us_ = kept_time(entry.received_us);
  const std::uint64_t offset = head_++ % chunk_entries;
  encode_entry(entry, head_bytes_ + offset * idempotency_entry_bytes);
  enter(entry.key, head_chunk_ * chunk_entries + offset);
}

// For one more: a place at head_ and a slot of the index. False: there is no memory at all.
bool IdempotencyTable::Shard::make_room(Microseconds now_us) {
  if (head_ - tail_ == keys_max_) drop_oldest(now_us);
  while (slots_for(slots_used_ + 1) > slots_ && !grow_index()) {
    if (tail_ == head_) return false;
    drop_oldest(now_us);
  }
  if (head_ % chunk_entries != 0) return true;
  while (free_chunks_.empty() && !grow_chunks()) {
    if (tail_ == head_) return false;
    drop_oldest(now_us);
  }
  head_chunk_ = free_chunks_.back();
  head_bytes_ = chunks_[head_chunk_].get();
  order_[head_ / chunk_entries % order_.size()] = free_chunks_.back();
  free_chunks_.pop_back();
  return true;
}

void IdempotencyTable::Shard::drop_oldest(Microseconds now_us) {
  const std::uint64_t place = place_of(tail_);
  const IdempotencyEntry entry = decode_entry(at_place(place));
  // Not in the index: a later record of the key has taken its place.
  if (const auto slot = find_value(slot_value(tag_of(entry.key), place))) {
    if (in_window(entry.received_us, now_us)) evicted_++;
    erase_slot(*slot);
  }
  tail_++;
  logged_ = std::max(logged_, tail_);
  if (tail_ % chunk_entries == 0) {
    free_chunks_.push_back(order_[(tail_ - 1) / chunk_entries % order_.size()]);
  }
  if (tail_ < head_) tail_received_us_ = decode_entry(at_place(place_of(tail_))).received_us;
}

bool IdempotencyTable::Shard::grow_chunks() {
  const std::uint64_t chunks_max = chunks_for(keys_max_);
  if (chunks_.size() == chunks_max || !memory_->try_reserve(chunk_bytes, MemoryUse::commit)) {
    return false;
  }
  memory_bytes_ += chunk_bytes;
  if (order_.empty()) {
    order_.resize(chunks_max);
    chunks_.reserve(chunks_max);
    free_chunks_.reserve(chunks_max);
  }
  free_chunks_.push_back(static_cast<std::uint32_t>(chunks_.size()));
  chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(chunk_bytes));
  return true;
}

// --- The index: open addressing, linear probing.

std::optional<std::uint64_t> IdempotencyTable::Shard::find(const Hash128& key) const {
  if (slots_ == 0) return std::nullopt;
  for (std::uint64_t slot = home_of(tag_of(key)); index_[slot] != none; slot = after(slot)) {
    if (holds(slot, key)) return slot;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> IdempotencyTable::Shard::find_value(std::uint32_t value) const {
  const std::uint64_t home = home_of(value >> place_bits);
  for (std::uint64_t slot = home; index_[slot] != none; slot = after(slot)) {
    if (index_[slot] == value) return slot;
  }
  return std::nullopt;
}

void IdempotencyTable::Shard::enter(const Hash128& key, std::uint64_t place) {
  std::uint64_t slot = home_of(tag_of(key));
  while (index_[slot] != none && !holds(slot, key)) slot = after(slot);
  if (index_[slot] == none) slots_used_++;
  index_[slot] = slot_value(tag_of(key), place);
}

// Moves up those behind it that would no longer be found.
void IdempotencyTable::Shard::erase_slot(std::uint64_t slot) {
  const auto distance = [this](std::uint64_t from, std::uint64_t to) {
    return to >= from ? to - from : to + slots_ - from;
  };
  for (std::uint64_t next = after(slot); index_[next] != none; next = after(next)) {
    const std::uint64_t home = home_of(index_[next] >> place_bits);
    if (distance(home, next) < distance(slot, next)) continue;
    index_[slot] = index_[next];
    slot = next;
  }
  index_[slot] = none;
  slots_used_--;
}

bool IdempotencyTable::Shard::grow_index() {
  const std::uint64_t slots_max = slots_for(keys_max_ + 1);
  const std::uint64_t slots_new = std::min(std::max(slots_ * 2, index_slots_min), slots_max);
  if (slots_new <= slots_ ||
      !memory_->try_reserve(slots_new * sizeof(std::uint32_t), MemoryUse::commit)) {
    return false;
  }
  const auto old = std::exchange(index_, std::make_unique<std::uint32_t[]>(slots_new));
  const std::uint64_t slots_old = std::exchange(slots_, slots_new);
  for (std::uint64_t i = 0; i < slots_old; i++) {
    if (old[i] == none) continue;
    std::uint64_t slot = home_of(old[i] >> place_bits);
    while (index_[slot] != none) slot = after(slot);
    index_[slot] = old[i];
  }
  hint_->index.store(index_.get(), std::memory_order_relaxed);
  hint_->slots.store(slots_, std::memory_order_relaxed);
  memory_bytes_ += (slots_new - slots_old) * sizeof(std::uint32_t);
  memory_->release(slots_old * sizeof(std::uint32_t));
  return true;
}

// --- For others.

// Copies what was not given yet, up to `until`, and moves `out` on. True: all of it.
bool IdempotencyTable::Shard::take(std::uint64_t until, MutableBytes& out) {
  while (logged_ < until) {
    const std::uint64_t run = std::min({until - logged_, chunk_entries - logged_ % chunk_entries,
                                        std::uint64_t{out.size() / idempotency_entry_bytes}});
    if (run == 0) return false;
    const std::size_t bytes = run * idempotency_entry_bytes;
    std::memcpy(out.data(), at_place(place_of(logged_)), bytes);
    out = out.subspan(bytes);
    logged_ += run;
  }
  return true;
}

void IdempotencyTable::Shard::add_to(TableStatus& status, Microseconds now_us) const {
  status.keys += slots_used_;
  status.memory_bytes += memory_bytes_;
  status.evicted += evicted_;
  status.duplicates += duplicates_;
  status.other_bodies += other_bodies_;
  status.under_way += under_way_;
  if (evicted_ == 0 || tail_ == head_) return;
  status.window_us =
      std::min(status.window_us, std::max<Microseconds>(now_us - tail_received_us_, 0));
}

IdempotencyTable::IdempotencyTable(MemoryBudget& memory, std::uint64_t keys_max,
                                   Microseconds window_us)
    : window_us_(window_us),
      keys_max_(keys_max),
      shards_count_(shards_for(keys_max)),
      hints_(std::make_unique<IndexHint[]>(shards_count_)),
      shards_(std::make_unique<Shard[]>(shards_count_)) {
  CHECK(keys_max > 0 && keys_max <= idempotency_keys_max && window_us > 0);
  for (std::size_t i = 0; i < shards_count_; i++) {
    shards_[i].prepare(memory, hints_[i], keys_each(keys_max), window_us);
  }
}

IdempotencyTable::~IdempotencyTable() = default;

IdempotencyTable::Shard& IdempotencyTable::shard_of(const Hash128& key) const {
  return shards_[shard_index(key)];
}

// A hint of before a growth fetches in vain; nothing is read there.
void IdempotencyTable::expect(const Hash128& key) const {
  const std::size_t shard = shard_index(key);
  const IndexHint& hint = hints_[shard];
  const std::uint64_t home = home_in(hint.slots.load(std::memory_order_relaxed), tag_of(key));
  __builtin_prefetch(hint.index.load(std::memory_order_relaxed) + home);
  shards_[shard].fetch(key);
}

Claim IdempotencyTable::begin(KeyedRequest& request, std::uint64_t next_sequence) {
  Shard& shard = shard_of(request.key);
  const std::lock_guard lock(shard.mutex);
  return shard.begin(request, next_sequence);
}

KeyedRequest* IdempotencyTable::settled(KeyedRequest& request,
                                        std::optional<std::uint64_t> sequence) {
  Shard& shard = shard_of(request.key);
  const std::lock_guard lock(shard.mutex);
  return shard.settle(request, sequence);
}

bool IdempotencyTable::restore(const IdempotencyEntry& entry, Microseconds now_us) {
  Shard& shard = shard_of(entry.key);
  const std::lock_guard lock(shard.mutex);
  return shard.restore(entry, now_us);
}

void IdempotencyTable::all_logged() {
  for (std::size_t i = 0; i < shards_count_; i++) {
    const std::lock_guard lock(shards_[i].mutex);
    shards_[i].all_logged();
  }
}

std::uint64_t IdempotencyTable::settled_total() const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < shards_count_; i++) total += shards_[i].settled_count.get();
  return total;
}

TableStatus IdempotencyTable::status(Microseconds now_us) const {
  TableStatus status{.keys_max = keys_max_, .window_us = window_us_};
  for (std::size_t i = 0; i < shards_count_; i++) {
    const std::lock_guard lock(shards_[i].mutex);
    shards_[i].add_to(status, now_us);
  }
  return status;
}

std::size_t IdempotencyTable::Collection::take(MutableBytes out) {
  MutableBytes rest = out;
  while (shard_ < table_.shards_count_) {
    Shard& shard = table_.shards_[shard_];
    const std::lock_guard lock(shard.mutex);
    if (!entered_) {
      complete_to_ = std::min(complete_to_, shard.oldest_under_way());
      if (from_ == From::oldest) shard.log_again();
      until_ = shard.head();
      entered_ = true;
    }
    if (!shard.take(until_, rest)) break;
    entered_ = false;
    shard_++;
  }
  return (out.size() - rest.size()) / idempotency_entry_bytes;
}

}  // namespace inlet::serve
