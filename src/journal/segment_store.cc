#include "journal/segment_store.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/check.h"
#include "base/log.h"
#include "journal/buffers.h"
#include "journal/cursor.h"

namespace inlet::journal {
namespace {

constexpr std::size_t spares_wanted = 2;
constexpr std::size_t free_files_kept = 8;  // More are given back to the file system.
constexpr std::size_t quarantine_files_max = 16;
constexpr std::uint64_t zero_write_bytes = 1U << 20;
constexpr std::uint64_t headroom_bytes_max = 64U << 20;
constexpr std::uint64_t headroom_share = 20;  // One part in this many, on small file systems.
constexpr Microseconds measure_every_us = 1'000'000;
constexpr double rate_weight = 0.3;  // Of the newest measurement.

std::uint64_t headroom(const Space& space) {
  return std::min(headroom_bytes_max, space.total_bytes / headroom_share);
}

}  // namespace

SegmentStore::SegmentStore(FileSystem& files, Clock& clock, StoreOptions options)
    : files_(files),
      clock_(clock),
      options_(std::move(options)),
      direct_(options_.direct),
      floor_(options_.floor) {}

void SegmentStore::adopt(const Catalog& catalog, std::uint64_t current_number) {
  const std::lock_guard lock(mutex_);
  slot_next_ = catalog.slot_next;
  for (std::size_t i = 0; i < catalog.segments.size(); i++) {
    const CatalogEntry& entry = catalog.segments[i];
    Segment segment{.slot = entry.slot,
                    .path = entry.path,
                    .number = entry.header.number,
                    .first_sequence = entry.header.first_sequence,
                    .ended_us = clock_.steady_us()};
    if (i + 1 < catalog.segments.size()) {
      segment.end_sequence =
          std::max(catalog.segments[i + 1].header.first_sequence, segment.first_sequence);
    }
    CHECK(segment.end_sequence != 0 || segment.number == current_number);
    segments_.push_back(std::move(segment));
  }
  for (const std::uint64_t slot : catalog.blank_slots) {
    free_.push_back({slot, options_.directory + "/" + segment_file_name(slot)});
  }
}

std::optional<Spare> SegmentStore::take_spare() {
  const std::lock_guard lock(mutex_);
  if (spares_.empty()) return std::nullopt;
  Spare spare = std::move(spares_.front());
  spares_.pop_front();
  return spare;
}

bool SegmentStore::has_spare() const {
  const std::lock_guard lock(mutex_);
  return !spares_.empty();
}

void SegmentStore::started(const Spare& spare, std::uint64_t number, std::uint64_t first_sequence) {
  const std::lock_guard lock(mutex_);
  segments_.push_back(
      {.slot = spare.slot, .path = spare.path, .number = number, .first_sequence = first_sequence});
}

void SegmentStore::ended(std::uint64_t number, std::uint64_t end_sequence, bool poisoned) {
  const std::lock_guard lock(mutex_);
  for (Segment& segment : segments_) {
    if (segment.number != number) continue;
    segment.end_sequence = end_sequence;
    segment.ended_us = clock_.steady_us();
    segment.poisoned = poisoned;
  }
}

void SegmentStore::turn(std::uint64_t next_sequence, std::uint64_t current_offset) {
  const std::uint64_t delivered = delivered_sequence();
  release_delivered(std::min(delivered, floor_.load()));
  make_spares();
  trim_free_files();
  measure(next_sequence, current_offset, delivered);
}

// Empty if there is none that can be read and is of this journal.
std::optional<CursorView> SegmentStore::cursor_of(const std::string& sink) const {
  auto cursor = read_cursor(files_, options_.directory, sink);
  if (!cursor || !*cursor || (*cursor)->latest.journal_id != journal_id_) return std::nullopt;
  return *cursor;
}

std::uint64_t SegmentStore::delivered_sequence() const {
  std::uint64_t delivered = options_.sinks.empty() ? 1 : UINT64_MAX;
  for (const std::string& sink : options_.sinks) {
    const auto cursor = cursor_of(sink);
    std::uint64_t passed = 1;
#if INLET_MUTANT_recycle_before_durable
    if (cursor) passed = cursor->latest.planned_end();
#else
    if (cursor) passed = cursor->durable_sequence;
#endif
    delivered = std::min(delivered, passed);
  }
  return delivered;
}

Position SegmentStore::cursors_end() const {
  Position end;
  for (const std::string& sink : options_.sinks) {
    const auto cursor = cursor_of(sink);
    if (!cursor) continue;
    const CursorState& state = cursor->latest;
    end.sequence = std::max({end.sequence, state.next.sequence, state.planned_end()});
    end.segment = std::max(end.segment, state.next.segment);
  }
  return end;
}

// Shippers note damage as JSON lines in cursors/SINK.damage, each with a "segment" member.
std::vector<std::uint64_t> SegmentStore::damaged_segments() const {
  constexpr std::string_view member = "\"segment\":";
  constexpr std::uint64_t bytes_max = 1U << 20;
  std::vector<std::uint64_t> numbers;
  for (const std::string& sink : options_.sinks) {
    const auto file = files_.open(
        options_.directory + "/" + std::string(cursors_directory_name) + "/" + sink + ".damage",
        {});
    if (!file) continue;
    const auto bytes = (*file)->size();
    if (!bytes || *bytes == 0) continue;
    std::string text(std::min(*bytes, bytes_max), '\0');
    const MutableBytes into(reinterpret_cast<std::byte*>(text.data()), text.size());
    if (!read_all(**file, into, *bytes - text.size())) continue;
    for (std::size_t at = text.find(member); at != std::string::npos;
         at = text.find(member, at + 1)) {
      std::uint64_t number = 0;
      const char* const digits = text.data() + at + member.size();
      std::from_chars(digits, text.data() + text.size(), number);
      numbers.push_back(number);
    }
  }
  return numbers;
}

void SegmentStore::release_delivered(std::uint64_t delivered) {
  std::vector<Segment> released;
  const auto space = files_.space(options_.directory);
  {
    const std::lock_guard lock(mutex_);
    const Microseconds now = clock_.steady_us();
    bool space_needed =
        spares_.size() < spares_wanted && free_.empty() && !(space && room_for_file(*space));
    while (!segments_.empty()) {
      const Segment& oldest = segments_.front();
      if (oldest.end_sequence == 0 || oldest.end_sequence > delivered) break;
      if (now - oldest.ended_us < options_.retain_us && !space_needed) break;
      space_needed = false;
      released.push_back(std::move(segments_.front()));
      segments_.pop_front();
    }
  }
  if (released.empty()) return;
  const std::vector<std::uint64_t> damaged = damaged_segments();
  for (Segment& segment : released) {
    const bool is_damaged = std::ranges::find(damaged, segment.number) != damaged.end();
    release(std::move(segment), is_damaged);
  }
}

void SegmentStore::release(Segment segment, bool damaged) {
  if (damaged) {
    quarantine(segment);
    return;
  }
  if (segment.poisoned) {
    if (const Status removed = files_.remove(segment.path); !removed) {
      log_warn("journal", "a segment that failed a flush cannot be removed",
               {{"path", segment.path}, {"error", removed.error().what}});
    }
    return;
  }
  const std::lock_guard lock(mutex_);
  free_.push_back({segment.slot, std::move(segment.path)});
}

void SegmentStore::quarantine(const Segment& segment) {
  const std::string directory = options_.directory + "/" + std::string(quarantine_directory_name);
  Status moved = files_.make_directories(directory);
  if (moved) {
    const auto names = files_.list(directory);
    if (names && names->size() >= quarantine_files_max) {
      log_error("journal", "quarantine is full, a damaged segment is removed",
                {{"directory", directory}, {"segment", segment.number}});
      moved = files_.remove(segment.path);
    } else {
      const std::string to = directory + "/segment-number-" + std::to_string(segment.number);
      log_error("journal", "a damaged segment is set aside", {{"path", to}});
      moved = files_.rename(segment.path, to);
      if (moved) moved = files_.sync_directory(directory);
    }
  }
  if (!moved) {
    log_error("journal", "a damaged segment cannot be set aside",
              {{"path", segment.path}, {"error", moved.error().what}});
  }
  quarantined_++;
}

// By quota, and by the file system.
bool SegmentStore::room_for_file(const Space& space) const {
  const std::size_t count = segments_.size() + free_.size() + spares_.size();
  return (count + 1) * options_.segment_bytes <= options_.bytes_max &&
         space.free_bytes >= options_.segment_bytes + headroom(space);
}

void SegmentStore::make_spares() {
  while (true) {
    std::optional<FreeFile> reuse;
    const auto space = files_.space(options_.directory);
    {
      const std::lock_guard lock(mutex_);
      if (spares_.size() >= spares_wanted) break;
      if (!free_.empty()) {
        reuse = std::move(free_.front());
        free_.pop_front();
      } else if (!space || !room_for_file(*space)) {
        break;
      }
    }
    auto spare = reuse ? open_spare(*reuse) : make_file();
    if (!spare) {
      if (!complained_) {
        log_error("journal", "cannot make a segment ready", {{"error", spare.error().what}});
      }
      complained_ = true;
      const std::lock_guard lock(mutex_);
      if (reuse) free_.push_back(std::move(*reuse));
      return;
    }
    complained_ = false;
    const std::lock_guard lock(mutex_);
    spares_.push_back(std::move(*spare));
  }
}

Result<Spare> SegmentStore::open_spare(const FreeFile& from) {
  auto file = files_.open(from.path, {.write = true, .direct = direct_});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  if (*bytes < options_.segment_bytes) {  // Its making was interrupted, or the size was changed.
    if (const Status filled = fill_with_zeros(**file); !filled) return fail(filled);
  }
  return Spare{std::move(*file), from.path, from.slot};
}

Result<Spare> SegmentStore::make_file() {
  const std::uint64_t slot = slot_next_;
  const std::string path = options_.directory + "/" + segment_file_name(slot);
  const OpenOptions options{.write = true, .create = true, .truncate = true, .direct = direct_};
  auto file = files_.open(path, options);
  if (!file && direct_ && file.error().os == EINVAL) {
    log_warn("journal", "the file system has no O_DIRECT; writing through the page cache",
             {{"directory", options_.directory}});
    direct_ = false;
    file = files_.open(path, {.write = true, .create = true, .truncate = true});
  }
  if (!file) return fail(file);
  Status made = fill_with_zeros(**file);
#if !INLET_MUTANT_no_directory_flush
  if (made) made = files_.sync_directory(options_.directory);
#endif
  if (!made) {
    file->reset();
    const Status removed = files_.remove(path);
    if (!removed) slot_next_++;  // Left behind unfinished: keep clear of it.
    return fail(made);
  }
  slot_next_++;
  return Spare{std::move(*file), path, slot};
}

Status SegmentStore::fill_with_zeros(File& file) const {
  MemoryBudget budget(SIZE_MAX);
  BufferPool pool(budget);
  const Buffer zeros = pool.acquire(zero_write_bytes);
  std::ranges::fill(zeros.bytes(), std::byte{0});
  for (std::uint64_t offset = 0; offset < options_.segment_bytes; offset += zero_write_bytes) {
    const std::uint64_t bytes = std::min(zero_write_bytes, options_.segment_bytes - offset);
    const Status written = write_all(file, zeros.bytes().first(bytes), offset, Flush::no);
    if (!written) return written;
  }
  return file.sync();
}

void SegmentStore::trim_free_files() {
  std::optional<FreeFile> surplus;
  {
    const std::lock_guard lock(mutex_);
    if (free_.size() <= free_files_kept) return;
    surplus = std::move(free_.back());
    free_.pop_back();
  }
  if (const Status removed = files_.remove(surplus->path); !removed) {
    log_warn("journal", "a free segment cannot be removed",
             {{"path", surplus->path}, {"error", removed.error().what}});
  }
}

void SegmentStore::measure(std::uint64_t next_sequence, std::uint64_t current_offset,
                           std::uint64_t delivered) {
  const auto space = files_.space(options_.directory);
  const std::lock_guard lock(mutex_);
  std::uint64_t undelivered = 0;
  for (const Segment& segment : segments_) {
    if (segment.end_sequence == 0) {
      undelivered += next_sequence > delivered ? current_offset : 0;
    } else if (segment.end_sequence > delivered) {
      undelivered += options_.segment_bytes;
    }
  }
  // Whole files only: a rest of space too small for a segment holds nothing.
  std::uint64_t files_possible = options_.bytes_max / options_.segment_bytes;
  if (space) {
    const std::uint64_t usable = space->free_bytes - std::min(space->free_bytes, headroom(*space));
    files_possible =
        std::min<std::uint64_t>(files_possible, segments_.size() + free_.size() + spares_.size() +
                                                    usable / options_.segment_bytes);
  }
  const std::uint64_t capacity = files_possible * options_.segment_bytes;
  fullness_.undelivered_bytes = undelivered;
  fullness_.capacity_bytes = capacity;
  fullness_.delivered_sequence = delivered;

  const Microseconds now = clock_.steady_us();
  if (measured_us_ != 0 && now - measured_us_ < measure_every_us) return;
  if (measured_us_ != 0 && !segments_.empty()) {
    const std::uint64_t records =
        std::max<std::uint64_t>(next_sequence - segments_.front().first_sequence, 1);
    const double record_bytes =
        static_cast<double>((segments_.size() - 1) * options_.segment_bytes + current_offset) /
        static_cast<double>(records);
    const double seconds = static_cast<double>(now - measured_us_) / 1e6;
    const auto blend = [&](double& rate, std::uint64_t newer, std::uint64_t older) {
      const double fresh =
          newer > older ? static_cast<double>(newer - older) * record_bytes / seconds : 0;
      rate = rate == 0 ? fresh : rate * (1 - rate_weight) + fresh * rate_weight;
    };
    blend(fullness_.drain_bytes_per_s, delivered, measured_delivered_);
    blend(fullness_.fill_bytes_per_s, next_sequence, measured_next_);
  }
  measured_us_ = now;
  measured_next_ = next_sequence;
  measured_delivered_ = delivered;
}

Fullness SegmentStore::fullness() const {
  const std::lock_guard lock(mutex_);
  return fullness_;
}

}  // namespace inlet::journal
