// limits: every bound in the system that is not configuration, by name, and how they relate.
//
// Sizes are bytes, times microseconds, unless the name says otherwise.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace inlet::limits {

// The journal.
inline constexpr std::uint64_t block_bytes = 4096;    // Unit of writing to disk.
inline constexpr std::uint64_t frame_alignment = 64;  // Frames start on a multiple.
inline constexpr std::uint64_t segment_bytes_min = 1U << 20;
inline constexpr std::uint64_t segment_bytes_max = 1U << 30;
inline constexpr std::uint64_t commit_bytes_max =
    4U << 20;                                         // One write; one larger record may exceed it.
inline constexpr std::size_t commit_parts_max = 512;  // Pieces of one write (IOV_MAX is 1024).
inline constexpr std::size_t staging_chunk_bytes = 256U
                                                   << 10;  // Small records are gathered in these.
inline constexpr std::size_t staged_record_bytes_max = 64U
                                                       << 10;  // Larger ones are written in place.
inline constexpr std::size_t metadata_bytes_max = 2048;        // Encoded metadata of one record.

// The largest body that surely fits into a segment of that size, even behind a nearly full commit.
constexpr std::uint64_t body_bytes_max(std::uint64_t segment_bytes) {
  return segment_bytes / 2 - staged_record_bytes_max;
}

// Names.
inline constexpr std::size_t stream_name_bytes_max = 64;
inline constexpr std::size_t tenant_name_bytes_max = 64;
inline constexpr std::size_t sink_name_bytes_max = 64;

// HTTP (RFC 9112 section 3 asks for request lines of at least 8000 bytes).
inline constexpr std::size_t request_line_bytes_max = 8192;
inline constexpr std::size_t head_bytes_max = 16384;  // Request line and fields.
inline constexpr std::size_t fields_max = 100;
inline constexpr std::size_t chunk_line_bytes_max = 256;  // Size and extensions of one chunk.
inline constexpr std::size_t trailer_bytes_max = 4096;
inline constexpr std::size_t read_buffer_bytes_small = 4096;   // A connection starts with this
inline constexpr std::size_t read_buffer_bytes_large = 20480;  // and may grow to this.

static_assert(staged_record_bytes_max + metadata_bytes_max + frame_alignment <=
              staging_chunk_bytes - block_bytes);
static_assert(read_buffer_bytes_large >= head_bytes_max + read_buffer_bytes_small);
static_assert(request_line_bytes_max <= head_bytes_max);
static_assert(metadata_bytes_max + frame_alignment <= block_bytes);

}  // namespace inlet::limits
