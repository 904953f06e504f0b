// batch: the records that will go to disk together in one write.
//
// Loops add records as they arrive; the committer seals the batch once it knows where it will
// stand, and writes parts() with one system call. Small records are copied into staging chunks;
// large ones are written from the buffer they were received in. Every part starts on a block and
// fills whole blocks (pads, format.h), as O_DIRECT wants.
//
// Not synchronised: the journal's mutex guards adding, sealing is the committer's alone.

#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "journal/buffers.h"
#include "journal/format.h"

namespace inlet::journal {

// How an append ended.
enum class CommitResult : std::uint8_t {
  committed,  // On stable storage.
  failed,     // The disk refused; the record is not stored.
  no_space,   // There was no segment to write to; the record is not stored.
};

// One append under way. The caller keeps it, unmoved, from append() to its completion.
struct Ticket {
  Ticket* next = nullptr;
  unsigned loop = 0;  // Where the completion goes; set by the caller.
  CommitResult result = CommitResult::failed;
  std::uint64_t sequence = 0;  // Set when committed.
  Buffer buffer;               // A large record's memory until it is written.
};

// A record being received: metadata first, then room for the body, placed so that the whole frame
// can be written where it is.
class RecordBuffer {
 public:
  RecordBuffer() = default;
  // Encodes `metadata` into `buffer`, which must have frame_bytes_for(metadata, body) bytes.
  RecordBuffer(Buffer buffer, const Metadata& metadata);

  [[nodiscard]] static std::size_t bytes_for(const Metadata& metadata, std::size_t body_bytes);

  explicit operator bool() const { return static_cast<bool>(buffer_); }
  // All room there is for the body.
  [[nodiscard]] MutableBytes body_space() const;
  // Moves this record, with `body_bytes` of its body, into a larger buffer.
  void grow(Buffer larger, std::size_t body_bytes);
  void reset() { buffer_.reset(); }

 private:
  friend class Batch;
  [[nodiscard]] Bytes payload(std::size_t body_bytes) const;

  Buffer buffer_;
  std::size_t metadata_bytes_ = 0;
};

class Batch {
 public:
  // Calls itself full() from `bytes_full` on; the last record may take it past that.
  Batch(BufferPool& pool, std::uint64_t bytes_full) : pool_(pool), bytes_full_(bytes_full) {}
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // False if there is no memory; then nothing was added. The views are copied.
  [[nodiscard]] bool add(Ticket& ticket, const Metadata& metadata, Bytes body,
                         Microseconds received_us);
  // The same for a record already in a buffer; takes the buffer if the record is large.
  [[nodiscard]] bool add(Ticket& ticket, RecordBuffer& record, std::size_t body_bytes,
                         Microseconds received_us);

  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  [[nodiscard]] bool full() const {
    return bytes_ >= bytes_full_ || parts_.size() >= limits::commit_parts_max;
  }
  // Bytes on disk if sealed now.
  [[nodiscard]] std::uint64_t bytes() const { return round_up(bytes_, limits::block_bytes); }
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t body_bytes() const { return body_bytes_; }

  struct Place {
    std::uint64_t salt;
    std::uint64_t segment;
    std::uint64_t offset;
    std::uint64_t first_sequence;
  };
  // Completes every frame for where the batch will stand and numbers the tickets.
  void seal(const Place& place);
  // After seal(): whole blocks, in order.
  [[nodiscard]] std::span<const iovec> parts() const { return parts_; }

  // Takes all tickets, oldest first, and makes the batch empty for reuse.
  [[nodiscard]] Ticket* take_tickets();
#if INLET_MUTANT_answer_before_flush
  [[nodiscard]] Ticket* take_tickets_early() { return std::exchange(first_, nullptr); }
#endif

 private:
  struct NewFrame {
    std::size_t metadata_bytes;
    std::size_t payload_bytes;
    std::uint32_t payload_crc;
    Microseconds received_us;
  };
  [[nodiscard]] std::byte* stage(std::size_t frame_bytes);
  void close_chunk();
  void enlist(Ticket& ticket, std::uint64_t frame_bytes, std::size_t body_bytes);

  BufferPool& pool_;
  const std::uint64_t bytes_full_;
  std::vector<iovec> parts_;  // The last one is the open chunk while chunk_ is set.
  std::vector<Buffer> chunks_;
  std::byte* chunk_ = nullptr;  // Open staging chunk
  std::size_t chunk_used_ = 0;  // and how much of it holds frames.
  Ticket* first_ = nullptr;
  Ticket* last_ = nullptr;
  std::uint64_t bytes_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t body_bytes_ = 0;
};

}  // namespace inlet::journal
