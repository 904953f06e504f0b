#include "journal/scanner.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"

namespace inlet::journal {
namespace {

constexpr std::uint64_t window_bytes_min = 1U << 20;
constexpr int block_read_attempts = 3;

}  // namespace

Scanner::Scanner(File& file, std::uint64_t salt, std::uint64_t segment, std::uint64_t end_offset)
    : file_(file), salt_(salt), segment_(segment), end_offset_(end_offset) {}

Result<Bytes> Scanner::window(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = std::min(offset + length, end_offset_);
  if (offset >= end) return Bytes{};
  if (offset < window_offset_ || end > window_offset_ + window_bytes_) {
    const std::uint64_t start = round_down(offset, limits::block_bytes);
    const std::uint64_t wanted =
        std::max(window_bytes_min, round_up(end - start, limits::block_bytes));
    if (buffer_.size() < wanted) {
      buffer_.reset();
      pool_.trim(0);
      buffer_ = pool_.acquire(wanted);
      CHECK(buffer_);
    }
    // Nothing beyond the limit is read: it may be being written at this moment.
    const std::uint64_t limit = round_up(end_offset_, limits::block_bytes);
    window_bytes_ = 0;
    const auto got = read(buffer_.bytes().first(std::min(wanted, limit - start)), start);
    if (!got) return fail(got);
    window_offset_ = start;
    window_bytes_ = *got;
  }
  if (offset >= window_offset_ + window_bytes_) return Bytes{};
  const std::uint64_t have = std::min(end, window_offset_ + window_bytes_) - offset;
  return Bytes(buffer_.bytes()).subspan(offset - window_offset_, have);
}

Result<std::size_t> Scanner::read(MutableBytes out, std::uint64_t offset) {
  auto whole = file_.read_at(out, offset);
  if (whole || whole.error().os != EIO) return whole;
  std::size_t done = 0;
  while (done < out.size()) {
    const MutableBytes block = out.subspan(done, limits::block_bytes);
    auto got = file_.read_at(block, offset + done);
    for (int again = 1; !got && again < block_read_attempts; again++) {
      got = file_.read_at(block, offset + done);
    }
    if (!got && got.error().os != EIO) return got;
    if (got && *got == 0) break;
    if (!got) std::memset(block.data(), 0, block.size());
    done += got ? *got : block.size();
  }
  return done;
}

bool Scanner::belongs(const FrameHeader& header, std::uint64_t offset) const {
  return header.salt == salt_ && header.segment == segment_ && header.offset == offset &&
         frame_header_bytes + std::uint64_t{header.payload_bytes} <= end_offset_ - offset;
}

Result<std::optional<Scanner::Frame>> Scanner::frame_at(std::uint64_t offset) {
  const auto head = window(offset, frame_header_bytes);
  if (!head) return fail(head);
  const auto header = decode_frame_header(*head);
  if (!header || !belongs(*header, offset)) return std::nullopt;
  if (header->type == FrameType::pad) return Frame{*header, true, {}};
  const auto whole = window(offset, frame_header_bytes + header->payload_bytes);
  if (!whole) return fail(whole);
  if (whole->size() < frame_header_bytes + header->payload_bytes) {
    return Frame{*header, false, {}};  // The file ends early.
  }
  const Bytes payload = whole->subspan(frame_header_bytes);
#if INLET_MUTANT_no_checksum_on_read
  return Frame{*header, true, payload};
#else
  return Frame{*header, crc32c(payload) == header->payload_crc, payload};
#endif
}

Result<std::optional<std::uint64_t>> Scanner::find(std::uint64_t from, std::uint64_t sequence_min) {
  CHECK(from % limits::frame_alignment == 0);
  for (std::uint64_t offset = from; offset + frame_header_bytes <= end_offset_;) {
    const auto bytes = window(offset, window_bytes_min / 2);
    if (!bytes) return fail(bytes);
    if (bytes->size() < frame_header_bytes) return std::nullopt;
    std::size_t at = 0;
    for (; at + frame_header_bytes <= bytes->size(); at += limits::frame_alignment) {
      if (load<std::uint64_t>(bytes->data() + at + 8) != salt_) continue;
      const auto header = decode_frame_header(bytes->subspan(at));
      if (header && belongs(*header, offset + at) && header->sequence >= sequence_min) {
        return offset + at;
      }
    }
    offset += at;
  }
  return std::nullopt;
}

Result<std::unique_ptr<File>> open_for_scan(FileSystem& files, const std::string& path) {
  auto direct = files.open(path, {.direct = true});
  if (direct || direct.error().os != EINVAL) return direct;
  return files.open(path, {});
}

}  // namespace inlet::journal
