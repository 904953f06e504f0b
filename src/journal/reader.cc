#include "journal/reader.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "journal/catalog.h"
#include "journal/scanner.h"

namespace inlet::journal {

class Reader::Impl {
 public:
  Impl(FileSystem& files, std::string directory)
      : files_(files), directory_(std::move(directory)) {}

  void seek(Position from) {
    at_ = from;
    if (!current_ || current_->number != from.segment) close_segment();
  }

  Result<std::optional<Record>> next() {
    while (true) {
      if (!refresh_mark()) return std::nullopt;
      if (at_.sequence >= mark_.next_sequence) return std::nullopt;
      if (!current_) {
        const auto opened = open_segment();
        if (!opened) return fail(opened);
        if (!*opened) return std::nullopt;
      }
      auto stepped = step();
      if (!stepped) return fail(stepped);
      if (*stepped) return *stepped;
    }
  }

  Position at_;
  CommitMark mark_{};
  std::vector<Damage> damage_;

  [[nodiscard]] std::uint64_t bytes_behind() const {
    if (at_.sequence >= mark_.next_sequence) return 0;
    if (at_.segment == mark_.segment) return mark_.offset - std::min(at_.offset, mark_.offset);
    const std::uint64_t between = mark_.segment - std::min(at_.segment + 1, mark_.segment);
    const std::uint64_t file_bytes = current_ ? current_->file_bytes : limits::segment_bytes_min;
    return (file_bytes - std::min(at_.offset, file_bytes)) + between * file_bytes + mark_.offset;
  }

 private:
  struct Segment {
    std::unique_ptr<File> file;
    std::uint64_t number;
    std::uint64_t file_bytes;
    std::optional<std::uint64_t> end_sequence;  // First sequence of the segment after it, if known.
    Scanner scanner;
  };

  // Looks at the commit mark when what is known of it is used up. False: there is no journal yet.
  bool refresh_mark() {
    if (mark_.next_sequence > at_.sequence) return true;
    if (!mark_file_) {
      auto opened = files_.open(directory_ + "/" + std::string(commit_file_name), {});
      if (!opened) return false;
      mark_file_ = std::move(*opened);
    }
    const auto mark = read_commit_mark(*mark_file_);
    if (!mark) {
      mark_file_.reset();  // Rewritten or replaced: look again next time.
      return mark_.next_sequence != 0;
    }
    if (mark->next_sequence >= mark_.next_sequence) {
      mark_ = *mark;
      if (current_ && current_->number == mark_.segment) {
        current_->scanner.set_end(std::min(mark_.offset, current_->file_bytes));
      }
    }
    return true;
  }

  void close_segment() { current_.reset(); }

  void report(std::uint64_t segment, std::uint64_t offset, std::uint64_t end_sequence,
              std::string why) {
    if (end_sequence > at_.sequence) {
      damage_.push_back({segment, offset, at_.sequence, end_sequence, std::move(why)});
    }
    at_.sequence = std::max(at_.sequence, end_sequence);
  }

  // Opens the segment that holds at_.sequence. False if it is not there yet.
  Result<bool> open_segment() {
    const auto catalog = read_catalog(files_, directory_, Look::quick);
    if (!catalog) return fail(catalog);
    const auto& segments = catalog->segments;
    const auto after = std::ranges::upper_bound(
        segments, at_.sequence, {}, [](const CatalogEntry& e) { return e.header.first_sequence; });
    auto chosen = after == segments.begin() ? after : std::prev(after);
    // Segments left behind empty share their first sequence with the one after them.
    if (chosen == segments.end() || chosen->header.number > mark_.segment) {
      return skip_to_mark();
    }
    const SegmentHeader& header = chosen->header;
    const CatalogEntry* const next =
        std::next(chosen) == segments.end() ? nullptr : &*std::next(chosen);
    const bool gap = header.first_sequence > at_.sequence ||
                     (header.number != mark_.segment &&
                      (next == nullptr || next->header.number != header.number + 1));
    // A file that cannot be opened or read at this moment may fill the gap: do not pass it yet.
    if (gap && !catalog->unreadable.empty() && ++unreadable_looks_ < unreadable_looks_max) {
      return fail(ErrorKind::retry, catalog->unreadable.front() + " cannot be read");
    }
    unreadable_looks_ = 0;
    if (header.first_sequence > at_.sequence) {
      if (at_.segment != 0 || at_.sequence != 1) {
        report(0, 0, header.first_sequence, "the segment is missing");
      }
      at_.sequence = header.first_sequence;
    }
    return use(*chosen, next);
  }

  // No segment holds what the mark says was committed.
  Result<bool> skip_to_mark() {
    if (++missing_looks_ < missing_looks_max) return false;
    missing_looks_ = 0;
    report(0, 0, mark_.next_sequence, "the segment is missing");
    return false;
  }

  Result<bool> use(const CatalogEntry& entry, const CatalogEntry* next) {
    auto file = open_for_scan(files_, entry.path);
    if (!file) return fail(file);
    const auto file_bytes = (*file)->size();
    if (!file_bytes) return fail(file_bytes);
    const bool last = entry.header.number == mark_.segment;
    // The mark's segment should stand behind this one: give it time before calling it lost.
    if (!last && next == nullptr && ++missing_looks_ < missing_looks_max) return false;
    const std::uint64_t end = last ? std::min(mark_.offset, *file_bytes) : *file_bytes;
    File& opened = **file;
    // A Scanner cannot be moved into place.
    current_.reset(new Segment{// NOLINT(modernize-make-unique)
                               std::move(*file), entry.header.number, *file_bytes, std::nullopt,
                               Scanner(opened, entry.header.salt, entry.header.number, end)});
    if (!last) {
      current_->end_sequence = next != nullptr ? next->header.first_sequence : mark_.next_sequence;
    }
    const auto trusted = is_at_hand(entry.header.number);
    if (!trusted) return fail(trusted);
    if (!*trusted) at_.offset = first_commit_offset;
    at_.segment = entry.header.number;
    missing_looks_ = 0;
    return true;
  }

  // Whether at_.offset is where the record due stands. It is a hint from a cursor: the segment it
  // was taken in may be gone.
  Result<bool> is_at_hand(std::uint64_t number) {
    if (at_.segment != number || at_.offset < first_commit_offset ||
        at_.offset % limits::frame_alignment != 0) {
      return false;
    }
    const auto frame = current_->scanner.frame_at(at_.offset);
    if (!frame) return fail(frame);
    return *frame && (*frame)->header.sequence == at_.sequence;
  }

  // Looks at one place of the current segment; empty if it held no record to return.
  Result<std::optional<Record>> step() {
    Segment& segment = *current_;
    if (segment.number != mark_.segment && !segment.end_sequence) {
      close_segment();  // The journal went on behind it: open it again to learn where it ends.
      return std::nullopt;
    }
    if (segment.end_sequence && at_.sequence >= *segment.end_sequence) {
      leave_segment();
      return std::nullopt;
    }
    const auto frame = segment.scanner.frame_at(at_.offset);
    if (!frame) return fail(frame);
    if (!*frame || belongs_to_next((*frame)->header)) return resync();
    const FrameHeader& header = (*frame)->header;
    if (header.type == FrameType::pad || header.sequence < at_.sequence) {
      at_.offset += header.frame_bytes();
      return std::nullopt;
    }
    return take(**frame);
  }

  [[nodiscard]] bool belongs_to_next(const FrameHeader& header) const {
    return current_->end_sequence && header.sequence >= *current_->end_sequence &&
           header.type == FrameType::record;
  }

  Result<std::optional<Record>> take(const Scanner::Frame& frame) {
    const FrameHeader& header = frame.header;
    if (header.sequence > at_.sequence) {
      report(header.segment, at_.offset, header.sequence, "records are missing");
    }
    std::optional<Metadata> metadata;
    if (frame.payload_intact) {
      metadata = decode_metadata(frame.payload.first(header.metadata_bytes));
    }
    if (!metadata) {
      report(header.segment, at_.offset, header.sequence + 1, "the payload's checksum is wrong");
      at_.offset += header.frame_bytes();
      return std::nullopt;
    }
    at_.offset += header.frame_bytes();
    at_.sequence = header.sequence + 1;
    return Record{header.sequence, header.received_us, *metadata,
                  frame.payload.subspan(header.metadata_bytes)};
  }

  // No good frame stands here: go on at the next one, or leave the segment.
  Result<std::optional<Record>> resync() {
    Segment& segment = *current_;
    const std::uint64_t from = at_.offset + limits::frame_alignment;
    const auto found = segment.scanner.find(from, at_.sequence);
    if (!found) return fail(found);
    if (*found) {
      const auto frame = segment.scanner.frame_at(**found);
      if (!frame) return fail(frame);
      CHECK(*frame);
      if (!belongs_to_next((*frame)->header)) {
        report(segment.number, at_.offset, (*frame)->header.sequence, "a frame is damaged");
        at_.offset = **found;
        return std::nullopt;
      }
    }
    if (segment.end_sequence) {
      report(segment.number, at_.offset, *segment.end_sequence, "a frame is damaged");
      leave_segment();
      return std::nullopt;
    }
    report(segment.number, at_.offset, mark_.next_sequence, "a frame is damaged");
    at_.offset = mark_.offset;
    return std::nullopt;
  }

  void leave_segment() {
    at_.segment++;
    at_.offset = first_commit_offset;
    close_segment();
  }

  static constexpr int missing_looks_max = 50;
  static constexpr int unreadable_looks_max = 8;

  FileSystem& files_;
  const std::string directory_;
  std::unique_ptr<File> mark_file_;
  std::unique_ptr<Segment> current_;
  int unreadable_looks_ = 0;  // Times in a row that an unreadable file may have been the one.
  int missing_looks_ = 0;     // Times a committed segment was not found in a row.
};

Reader::Reader(FileSystem& files, std::string directory)
    : impl_(std::make_unique<Impl>(files, std::move(directory))) {}
Reader::~Reader() = default;

void Reader::seek(Position from) { impl_->seek(from); }
Result<std::optional<Record>> Reader::next() { return impl_->next(); }
Position Reader::position() const { return impl_->at_; }
std::uint64_t Reader::committed_sequence() const {
  return impl_->mark_.next_sequence == 0 ? 1 : impl_->mark_.next_sequence;
}
std::uint64_t Reader::bytes_behind() const { return impl_->bytes_behind(); }
std::uint64_t Reader::journal_id() const { return impl_->mark_.journal_id; }
std::vector<Damage> Reader::take_damage() { return std::exchange(impl_->damage_, {}); }

}  // namespace inlet::journal
