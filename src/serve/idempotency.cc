#include "serve/idempotency.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "journal/catalog.h"
#include "journal/reader.h"

namespace inlet::serve {
namespace {

// How far the log may lag, and so how much of the journal is read at the start: whatever comes
// first of these, and what comes until the thread wakes and its write returns.
constexpr auto wake_every = std::chrono::milliseconds(50);
constexpr Microseconds write_every_us = 1'000'000;  // While keys are settled.
constexpr std::uint64_t keys_due = 65'536;
constexpr std::uint64_t journal_bytes_due = 64U << 20;

constexpr Microseconds retry_every_us = 1'000'000;  // After a failure.
// Only a log that could not be written for long lags by more; then what is older is forgotten, so
// that the start stays short.
constexpr std::uint64_t scan_bytes_max = 512U << 20;
constexpr std::size_t scan_segments_min = 2;
constexpr int empty_reads_max = 200;  // Nobody writes: the reader needs no more patience.

}  // namespace

Idempotency::Idempotency(FileSystem& files, Clock& clock, MemoryBudget& memory,
                         journal::Journal& journal, IdempotencyOptions options, HandBack hand_back)
    : files_(files),
      clock_(clock),
      journal_(journal),
      options_(std::move(options)),
      hand_back_(std::move(hand_back)),
      table_(memory, options_.max_keys, options_.window_us),
      log_(files, options_.journal_directory, journal.journal_id()) {}

std::unique_ptr<Idempotency> Idempotency::open(FileSystem& files, Clock& clock,
                                               MemoryBudget& memory, journal::Journal& journal,
                                               IdempotencyOptions options, HandBack hand_back) {
  std::unique_ptr<Idempotency> idempotency(
      new Idempotency(files, clock, memory, journal, std::move(options), std::move(hand_back)));
  idempotency->load();
  idempotency->write_log();
  return idempotency;
}

Idempotency::~Idempotency() { stop(); }

// --- The start.

void Idempotency::load() {
  const Microseconds now_us = clock_.wall_us();
  const auto loaded = log_.read(journal_.next_sequence(), [&](const IdempotencyEntry& entry) {
    table_.restore(entry, now_us);
  });
  if (!loaded) {
    log_error("serve", "the idempotency log cannot be read: begun anew",
              {{"error", loaded.error().what}});
  }
  const bool is_new = !loaded || !*loaded;
  secret_ = is_new ? random_sip_key() : (*loaded)->secret;
  hasher_.emplace(secret_);
  if (is_new) return scan(1);
  entries_loaded_ = (*loaded)->entries;
  stretches_damaged_ = (*loaded)->stretches_damaged;
  if (stretches_damaged_ > 0) {
    log_error("serve", "the idempotency log is damaged: some keys are forgotten",
              {{"stretches", stretches_damaged_}});
  }
  table_.all_logged();
  scan((*loaded)->complete_to);
  log_info("serve", "idempotency keys loaded",
           {{"entries", entries_loaded_}, {"records_scanned", records_scanned_}});
}

// The first record that may be scanned: everything after it is in few enough segments.
std::uint64_t Idempotency::scan_limit() const {
  const auto catalog =
      journal::read_catalog(files_, options_.journal_directory, journal::Look::quick);
  if (!catalog || catalog->segments.empty()) return 1;
  const auto& segments = catalog->segments;
  const std::uint64_t bytes_each =
      std::max(segments.back().header.file_bytes, limits::segment_bytes_min);
  const std::size_t reach = std::max<std::size_t>(scan_bytes_max / bytes_each, scan_segments_min);
  if (segments.size() <= reach) return 1;
  return segments[segments.size() - reach].header.first_sequence;
}

void Idempotency::scan(std::uint64_t from) {
  const std::uint64_t end = journal_.next_sequence();
  if (from >= end) return;
  if (const std::uint64_t limit = scan_limit(); limit > from) {
    log_error("serve",
              "the idempotency log is far behind or missing: keys of some records are forgotten",
              {{"first", from}, {"end", limit}});
    from = limit;
  }
  journal::Reader reader(files_, options_.journal_directory);
  reader.seek({.sequence = from});
  for (int empty = 0; reader.position().sequence < end && empty < empty_reads_max;) {
    const auto record = reader.next();
    if (!record || !*record) {
      empty++;
      continue;
    }
    empty = 0;
    records_scanned_++;
    remember(**record);
  }
  std::uint64_t lost = end - std::min(reader.position().sequence, end);
  for (const journal::Damage& damage : reader.take_damage()) {
    lost += damage.end_sequence - damage.first_sequence;
  }
  if (lost > 0) {
    log_error("serve", "records cannot be read: their idempotency keys are forgotten",
              {{"records", lost}, {"from", from}});
  }
}

void Idempotency::remember(const journal::Record& record) {
  const journal::Metadata& metadata = record.metadata;
  const auto key = IdempotencyKey::parse(metadata.idempotency_key);
  if (!key || metadata.tenant.size() > limits::tenant_name_bytes_max ||
      metadata.stream.size() > limits::stream_name_bytes_max) {
    return;
  }
  table_.restore({.key = hash_key(secret_, metadata.tenant, metadata.stream, *key),
                  .body = hasher_->hash(metadata.content_encoding, record.body),
                  .sequence = record.sequence,
                  .received_us = record.received_us},
                 clock_.wall_us());
}

// --- Requests.

void Idempotency::name(KeyedRequest& request, std::string_view tenant, std::string_view stream,
                       const IdempotencyKey& key) const {
  request.key = hash_key(secret_, tenant, stream, key);
  table_.expect(request.key);
}

Claim Idempotency::begin(KeyedRequest& request, std::string_view content_encoding, Bytes body,
                         Microseconds received_us) {
  request.body = hasher_->hash(content_encoding, body);
  request.received_us = received_us;
  return table_.begin(request, journal_.next_sequence());
}

void Idempotency::settled(KeyedRequest& request, std::optional<std::uint64_t> sequence) {
  KeyedRequest* joined = table_.settled(request, sequence);
  while (joined != nullptr) {
    const unsigned loop = joined->loop;
    KeyedRequest* others = nullptr;
    KeyedRequest* list = nullptr;
    KeyedRequest** others_end = &others;
    KeyedRequest** list_end = &list;
    for (; joined != nullptr; joined = joined->next) {
      KeyedRequest**& end = joined->loop == loop ? list_end : others_end;
      *end = joined;
      end = &joined->next;
    }
    *others_end = *list_end = nullptr;
    hand_back_(loop, list);
    joined = others;
  }
}

// --- The log.

bool Idempotency::log_due() const {
  const Microseconds now_us = clock_.steady_us();
  if (failing_) return now_us - failed_us_ >= retry_every_us;
  const std::uint64_t keys = table_.settled_total() - settled_before_;
  if (keys >= keys_due || (keys > 0 && now_us - written_us_ >= write_every_us)) return true;
  if (journal_.next_sequence() == complete_to_) return false;
  // The floor must not be what a journal of small segments waits for: half of one, at most.
  const std::uint64_t bytes = journal_.status().written_bytes - journal_bytes_;
  return bytes >= std::min(journal_bytes_due, journal_.body_bytes_max()) ||
         journal_.admission() == journal::Admission::full;
}

void Idempotency::keep_log() {
  if (log_due()) write_log();
}

void Idempotency::write_log() {
  using From = IdempotencyTable::Collection::From;
  const auto round = [this](From from) {
    return IdempotencyTable::Collection(table_, journal_.next_sequence(), from);
  };
  settled_before_ = table_.settled_total();
  journal_bytes_ = journal_.status().written_bytes;
  written_us_ = clock_.steady_us();
  const bool anew = !log_.is_open() || log_.overgrown(table_.status(clock_.wall_us()).keys);
  Result<std::uint64_t> complete =
      anew ? log_.rewrite(round(From::oldest), secret_) : log_.append(round(From::last_round));
  if (!complete && !anew) {
    failures_++;
    log_warn("serve", "the idempotency log is begun anew after a failed write",
             {{"error", complete.error().what}});
    complete = log_.rewrite(round(From::oldest), secret_);
  }
  if (!complete) return log_failed(complete.error());
  if (failing_.exchange(false)) log_info("serve", "the idempotency log can be written again");
  log_bytes_ = log_.bytes();
  complete_to_ = *complete;
  journal_.set_floor(*complete);
}

void Idempotency::log_failed(const Error& error) {
  failures_++;
  failed_us_ = clock_.steady_us();
  journal_.set_floor(UINT64_MAX);
  if (failing_.exchange(true)) return;
  log_error("serve",
            "the idempotency log cannot be written: requests repeated after a restart may be "
            "stored twice",
            {{"error", error.what}});
}

void Idempotency::start() {
  thread_ = std::thread([this] { run(); });
}

void Idempotency::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, wake_every, [this] { return stopping_; })) {
    lock.unlock();
    keep_log();
    lock.lock();
  }
}

void Idempotency::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  wake_.notify_one();
  if (!thread_.joinable()) return;
  thread_.join();
  if (journal_.next_sequence() != complete_to_) write_log();
}

IdempotencyStatus Idempotency::status() const {
  return {.table = table_.status(clock_.wall_us()),
          .log_failing = failing_,
          .log_failures = failures_,
          .log_bytes = log_bytes_,
          .complete_to = complete_to_,
          .stretches_damaged = stretches_damaged_,
          .entries_loaded = entries_loaded_,
          .records_scanned = records_scanned_};
}

}  // namespace inlet::serve
