#include "journal/batch.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"

namespace inlet::journal {
namespace {

// Writes what is known of a frame before its place is: seal() completes it.
void draft_header(std::byte* at, FrameType type, std::size_t metadata_bytes,
                  std::size_t payload_bytes, std::uint32_t payload_crc, Microseconds received_us) {
  CHECK(payload_bytes <= UINT32_MAX && metadata_bytes <= payload_bytes);
  store(at + 4, static_cast<std::uint8_t>(type));
  store(at + 5, std::uint8_t{0});
  store(at + 6, static_cast<std::uint16_t>(metadata_bytes));
  store(at + 48, static_cast<std::uint32_t>(payload_bytes));
  store(at + 52, payload_crc);
  store(at + 56, received_us);
}

// Fills [used, next block boundary) with a pad.
void draft_pad(std::byte* start, std::size_t used) {
  const std::size_t end = round_up(used, limits::block_bytes);
  if (end == used) return;
  const std::size_t payload_bytes = end - used - frame_header_bytes;
  draft_header(start + used, FrameType::pad, 0, payload_bytes, 0, 0);
  std::memset(start + used + frame_header_bytes, 0, payload_bytes);
}

// Zeros between the end of a payload and the next frame.
void clear_gap(std::byte* frame, std::size_t payload_bytes) {
  const std::size_t end = frame_header_bytes + payload_bytes;
  std::memset(frame + end, 0, round_up(end, limits::frame_alignment) - end);
}

}  // namespace

RecordBuffer::RecordBuffer(Buffer buffer, const Metadata& metadata) : buffer_(std::move(buffer)) {
  metadata_bytes_ = encode_metadata(metadata, buffer_.bytes().subspan(frame_header_bytes));
}

std::size_t RecordBuffer::bytes_for(const Metadata& metadata, std::size_t body_bytes) {
  const std::size_t metadata_bytes = std::min(metadata_size(metadata), limits::metadata_bytes_max);
  return round_up(frame_header_bytes + metadata_bytes + body_bytes, limits::block_bytes);
}

MutableBytes RecordBuffer::body_space() const {
  return buffer_.bytes().subspan(frame_header_bytes + metadata_bytes_);
}

void RecordBuffer::grow(Buffer larger, std::size_t body_bytes) {
  const std::size_t used = frame_header_bytes + metadata_bytes_ + body_bytes;
  CHECK(larger.size() >= used);
  std::memcpy(larger.bytes().data(), buffer_.bytes().data(), used);
  buffer_ = std::move(larger);
}

Bytes RecordBuffer::payload(std::size_t body_bytes) const {
  return buffer_.bytes().subspan(frame_header_bytes, metadata_bytes_ + body_bytes);
}

std::byte* Batch::stage(std::size_t frame_bytes) {
  if (chunk_ != nullptr && chunk_used_ + frame_bytes > limits::staging_chunk_bytes) close_chunk();
  if (chunk_ == nullptr) {
    Buffer chunk = pool_.acquire(limits::staging_chunk_bytes);
    if (!chunk) return nullptr;
    chunk_ = chunk.bytes().data();
    chunk_used_ = 0;
    parts_.push_back({chunk_, 0});
    chunks_.push_back(std::move(chunk));
  }
  std::byte* const at = chunk_ + chunk_used_;
  chunk_used_ += frame_bytes;
  return at;
}

void Batch::close_chunk() {
  if (chunk_ == nullptr) return;
  draft_pad(chunk_, chunk_used_);
  parts_.back().iov_len = round_up(chunk_used_, limits::block_bytes);
  bytes_ = round_up(bytes_, limits::block_bytes);
  chunk_ = nullptr;
}

void Batch::enlist(Ticket& ticket, std::uint64_t frame_bytes, std::size_t body_bytes) {
  ticket.next = nullptr;
  if (last_ == nullptr) {
    first_ = &ticket;
  } else {
    last_->next = &ticket;
  }
  last_ = &ticket;
  bytes_ += frame_bytes;
  records_++;
  body_bytes_ += body_bytes;
}

bool Batch::add(Ticket& ticket, const Metadata& metadata, Bytes body, Microseconds received_us) {
  CHECK(body.size() <= limits::staged_record_bytes_max);
  const std::size_t payload_max =
      std::min(metadata_size(metadata), limits::metadata_bytes_max) + body.size();
  const std::size_t frame_bytes =
      round_up(frame_header_bytes + payload_max, limits::frame_alignment);
  std::byte* const frame = stage(frame_bytes);
  if (frame == nullptr) return false;
  const MutableBytes payload(frame + frame_header_bytes, frame_bytes - frame_header_bytes);
  const std::size_t metadata_bytes = encode_metadata(metadata, payload);
  if (!body.empty()) std::memcpy(payload.data() + metadata_bytes, body.data(), body.size());
  const std::size_t payload_bytes = metadata_bytes + body.size();
  draft_header(frame, FrameType::record, metadata_bytes, payload_bytes,
               crc32c(payload.first(payload_bytes)), received_us);
  clear_gap(frame, payload_bytes);
  // Metadata that did not fit was left out: give back what it was promised.
  const std::size_t used = round_up(frame_header_bytes + payload_bytes, limits::frame_alignment);
  chunk_used_ -= frame_bytes - used;
  enlist(ticket, used, body.size());
  return true;
}

bool Batch::add(Ticket& ticket, RecordBuffer& record, std::size_t body_bytes,
                Microseconds received_us) {
  const Bytes payload = record.payload(body_bytes);
  const std::size_t frame_bytes =
      round_up(frame_header_bytes + payload.size(), limits::frame_alignment);
  const bool in_place = body_bytes > limits::staged_record_bytes_max;
  std::byte* frame = record.buffer_.bytes().data();
  if (in_place) {
    close_chunk();
    parts_.push_back({frame, round_up(frame_bytes, limits::block_bytes)});
  } else {
    frame = stage(frame_bytes);
    if (frame == nullptr) return false;
    std::memcpy(frame + frame_header_bytes, payload.data(), payload.size());
  }
  draft_header(frame, FrameType::record, record.metadata_bytes_, payload.size(), crc32c(payload),
               received_us);
  clear_gap(frame, payload.size());
  enlist(ticket, frame_bytes, body_bytes);
  if (in_place) {
    draft_pad(frame, frame_bytes);
    bytes_ = round_up(bytes_, limits::block_bytes);
    ticket.buffer = std::move(record.buffer_);
  }
  return true;
}

void Batch::seal(const Place& place) {
  close_chunk();
  std::uint64_t offset = place.offset;
  std::uint64_t sequence = place.first_sequence;
  Ticket* ticket = first_;
  for (const iovec& part : parts_) {
    auto* const start = static_cast<std::byte*>(part.iov_base);
    for (std::size_t at = 0; at < part.iov_len;) {
      std::byte* const frame = start + at;
      const auto payload_bytes = load<std::uint32_t>(frame + 48);
      store(frame + 8, place.salt);
      store(frame + 16, place.segment);
      store(frame + 24, offset + at);
      store(frame + 32, sequence);
      store(frame + 40, place.first_sequence);
      store(frame, crc32c(Bytes(frame + 4, frame_header_bytes - 4)));
      if (load<std::uint8_t>(frame + 4) == static_cast<std::uint8_t>(FrameType::record)) {
        CHECK(ticket != nullptr);
        ticket->sequence = sequence++;
        ticket = ticket->next;
      }
      at += round_up(frame_header_bytes + std::uint64_t{payload_bytes}, limits::frame_alignment);
    }
    offset += part.iov_len;
  }
  CHECK(ticket == nullptr && sequence == place.first_sequence + records_);
  CHECK(offset - place.offset == bytes());
}

Ticket* Batch::take_tickets() {
  Ticket* const tickets = first_;
  first_ = last_ = nullptr;
  chunk_ = nullptr;
  chunks_.clear();
  parts_.clear();
  bytes_ = records_ = body_bytes_ = 0;
  return tickets;
}

}  // namespace inlet::journal
