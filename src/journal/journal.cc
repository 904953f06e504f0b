#include "journal/journal.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <random>

#include "base/check.h"
#include "base/log.h"
#include "base/names.h"
#include "journal/scanner.h"

namespace inlet::journal {
namespace {

constexpr Microseconds probe_every_us = 1'000'000;
constexpr auto house_every = std::chrono::milliseconds(100);
constexpr auto spare_wait = std::chrono::seconds(5);
constexpr std::uint64_t commits_per_segment_min = 4;
constexpr std::size_t pool_bytes_kept = 16U << 20;  // Between bursts.
constexpr std::uint32_t retry_after_s_max = 300;
constexpr std::uint32_t retry_after_s_unknown = 30;  // Full, and nothing drains.

std::uint64_t random_u64() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

// A batch is closed at this size; it must leave room for the largest record in the same segment.
std::uint64_t batch_bytes_full(std::uint64_t segment_bytes) {
  return std::min<std::uint64_t>(limits::commit_bytes_max, segment_bytes / commits_per_segment_min);
}

}  // namespace

Journal::Journal(FileSystem& files, Clock& clock, BufferPool& pool, CommitListener& listener,
                 JournalOptions options)
    : files_(files),
      clock_(clock),
      pool_(pool),
      listener_(listener),
      options_(std::move(options)),
      store_(files, clock, options_.store),
      first_of_loop_(options_.loops, nullptr),
      last_of_loop_(options_.loops, nullptr) {}

Journal::~Journal() { stop(); }

Result<std::unique_ptr<Journal>> Journal::open(FileSystem& files, Clock& clock, BufferPool& pool,
                                               CommitListener& listener, JournalOptions options) {
  CHECK(options.loops > 0);
  const std::string& directory = options.store.directory;
  if (const Status made = files.make_directories(directory); !made) return fail(made);
  auto lock = files.lock(directory + "/" + std::string(lock_file_name));
  if (!lock) return fail(lock);
  std::unique_ptr<Journal> journal(new Journal(files, clock, pool, listener, std::move(options)));
  journal->lock_ = std::move(*lock);
  journal->header_block_ = pool.acquire(limits::block_bytes);
  if (!journal->header_block_) return fail(ErrorKind::overload, "no memory to open the journal");
  if (const Status recovered = journal->recover(); !recovered) return fail(recovered);
  return journal;
}

std::uint64_t Journal::body_bytes_max() const {
  return limits::body_bytes_max(options_.store.segment_bytes);
}

Status Journal::recover() {
  const std::string& directory = options_.store.directory;
  const auto catalog = read_catalog(files_, directory, Look::thorough);
  if (!catalog) return fail(catalog);
  const auto mark = read_commit_mark(files_, directory);
  journal_id_ = catalog->journal_id;
  if (journal_id_ == 0 && mark) journal_id_ = mark->journal_id;
  while (journal_id_ == 0) journal_id_ = random_u64() & journal_id_mask;
  store_.set_journal_id(journal_id_);
  if (mark) number_next_ = mark->segment + 1;

  auto mark_file =
      files_.open(directory + "/" + std::string(commit_file_name), {.write = true, .create = true});
  if (!mark_file) return fail(mark_file);
  mark_file_ = std::move(*mark_file);
  if (const Status safe = make_mark_durable(); !safe && safe.error().kind == ErrorKind::stopped) {
    return safe;
  }

  // Were a cursor or the mark ahead of the next sequence, a sink would miss what is stored next;
  // and a number used again would give an old position a new meaning.
  const Position cursors_end = store_.cursors_end();
  const std::uint64_t known_end = std::max(mark ? mark->next_sequence : 1, cursors_end.sequence);
  number_next_ = std::max(number_next_, cursors_end.segment + 1);
  if (catalog->segments.empty()) {
    store_.adopt(*catalog, 0);
    next_sequence_ = known_end;
    publish_mark();  // Of no segment: shippers learn that there is nothing yet.
  } else {
    store_.adopt(*catalog, catalog->segments.back().header.number);
    const Status continued = continue_last(catalog->segments.back(), mark, known_end);
    if (!continued) return continued;
  }
  keep_house();
  return {};
}

Status Journal::continue_last(const CatalogEntry& entry, const std::optional<CommitMark>& mark,
                              std::uint64_t known_end) {
  const auto scanned = open_for_scan(files_, entry.path);
  if (!scanned) return fail(scanned);
  auto end = find_segment_end(**scanned, entry.header, mark);
  if (!end) return fail(end);
  if (known_end > end->next_sequence) {
    // What every sink has may be gone: delivered segments are removed.
    const std::uint64_t missing = std::max(end->next_sequence, store_.delivered_sequence());
    end->records_lost += known_end - std::min(known_end, missing);
    end->next_sequence = known_end;
    end->clean = false;
  }
  records_lost_ = end->records_lost;
  if (records_lost_ > 0) {
    log_error("journal", "acknowledged records are damaged or missing and stepped over",
              {{"path", entry.path}, {"records", records_lost_}});
  }
  log_info("journal", "opened",
           {{"directory", options_.store.directory},
            {"segment", entry.header.number},
            {"offset", end->offset},
            {"next_sequence", end->next_sequence},
            {"end", end->torn    ? "torn"
                    : end->clean ? "clean"
                                 : "damaged"}});

  // What was read may be in a cache only: it must not vanish once it is given out.
  auto file = files_.open(entry.path, {.write = true, .direct = store_.direct()});
  if (!file && file.error().os == EINVAL) file = files_.open(entry.path, {.write = true});
  const Status flushed = file ? (*file)->sync() : Status(fail(file));
  if (!flushed && flushed.error().kind == ErrorKind::stopped) return flushed;
  if (!flushed) {
    log_error("journal", "the last segment cannot be flushed and is left behind",
              {{"path", entry.path}, {"error", flushed.error().what}});
  }
  number_next_ = std::max(number_next_, entry.header.number + 1);
  next_sequence_ = end->next_sequence;
  current_offset_ = end->offset;
  current_ = Current{.file = flushed ? std::move(*file) : nullptr,
                     .salt = entry.header.salt,
                     .number = entry.header.number,
                     .offset = end->offset,
                     .file_bytes = std::min(entry.header.file_bytes, options_.store.segment_bytes)};
  publish_mark();
  if (!flushed || !end->clean || entry.header_damaged) leave_segment(!flushed);
  return {};
}

// Its block is allocated and its name flushed before the first commit, so that a disk that is full
// later cannot keep shippers from seeing what was committed.
Status Journal::make_mark_durable() {
  const auto size = mark_file_->size();
  if (!size) return fail(size);
  if (*size < commit_mark_bytes) {
    const std::byte blank[commit_mark_bytes] = {};
    if (const Status made = write_all(*mark_file_, blank, 0, Flush::yes); !made) return made;
  }
  if (const Status flushed = mark_file_->sync(); !flushed) return flushed;
  return files_.sync_directory(options_.store.directory);
}

void Journal::publish_mark() {
  std::byte bytes[commit_mark_bytes];
  encode_commit_mark({.salt = current_.salt,
                      .segment = current_.number,
                      .offset = current_.offset,
                      .next_sequence = next_sequence_,
                      .journal_id = journal_id_},
                     bytes);
  // Only a hint: were it lost, the frames themselves would tell. But shippers wait for it.
  const Status written = write_all(*mark_file_, bytes, 0, Flush::no);
  mark_due_ = !written;
  if (!written) {
    log_warn("journal", "cannot publish the commit mark", {{"error", written.error().what}});
  }
}

void Journal::leave_segment(bool poisoned) {
  store_.ended(current_.number, next_sequence_, poisoned);
  current_.file.reset();
}

template <typename Add>
bool Journal::enqueue(Add add) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return false;
  if (queue_.empty() || queue_.back()->full()) {
    if (idle_batches_.empty()) {
      queue_.push_back(
          std::make_unique<Batch>(pool_, batch_bytes_full(options_.store.segment_bytes)));
    } else {
      queue_.push_back(std::move(idle_batches_.back()));
      idle_batches_.pop_back();
    }
  }
  if (!add(*queue_.back())) {
    if (queue_.back()->empty()) {
      idle_batches_.push_back(std::move(queue_.back()));
      queue_.pop_back();
    }
    return false;
  }
  if (committer_waits_) {
    committer_waits_ = false;
    wake_committer_.notify_one();
  }
  return true;
}

bool Journal::append(Ticket& ticket, const Metadata& metadata, Bytes body,
                     Microseconds received_us) {
  return enqueue([&](Batch& batch) { return batch.add(ticket, metadata, body, received_us); });
}

bool Journal::append(Ticket& ticket, RecordBuffer& record, std::size_t body_bytes,
                     Microseconds received_us) {
  CHECK(body_bytes <= body_bytes_max());
  return enqueue([&](Batch& batch) { return batch.add(ticket, record, body_bytes, received_us); });
}

std::unique_ptr<Batch> Journal::next_batch() {
  const std::lock_guard lock(mutex_);
  if (queue_.empty()) return nullptr;
  std::unique_ptr<Batch> batch = std::move(queue_.front());
  queue_.pop_front();
  return batch;
}

void Journal::recycle(std::unique_ptr<Batch> batch) {
  const std::lock_guard lock(mutex_);
  idle_batches_.push_back(std::move(batch));
}

bool Journal::commit_once() {
  std::unique_ptr<Batch> batch = next_batch();
  if (!batch) return probe();
  CommitResult result = CommitResult::no_space;
  if (make_room(batch->bytes())) {
    const std::uint64_t records = batch->records();
    const std::uint64_t body_bytes = batch->body_bytes();
    batch->seal({.salt = current_.salt,
                 .segment = current_.number,
                 .offset = current_.offset,
                 .first_sequence = next_sequence_});
#if INLET_MUTANT_answer_before_flush
    complete(batch->take_tickets_early(), CommitResult::committed);
#endif
    result = write(batch->parts(), batch->bytes()) ? CommitResult::committed : CommitResult::failed;
    if (result == CommitResult::committed) {
      next_sequence_ += records;
      records_ += records;
      body_bytes_ += body_bytes;
      publish_mark();
    }
  }
  Ticket* const tickets = batch->take_tickets();
  recycle(std::move(batch));
  complete(tickets, result);
  return true;
}

// Sees to it that `bytes` fit into the current segment, going on to a fresh one if need be.
bool Journal::make_room(std::uint64_t bytes) {
  if (current_.file && current_.offset + bytes <= current_.file_bytes) return true;
  if (current_.file) leave_segment(false);
  std::optional<Spare> spare = wait_for_spare();
  starved_ = !spare;
  if (!spare) {
    full_ = true;
    return false;
  }
  current_offset_ = 0;
  store_.started(*spare, number_next_, next_sequence_);
  current_ = Current{.file = std::move(spare->file),
                     .salt = random_u64(),
                     .number = number_next_++,
                     .offset = first_commit_offset,
                     .file_bytes = options_.store.segment_bytes,
                     .header_due = true};
  CHECK(current_.offset + bytes <= current_.file_bytes);
  const std::lock_guard lock(house_mutex_);
  house_wanted_ = true;
  wake_housekeeper_.notify_one();
  return true;
}

std::optional<Spare> Journal::wait_for_spare() {
  if (auto spare = store_.take_spare()) return spare;
  if (!housekeeper_.joinable()) {
    keep_house();
    return store_.take_spare();
  }
  std::unique_lock lock(house_mutex_);
  house_wanted_ = true;
  wake_housekeeper_.notify_one();
  const std::uint64_t rounds_before = house_rounds_;
  // Two whole rounds without a spare mean that none can be made.
  spare_made_.wait_for(lock, spare_wait, [&] {
    return store_.has_spare() || house_rounds_ >= rounds_before + 2 || house_stopping_;
  });
  return store_.take_spare();
}

// One flushed write at the current offset, with the segment's header before it if that is due.
bool Journal::write(std::span<const iovec> parts, std::uint64_t bytes) {
  std::uint64_t offset = current_.offset;
  parts_.clear();
  if (current_.header_due) {
    encode_segment_header({.salt = current_.salt,
                           .number = current_.number,
                           .first_sequence = next_sequence_,
                           .journal_id = journal_id_,
                           .created_us = clock_.wall_us(),
                           .file_bytes = current_.file_bytes},
                          header_block_.bytes());
    parts_.push_back({header_block_.bytes().data(), limits::block_bytes});
    offset = 0;
  }
  parts_.insert(parts_.end(), parts.begin(), parts.end());
  const Microseconds started = clock_.steady_us();
  write_started_us_ = started;
#if INLET_MUTANT_skip_tenth_flush
  const Flush flush = commits_ % 10 == 9 ? Flush::no : Flush::yes;
#else
  const Flush flush = Flush::yes;
#endif
  Status written = write_all(*current_.file, parts_, offset, flush);
#if INLET_MUTANT_retry_failed_flush
  if (!written) written = current_.file->sync();
#endif
  write_started_us_ = 0;
  const Microseconds took_us = clock_.steady_us() - started;
  commit_us_total_ += static_cast<std::uint64_t>(took_us);
  listener_.on_write(took_us);
  if (!written) {
    commits_failed_++;
    failing_ = true;
    probed_us_ = clock_.steady_us();
    log_error("journal", "a commit failed; its segment is left behind",
              {{"segment", current_.number}, {"error", written.error().what}});
    leave_segment(true);
    return false;
  }
  if (failing_.exchange(false)) log_info("journal", "the disk accepts writes again");
  current_.header_due = false;
  current_.offset += bytes;
  current_offset_ = current_.offset;
  commits_++;
  written_bytes_ += bytes;
  return true;
}

// While failing, nothing is let in that could find out that the disk is well again: so write the
// header of a fresh segment now and then.
bool Journal::probe() {
  if ((!failing_ && !mark_due_) || clock_.steady_us() - probed_us_ < probe_every_us) return false;
  probed_us_ = clock_.steady_us();
  if (!failing_) {
    publish_mark();
    return true;
  }
  if (!make_room(0)) return true;
  if (write({}, 0)) publish_mark();
  return true;
}

void Journal::complete(Ticket* tickets, CommitResult result) {
  while (tickets != nullptr) {
    Ticket* const ticket = tickets;
    tickets = ticket->next;
    ticket->next = nullptr;
    ticket->result = result;
    CHECK(ticket->loop < options_.loops);
    Ticket*& last = last_of_loop_[ticket->loop];
    if (last == nullptr) {
      first_of_loop_[ticket->loop] = ticket;
    } else {
      last->next = ticket;
    }
    last = ticket;
  }
  for (unsigned loop = 0; loop < options_.loops; loop++) {
    if (first_of_loop_[loop] == nullptr) continue;
    last_of_loop_[loop] = nullptr;
    listener_.on_commits(loop, std::exchange(first_of_loop_[loop], nullptr));
  }
}

void Journal::keep_house() {
  store_.turn(next_sequence_, current_offset_);
  if (starved_ && store_.has_spare()) starved_ = false;
  full_ = starved_ || store_.fullness().ratio() >= options_.full_ratio;
  const std::lock_guard lock(house_mutex_);
  house_rounds_++;
  spare_made_.notify_all();
}

void Journal::start() {
  committer_ = std::thread([this] { committer_loop(); });
  housekeeper_ = std::thread([this] { housekeeper_loop(); });
}

void Journal::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_committer_.notify_one();
  }
  if (committer_.joinable()) committer_.join();
  while (commit_once()) {
  }
  {
    const std::lock_guard lock(house_mutex_);
    house_stopping_ = true;
    wake_housekeeper_.notify_one();
  }
  if (housekeeper_.joinable()) housekeeper_.join();
}

void Journal::committer_loop() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      while (queue_.empty() && !stopping_) {
        committer_waits_ = true;
        if (wake_committer_.wait_for(lock, std::chrono::microseconds(probe_every_us)) ==
                std::cv_status::timeout &&
            (failing_ || mark_due_)) {
          break;
        }
      }
      committer_waits_ = false;
      if (stopping_) return;
    }
    commit_once();
  }
}

void Journal::housekeeper_loop() {
  std::unique_lock lock(house_mutex_);
  while (!house_stopping_) {
    lock.unlock();
    keep_house();
    pool_.trim(pool_bytes_kept);
    lock.lock();
    wake_housekeeper_.wait_for(lock, house_every,
                               [this] { return house_wanted_ || house_stopping_; });
    house_wanted_ = false;
  }
}

Admission Journal::admission() const {
  if (failing_.load(std::memory_order_relaxed)) return Admission::failing;
  if (full_.load(std::memory_order_relaxed)) return Admission::full;
  const Microseconds started = write_started_us_.load(std::memory_order_relaxed);
  if (started != 0 && clock_.steady_us() - started > options_.stalled_after_us) {
    return Admission::stalled;
  }
  return Admission::open;
}

std::uint32_t Journal::retry_after_s() const {
  if (admission() != Admission::full) return 1;
  const Fullness fullness = store_.fullness();
  if (fullness.drain_bytes_per_s < 1) return retry_after_s_unknown;
  // Space comes free a segment at a time.
  const double seconds =
      static_cast<double>(options_.store.segment_bytes) / fullness.drain_bytes_per_s;
  return static_cast<std::uint32_t>(
      std::clamp(std::ceil(seconds), 1.0, static_cast<double>(retry_after_s_max)));
}

JournalStatus Journal::status() const {
  return {.admission = admission(),
          .fullness = store_.fullness(),
          .next_sequence = next_sequence_,
          .commits = commits_,
          .commits_failed = commits_failed_,
          .records = records_,
          .body_bytes = body_bytes_,
          .written_bytes = written_bytes_,
          .commit_us_total = commit_us_total_,
          .records_lost = records_lost_,
          .segments_quarantined = store_.segments_quarantined(),
          .direct = store_.direct()};
}

}  // namespace inlet::journal
