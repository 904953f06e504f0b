#include "serve/idempotency_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace inlet::serve {
namespace {

constexpr std::size_t shards_max = 4096;
// Enough for loops to seldom meet; few enough that growing an index, which stops one of them, takes
// a fraction of a millisecond.
constexpr std::uint64_t keys_per_shard_min = 8192;
constexpr std::uint64_t chunk_entries = 256;
constexpr std::size_t chunk_bytes = chunk_entries * idempotency_entry_bytes;
constexpr std::uint64_t index_slots_min = 64;
constexpr std::size_t buckets_count = 64;  // Per shard, for requests under way.
constexpr int expired_per_insert = 2;      // More than one: the backlog of expired ones shrinks.
constexpr Microseconds us_per_ms = 1000;
constexpr int u48_bits = 48;
constexpr std::uint64_t u48_mask = (std::uint64_t{1} << u48_bits) - 1;

// Three quarters full at most: then a search looks at few slots.
constexpr std::uint64_t slots_for(std::uint64_t keys) { return keys + keys / 3 + 1; }

std::size_t shards_for(std::uint64_t keys_max) {
  return std::clamp<std::size_t>(std::bit_floor(keys_max / keys_per_shard_min), 1, shards_max);
}

}  // namespace

void encode_entry(const IdempotencyEntry& entry, std::byte* out) {
  CHECK(entry.sequence <= u48_mask);
  const auto ms = static_cast<std::uint64_t>(std::max<Microseconds>(entry.received_us, 0)) /
                      static_cast<std::uint64_t>(us_per_ms) &
                  u48_mask;
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

// Entries have positions, counted up for ever: [tail_, head_) are held. The chunk of a position is
// found through order_, a ring of chunk numbers; `place` is chunk * chunk_entries + offset, what
// the index holds (plus one).
class alignas(64) IdempotencyTable::Shard {
 public:
  void prepare(MemoryBudget& memory, std::uint64_t keys_max, Microseconds window_us) {
    memory_ = &memory;
    keys_max_ = keys_max;
    window_us_ = window_us;
  }
  ~Shard() {
    if (memory_ != nullptr) memory_->release(memory_bytes_);
  }

  // All of these under the mutex.
  std::mutex mutex;

  Claim begin(KeyedRequest& request, std::uint64_t next_sequence);
  KeyedRequest* settle(KeyedRequest& request, std::optional<std::uint64_t> sequence);
  bool put(const IdempotencyEntry& entry, Microseconds now_us);
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
  std::uint64_t home_of(const Hash128& key) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(Wide{key.low} * slots_ >> 64);
  }
  std::uint64_t after(std::uint64_t slot) const { return slot + 1 == slots_ ? 0 : slot + 1; }
  bool holds(std::uint64_t place, const Hash128& key) const {
    const std::byte* const at = at_place(place);
    return load<std::uint64_t>(at) == key.low && load<std::uint64_t>(at + 8) == key.high;
  }

  std::optional<std::uint64_t> find(const Hash128& key) const;  // Its slot.
  void erase_slot(std::uint64_t slot);
  void enter(const Hash128& key, std::uint64_t place);
  bool grow_index();
  bool grow_chunks();
  bool make_room(Microseconds now_us);
  void drop_oldest(Microseconds now_us);
  KeyedRequest*& bucket_of(const Hash128& key) { return buckets_[key.low % buckets_count]; }
  void enlist(KeyedRequest& request);
  void strike_off(KeyedRequest& request);

  MemoryBudget* memory_ = nullptr;
  std::uint64_t keys_max_ = 0;
  Microseconds window_us_ = 0;
  std::size_t memory_bytes_ = 0;

  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::vector<std::uint32_t> free_chunks_;
  std::vector<std::uint32_t> order_;
  std::uint64_t tail_ = 0;
  std::uint64_t head_ = 0;
  std::uint64_t logged_ = 0;

  std::unique_ptr<std::uint32_t[]> index_;
  std::uint64_t slots_ = 0;
  std::uint64_t slots_used_ = 0;

  std::array<KeyedRequest*, buckets_count> buckets_{};
  KeyedRequest* oldest_ = nullptr;
  KeyedRequest* newest_ = nullptr;

  std::uint64_t evicted_ = 0;
  std::uint64_t duplicates_ = 0;
  std::uint64_t other_bodies_ = 0;
  std::uint64_t under_way_ = 0;
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
    const IdempotencyEntry entry = decode_entry(at_place(index_[*slot] - 1));
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

bool IdempotencyTable::Shard::put(const IdempotencyEntry& entry, Microseconds now_us) {
  if (const auto known = find(entry.key)) {
    const std::byte* const at = at_place(index_[*known] - 1);
    if (decode_entry(at).sequence >= entry.sequence) return false;
  }
  for (int i = 0; i < expired_per_insert && tail_ < head_; i++) {
    if (in_window(decode_entry(at_place(place_of(tail_))).received_us, now_us)) break;
    drop_oldest(now_us);
  }
  settled_count.add();
  if (!make_room(now_us)) {
    evicted_++;
    return true;
  }
  const std::uint64_t place = place_of(head_++);
  encode_entry(entry, at_place(place));
  enter(entry.key, place);
  return true;
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
  order_[head_ / chunk_entries % order_.size()] = free_chunks_.back();
  free_chunks_.pop_back();
  return true;
}

void IdempotencyTable::Shard::drop_oldest(Microseconds now_us) {
  const std::uint64_t place = place_of(tail_);
  const IdempotencyEntry entry = decode_entry(at_place(place));
  // Not in the index: a later record of the key has taken its place.
  if (const auto slot = find(entry.key); slot && index_[*slot] == place + 1) {
    if (in_window(entry.received_us, now_us)) evicted_++;
    erase_slot(*slot);
  }
  tail_++;
  logged_ = std::max(logged_, tail_);
  if (tail_ % chunk_entries == 0) {
    free_chunks_.push_back(order_[(tail_ - 1) / chunk_entries % order_.size()]);
  }
}

bool IdempotencyTable::Shard::grow_chunks() {
  const std::uint64_t chunks_max = keys_max_ / chunk_entries + 2;
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
  for (std::uint64_t slot = home_of(key); index_[slot] != none; slot = after(slot)) {
    if (holds(index_[slot] - 1, key)) return slot;
  }
  return std::nullopt;
}

void IdempotencyTable::Shard::enter(const Hash128& key, std::uint64_t place) {
  std::uint64_t slot = home_of(key);
  while (index_[slot] != none && !holds(index_[slot] - 1, key)) slot = after(slot);
  if (index_[slot] == none) slots_used_++;
  index_[slot] = static_cast<std::uint32_t>(place + 1);
}

// Moves up those behind it that would no longer be found.
void IdempotencyTable::Shard::erase_slot(std::uint64_t slot) {
  const auto distance = [this](std::uint64_t from, std::uint64_t to) {
    return to >= from ? to - from : to + slots_ - from;
  };
  for (std::uint64_t next = after(slot); index_[next] != none; next = after(next)) {
    const auto low = load<std::uint64_t>(at_place(index_[next] - 1));
    if (distance(home_of({low, 0}), next) < distance(slot, next)) continue;
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
  slots_used_ = 0;
  for (std::uint64_t slot = 0; slot < slots_old; slot++) {
    if (old[slot] == none) continue;
    const std::byte* const at = at_place(old[slot] - 1);
    enter({load<std::uint64_t>(at), load<std::uint64_t>(at + 8)}, old[slot] - 1);
  }
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
  const Microseconds oldest_us = decode_entry(at_place(place_of(tail_))).received_us;
  status.window_us = std::min(status.window_us, std::max<Microseconds>(now_us - oldest_us, 0));
}

IdempotencyTable::IdempotencyTable(MemoryBudget& memory, std::uint64_t keys_max,
                                   Microseconds window_us)
    : window_us_(window_us),
      keys_max_(keys_max),
      shards_count_(shards_for(keys_max)),
      shards_(std::make_unique<Shard[]>(shards_count_)) {
  CHECK(keys_max > 0 && keys_max <= idempotency_keys_max && window_us > 0);
  const std::uint64_t keys_each = (keys_max + shards_count_ - 1) / shards_count_;
  for (std::size_t i = 0; i < shards_count_; i++) shards_[i].prepare(memory, keys_each, window_us);
}

IdempotencyTable::~IdempotencyTable() = default;

IdempotencyTable::Shard& IdempotencyTable::shard_of(const Hash128& key) const {
  return shards_[key.high % shards_count_];
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
  return shard.in_window(entry.received_us, now_us) && shard.put(entry, now_us);
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
