// format: the bytes of the journal. Constants, encoding and decoding; no I/O.
//
// A segment is a file of fixed size:
//
//   block 0            segment header
//   block 1 ...        commits, back to back; each starts on a block boundary (4096 bytes)
//   rest               zeros, or what an earlier life of the file left behind
//
// Segment header (block 0, little-endian, zeros to the end of the block):
//
//    0  u64 magic "INLETSEG"        8  u32 version            12  u32 crc of bytes 0..11, 16..63
//   16  u64 salt                   24  u64 segment number     32  u64 first sequence
//   40  u64 journal id             48  i64 created, us        56  u64 file bytes
//
// A commit is one or more frames; frames start on multiples of 64 bytes. Frame header (64 bytes):
//
//    0  u32 crc of bytes 4..63      4  u8  type (1 record, 2 pad)   5  u8 0   6  u16 metadata bytes
//    8  u64 salt                   16  u64 segment number     24  u64 offset of this header
//   32  u64 sequence               40  u64 commit             48  u32 payload bytes
//   52  u32 crc of payload         56  i64 received, us
//
//   payload = metadata, body. metadata = (u8 tag, u16 length, bytes)*; unknown tags are skipped.
//   A pad fills up to the next block boundary; its payload is zeros and not checked. It carries the
//   sequence of the record that follows it.
//
// A frame at offset o of a segment is valid if and only if
//   (1) its header's crc is right, (2) salt, segment number and offset are those of its place,
//   (3) its payload ends inside the segment and (4) the payload's crc is right.
//
// Sequence numbers count records over the whole journal, from 1. `commit` is the sequence of the
// first record of the frame's commit: a frame with sequence == commit starts a commit. Because a
// commit is written only after the one before it was flushed, any valid frame of a later commit
// proves that all earlier ones were acknowledged.
//
// The commit mark (file "commit", 64 bytes, not flushed: a hint that may lag, never lead):
//
//    0  u64 magic "INLETCMT"        8  u32 version            12  u32 crc of bytes 0..11, 16..63
//   16  u64 salt                   24  u64 segment number     32  u64 end offset
//   40  u64 next sequence          48  u64 journal id         56  u64 0

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"
#include "base/time.h"

namespace inlet::journal {

inline constexpr std::uint32_t format_version = 1;
inline constexpr std::size_t segment_header_bytes = 64;
inline constexpr std::size_t frame_header_bytes = 64;
inline constexpr std::size_t commit_mark_bytes = 64;
inline constexpr std::uint64_t first_commit_offset = limits::block_bytes;

struct SegmentHeader {
  std::uint64_t salt;            // Random per life of the file.
  std::uint64_t number;          // Counts up over the journal, from 1.
  std::uint64_t first_sequence;  // Of the first record in it.
  std::uint64_t journal_id;
  Microseconds created_us;
  std::uint64_t file_bytes;

  bool operator==(const SegmentHeader&) const = default;
};

enum class FrameType : std::uint8_t { record = 1, pad = 2 };

struct FrameHeader {
  FrameType type;
  std::uint16_t metadata_bytes;
  std::uint64_t salt;
  std::uint64_t segment;
  std::uint64_t offset;
  std::uint64_t sequence;
  std::uint64_t commit;
  std::uint32_t payload_bytes;  // Metadata and body.
  std::uint32_t payload_crc;
  Microseconds received_us;

  bool operator==(const FrameHeader&) const = default;

  // Where the next frame starts, relative to this one.
  [[nodiscard]] std::uint64_t frame_bytes() const {
    return round_up(frame_header_bytes + std::uint64_t{payload_bytes}, limits::frame_alignment);
  }
};

struct CommitMark {
  std::uint64_t salt;
  std::uint64_t segment;
  std::uint64_t offset;         // First byte after the last commit.
  std::uint64_t next_sequence;  // Of the record after the last committed one.
  std::uint64_t journal_id;

  bool operator==(const CommitMark&) const = default;
};

// What is kept of a request beside its body. Views are borrowed.
struct Metadata {
  std::string_view tenant;
  std::string_view stream;
  std::string_view content_type;
  std::string_view content_encoding;
  std::string_view peer;      // Address of the client.
  std::string_view trace_id;  // A traceparent or an X-Amzn-Trace-Id, as the client sent it.
  std::string_view idempotency_key;
  std::string_view request_id = {};  // The client's.

  bool operator==(const Metadata&) const = default;
};

// One record as it stands in the journal. Views are borrowed from the reader's buffer.
struct Record {
  std::uint64_t sequence;
  Microseconds received_us;
  Metadata metadata;
  Bytes body;
};

// A place in the journal, just before the record `sequence`. Ordered by sequence.
struct Position {
  std::uint64_t segment = 0;  // 0: unknown; found by sequence.
  std::uint64_t offset = 0;
  std::uint64_t sequence = 1;

  bool operator==(const Position&) const = default;
};

// `out` is at least one block; all of it is written.
void encode_segment_header(const SegmentHeader& header, MutableBytes out);
// ErrorKind::corrupt if damaged or not a segment; ErrorKind::reject if of a newer version.
[[nodiscard]] Result<SegmentHeader> decode_segment_header(Bytes in);

// `out` is at least frame_header_bytes.
void encode_frame_header(const FrameHeader& header, MutableBytes out);
// Empty unless rule (1) holds and the type is known. The caller checks rules (2) to (4).
[[nodiscard]] std::optional<FrameHeader> decode_frame_header(Bytes in);

void encode_commit_mark(const CommitMark& mark, MutableBytes out);
[[nodiscard]] std::optional<CommitMark> decode_commit_mark(Bytes in);

// Encoded size; fields longer than what metadata_bytes_max leaves are cut by encode_metadata.
[[nodiscard]] std::size_t metadata_size(const Metadata& metadata);
// Writes at most limits::metadata_bytes_max bytes to `out`, which has room for them; returns how
// many. A field that does not fit is left out, the longest and least needed last in line.
std::size_t encode_metadata(const Metadata& metadata, MutableBytes out);
// Empty if the bytes are not well formed.
[[nodiscard]] std::optional<Metadata> decode_metadata(Bytes in);

// "segment-000001": the name of a segment's file. Files keep their names over their lives.
[[nodiscard]] std::string segment_file_name(std::uint64_t slot);
// The slot of a segment file's name; empty for any other name.
[[nodiscard]] std::optional<std::uint64_t> parse_segment_file_name(std::string_view name);

inline constexpr std::string_view commit_file_name = "commit";
inline constexpr std::string_view lock_file_name = "lock";
inline constexpr std::string_view cursors_directory_name = "cursors";
inline constexpr std::string_view quarantine_directory_name = "quarantine";

}  // namespace inlet::journal
