#include "journal/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "journal/catalog.h"
#include "journal/scanner.h"

namespace inlet::journal {
namespace {

bool all_zero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

// The rest of the header block is zeros.
Status check_header_block(File& file, const CatalogEntry& entry, VerifyReport& report) {
  Scanner scanner(file, entry.header.salt, entry.header.number, limits::block_bytes);
  const auto block = scanner.bytes_at(0, limits::block_bytes);
  if (!block) return fail(block);
  if (block->size() < limits::block_bytes || !all_zero(block->subspan(segment_header_bytes))) {
    report.findings.push_back(entry.path + ": there are bytes where zeros should stand in block 0");
  }
  return {};
}

// Walks one segment up to `end_offset` and to the record before `end_sequence`.
class SegmentCheck {
 public:
  SegmentCheck(File& file, const CatalogEntry& entry, std::uint64_t end_offset,
               std::uint64_t end_sequence, VerifyReport& report)
      : entry_(entry),
        end_sequence_(end_sequence),
        scanner_(file, entry.header.salt, entry.header.number, end_offset),
        report_(report),
        due_(entry.header.first_sequence) {}

  Status run() {
    while (due_ < end_sequence_ && offset_ + frame_header_bytes <= scanner_.end()) {
      const auto frame = scanner_.frame_at(offset_);
      if (!frame) return fail(frame);
      const bool stepped = *frame && check(**frame);
      if (!stepped) {
        if (const Status resynced = resync(); !resynced) return resynced;
      }
    }
    if (due_ < end_sequence_) {
      find(fmt::format("records {} to {} are missing", due_, end_sequence_ - 1));
      report_.records_lost += end_sequence_ - due_;
    } else {
      return check_last_pad();
    }
    return {};
  }

 private:
  void find(const std::string& what) {
    report_.findings.push_back(fmt::format("{}: offset {}: {}", entry_.path, offset_, what));
  }

  bool check(const Scanner::Frame& frame) {
    const FrameHeader& header = frame.header;
    if (header.sequence != due_ || !frame.payload_intact) return false;
    if (header.commit != commit_) {
      if (header.commit != header.sequence || offset_ % limits::block_bytes != 0) return false;
      commit_ = header.commit;
      report_.commits++;
    }
    if (header.type == FrameType::record) {
      due_++;
      report_.records++;
      report_.body_bytes += header.payload_bytes - header.metadata_bytes;
      if (!decode_metadata(frame.payload.first(header.metadata_bytes))) {
        find("the metadata is malformed");
      }
    }
    check_zeros(header);
    offset_ += header.frame_bytes();
    return true;
  }

  // Behind the payload of a record, and all of a pad.
  void check_zeros(const FrameHeader& header) {
    const std::uint64_t payload = header.type == FrameType::pad ? 0 : header.payload_bytes;
    const std::uint64_t from = offset_ + frame_header_bytes + payload;
    const std::uint64_t length = offset_ + header.frame_bytes() - from;
    const auto bytes = scanner_.bytes_at(from, length);
    if (!bytes || !all_zero(*bytes)) find("there are bytes where zeros should stand");
  }

  Status check_last_pad() {
    if (offset_ % limits::block_bytes == 0) return {};
    const auto frame = scanner_.frame_at(offset_);
    if (!frame) return fail(frame);
    if (!*frame || (*frame)->header.type != FrameType::pad) {
      find("the pad of the last commit is damaged");
      return {};
    }
    check_zeros((*frame)->header);
    return {};
  }

  Status resync() {
    const auto next = scanner_.find(offset_ + limits::frame_alignment, due_);
    if (!next) return fail(next);
    std::uint64_t sequence = end_sequence_;
    std::uint64_t to = scanner_.end();
    if (*next) {
      const auto frame = scanner_.frame_at(**next);
      if (!frame) return fail(frame);
      if (*frame && (*frame)->header.sequence < end_sequence_) {
        sequence = (*frame)->header.sequence;
        commit_ = (*frame)->header.commit;
        to = **next;
      }
    }
    find(sequence == due_ ? std::string("a frame is damaged")
                          : fmt::format("records {} to {} are damaged", due_, sequence - 1));
    report_.records_lost += sequence - due_;
    due_ = sequence;
    offset_ = to;
    return {};
  }

  const CatalogEntry& entry_;
  const std::uint64_t end_sequence_;
  Scanner scanner_;
  VerifyReport& report_;
  std::uint64_t due_;
  std::uint64_t commit_ = 0;
  std::uint64_t offset_ = first_commit_offset;
};

}  // namespace

Result<VerifyReport> verify(FileSystem& files, const std::string& directory) {
  const auto mark = read_commit_mark(files, directory);
  const auto catalog = read_catalog(files, directory, Look::thorough);
  if (!catalog) return fail(catalog);
  VerifyReport report;
  for (const std::string& path : catalog->unreadable) {
    report.findings.push_back(path + ": cannot be read");
  }
  if (!mark && !catalog->segments.empty()) {
    report.findings.push_back(directory + "/commit: the commit mark is missing or damaged");
    return report;
  }
  for (std::size_t i = 0; i < catalog->segments.size(); i++) {
    const CatalogEntry& entry = catalog->segments[i];
    const bool last = i + 1 == catalog->segments.size();
    if (entry.header.number > mark->segment) break;  // Begun after the mark was read.
    const auto file = open_for_scan(files, entry.path);
    if (!file) return fail(file);
    const auto bytes = (*file)->size();
    if (!bytes) return fail(bytes);
    const Status header_checked = check_header_block(**file, entry, report);
    if (!header_checked) return fail(header_checked);
    if (entry.header_damaged) report.findings.push_back(entry.path + ": the header is damaged");
    const bool current = entry.header.number == mark->segment;
    const std::uint64_t end_sequence =
        current || last ? mark->next_sequence : catalog->segments[i + 1].header.first_sequence;
    SegmentCheck check(**file, entry, current ? std::min(mark->offset, *bytes) : *bytes,
                       end_sequence, report);
    if (const Status checked = check.run(); !checked) return fail(checked);
    report.segments++;
  }
  return report;
}

}  // namespace inlet::journal
