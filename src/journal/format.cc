#include "journal/format.h"

#include <array>
#include <charconv>
#include <cstdio>

#include "base/check.h"
#include "base/crc32c.h"

namespace inlet::journal {
namespace {

constexpr std::uint64_t segment_magic = 0x4745535445'4C4E49;  // "INLETSEG"
constexpr std::uint64_t commit_magic = 0x544D435445'4C4E49;   // "INLETCMT"
constexpr std::string_view segment_file_prefix = "segment-";

// The crc of a 64-byte header that keeps it at bytes 12..15.
std::uint32_t header_crc(const std::byte* header) {
  return crc32c(Bytes(header + 16, 48), crc32c(Bytes(header, 12)));
}

enum Tag : std::uint8_t {
  tag_tenant = 1,
  tag_stream = 2,
  tag_content_type = 3,
  tag_content_encoding = 4,
  tag_peer = 5,
  tag_trace_id = 6,
  tag_idempotency_key = 7,
  tag_request_id = 8,
};

struct TaggedField {
  Tag tag;
  std::string_view Metadata::* field;
};

// In order of need: when space runs out the later ones are left out. The names, an encoding that
// intake knows and a key (at most 512 characters with quotes and escapes) always fit.
constexpr std::array tagged_fields{
    TaggedField{tag_tenant, &Metadata::tenant},
    TaggedField{tag_stream, &Metadata::stream},
    TaggedField{tag_content_encoding, &Metadata::content_encoding},
    TaggedField{tag_idempotency_key, &Metadata::idempotency_key},
    TaggedField{tag_content_type, &Metadata::content_type},
    TaggedField{tag_peer, &Metadata::peer},
    TaggedField{tag_trace_id, &Metadata::trace_id},
    TaggedField{tag_request_id, &Metadata::request_id},
};

constexpr std::size_t tag_bytes = 3;

}  // namespace

void encode_segment_header(const SegmentHeader& header, MutableBytes out) {
  CHECK(out.size() >= limits::block_bytes);
  std::memset(out.data(), 0, limits::block_bytes);
  std::byte* const at = out.data();
  store(at, segment_magic);
  store(at + 8, format_version);
  store(at + 16, header.salt);
  store(at + 24, header.number);
  store(at + 32, header.first_sequence);
  store(at + 40, header.journal_id);
  store(at + 48, header.created_us);
  store(at + 56, header.file_bytes);
  store(at + 12, header_crc(at));
}

Result<SegmentHeader> decode_segment_header(Bytes in) {
  const std::byte* const at = in.data();
  if (in.size() < 64 || load<std::uint64_t>(at) != segment_magic) {
    return fail(ErrorKind::corrupt, "not a segment header");
  }
  if (load<std::uint32_t>(at + 12) != header_crc(at)) {
    return fail(ErrorKind::corrupt, "segment header has a wrong checksum");
  }
  const auto version = load<std::uint32_t>(at + 8);
  if (version != format_version) {
    return fail(ErrorKind::reject, "segment has format version " + std::to_string(version) +
                                       ", this program knows version " +
                                       std::to_string(format_version));
  }
  return SegmentHeader{
      .salt = load<std::uint64_t>(at + 16),
      .number = load<std::uint64_t>(at + 24),
      .first_sequence = load<std::uint64_t>(at + 32),
      .journal_id = load<std::uint64_t>(at + 40),
      .created_us = load<std::int64_t>(at + 48),
      .file_bytes = load<std::uint64_t>(at + 56),
  };
}

void encode_frame_header(const FrameHeader& header, MutableBytes out) {
  CHECK(out.size() >= frame_header_bytes);
  std::byte* const at = out.data();
  store(at + 4, static_cast<std::uint8_t>(header.type));
  store(at + 5, std::uint8_t{0});
  store(at + 6, header.metadata_bytes);
  store(at + 8, header.salt);
  store(at + 16, header.segment);
  store(at + 24, header.offset);
  store(at + 32, header.sequence);
  store(at + 40, header.commit);
  store(at + 48, header.payload_bytes);
  store(at + 52, header.payload_crc);
  store(at + 56, header.received_us);
  store(at, crc32c(Bytes(at + 4, frame_header_bytes - 4)));
}

std::optional<FrameHeader> decode_frame_header(Bytes in) {
  const std::byte* const at = in.data();
  if (in.size() < frame_header_bytes) return std::nullopt;
  const auto type = load<std::uint8_t>(at + 4);
  if (type != static_cast<std::uint8_t>(FrameType::record) &&
      type != static_cast<std::uint8_t>(FrameType::pad)) {
    return std::nullopt;
  }
  if (load<std::uint32_t>(at) != crc32c(Bytes(at + 4, frame_header_bytes - 4))) {
    return std::nullopt;
  }
  const FrameHeader header{
      .type = static_cast<FrameType>(type),
      .metadata_bytes = load<std::uint16_t>(at + 6),
      .salt = load<std::uint64_t>(at + 8),
      .segment = load<std::uint64_t>(at + 16),
      .offset = load<std::uint64_t>(at + 24),
      .sequence = load<std::uint64_t>(at + 32),
      .commit = load<std::uint64_t>(at + 40),
      .payload_bytes = load<std::uint32_t>(at + 48),
      .payload_crc = load<std::uint32_t>(at + 52),
      .received_us = load<std::int64_t>(at + 56),
  };
  if (header.metadata_bytes > header.payload_bytes || header.sequence < header.commit) {
    return std::nullopt;
  }
  return header;
}

void encode_commit_mark(const CommitMark& mark, MutableBytes out) {
  CHECK(out.size() >= commit_mark_bytes);
  std::byte* const at = out.data();
  store(at, commit_magic);
  store(at + 8, format_version);
  store(at + 16, mark.salt);
  store(at + 24, mark.segment);
  store(at + 32, mark.offset);
  store(at + 40, mark.next_sequence);
  store(at + 48, mark.journal_id);
  store(at + 56, std::uint64_t{0});
  store(at + 12, header_crc(at));
}

std::optional<CommitMark> decode_commit_mark(Bytes in) {
  const std::byte* const at = in.data();
  if (in.size() < commit_mark_bytes || load<std::uint64_t>(at) != commit_magic ||
      load<std::uint32_t>(at + 8) != format_version ||
      load<std::uint32_t>(at + 12) != header_crc(at)) {
    return std::nullopt;
  }
  return CommitMark{
      .salt = load<std::uint64_t>(at + 16),
      .segment = load<std::uint64_t>(at + 24),
      .offset = load<std::uint64_t>(at + 32),
      .next_sequence = load<std::uint64_t>(at + 40),
      .journal_id = load<std::uint64_t>(at + 48),
  };
}

std::size_t metadata_size(const Metadata& metadata) {
  std::size_t size = 0;
  for (const auto& [tag, field] : tagged_fields) {
    if (!(metadata.*field).empty()) size += tag_bytes + (metadata.*field).size();
  }
  return size;
}

std::size_t encode_metadata(const Metadata& metadata, MutableBytes out) {
  std::size_t used = 0;
  for (const auto& [tag, field] : tagged_fields) {
    const std::string_view value = metadata.*field;
    if (value.empty() || used + tag_bytes + value.size() > limits::metadata_bytes_max) continue;
    CHECK(used + tag_bytes + value.size() <= out.size());
    store(out.data() + used, static_cast<std::uint8_t>(tag));
    store(out.data() + used + 1, static_cast<std::uint16_t>(value.size()));
    std::memcpy(out.data() + used + tag_bytes, value.data(), value.size());
    used += tag_bytes + value.size();
  }
  return used;
}

std::optional<Metadata> decode_metadata(Bytes in) {
  Metadata metadata;
  while (!in.empty()) {
    if (in.size() < tag_bytes) return std::nullopt;
    const auto tag = load<std::uint8_t>(in.data());
    const std::size_t length = load<std::uint16_t>(in.data() + 1);
    if (in.size() - tag_bytes < length) return std::nullopt;
    for (const auto& known : tagged_fields) {
      if (known.tag == tag) metadata.*known.field = as_text(in.subspan(tag_bytes, length));
    }
    in = in.subspan(tag_bytes + length);
  }
  return metadata;
}

std::string segment_file_name(std::uint64_t slot) {
  char text[40];
  std::snprintf(text, sizeof text, "segment-%06llu", static_cast<unsigned long long>(slot));
  return text;
}

std::optional<std::uint64_t> parse_segment_file_name(std::string_view name) {
  if (!name.starts_with(segment_file_prefix)) return std::nullopt;
  name.remove_prefix(segment_file_prefix.size());
  std::uint64_t slot = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), slot);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  if (segment_file_name(slot) != std::string(segment_file_prefix) + std::string(name)) {
    return std::nullopt;
  }
  return slot;
}

}  // namespace inlet::journal
