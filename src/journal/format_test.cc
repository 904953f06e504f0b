// Goal: today's bytes decode tomorrow, and no damaged byte decodes at all.
// Method: golden bytes written out by hand, round trips, and every single-bit flip.

#include "journal/format.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace inlet::journal {
namespace {

std::string hex(Bytes bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<unsigned>(byte) >> 4];
    text += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

constexpr FrameHeader frame{.type = FrameType::record,
                            .metadata_bytes = 0x0102,
                            .salt = 0x1112131415161718,
                            .segment = 0x2122232425262728,
                            .offset = 0x3132333435363738,
                            .sequence = 0x4142434445464748,
                            .commit = 0x4142434445464740,
                            .payload_bytes = 0x51525354,
                            .payload_crc = 0x61626364,
                            .received_us = 0x7172737475767778};

constexpr SegmentHeader segment{.salt = 0x1112131415161718,
                                .number = 0x2122232425262728,
                                .first_sequence = 0x3132333435363738,
                                .journal_id = 0x4142434445464748,
                                .created_us = 0x5152535455565758,
                                .file_bytes = 0x6162636465666768};

constexpr CommitMark mark{.salt = 0x1112131415161718,
                          .segment = 0x2122232425262728,
                          .offset = 0x3132333435363738,
                          .next_sequence = 0x4142434445464748,
                          .journal_id = 0x5152535455565758};

TEST(GoldenBytes, of_a_frame_header) {
  std::array<std::byte, frame_header_bytes> bytes;
  encode_frame_header(frame, bytes);
  EXPECT_EQ(hex(Bytes(bytes).subspan(4)),
            "01000201"
            "1817161514131211"
            "2827262524232221"
            "3837363534333231"
            "4847464544434241"
            "4047464544434241"
            "54535251"
            "64636261"
            "7877767574737271");
  EXPECT_EQ(hex(Bytes(bytes).first(4)), "e8ed2915");
}

TEST(GoldenBytes, of_a_segment_header) {
  std::vector<std::byte> bytes(limits::block_bytes, std::byte{0xff});
  encode_segment_header(segment, bytes);
  EXPECT_EQ(hex(Bytes(bytes).first(64)),
            "494e4c4554534547010000008a413ad5"
            "1817161514131211"
            "2827262524232221"
            "3837363534333231"
            "4847464544434241"
            "5857565554535251"
            "6867666564636261");
  for (std::size_t i = 64; i < bytes.size(); i++) ASSERT_EQ(bytes[i], std::byte{0}) << i;
}

TEST(GoldenBytes, of_a_commit_mark) {
  std::array<std::byte, commit_mark_bytes> bytes;
  encode_commit_mark(mark, bytes);
  EXPECT_EQ(hex(bytes),
            "494e4c4554434d5401000000bc646a00"
            "1817161514131211"
            "2827262524232221"
            "3837363534333231"
            "4847464544434241"
            "5857565554535251"
            "0000000000000000");
}

TEST(GoldenBytes, of_metadata) {
  std::array<std::byte, limits::metadata_bytes_max> bytes;
  const std::size_t used = encode_metadata({.tenant = "t", .stream = "ab", .peer = "::1"}, bytes);
  EXPECT_EQ(hex(Bytes(bytes).first(used)),
            "01010074"
            "0202006162"
            "0503003a3a31");
}

TEST(Headers, survive_the_round_trip) {
  std::array<std::byte, frame_header_bytes> frame_bytes;
  encode_frame_header(frame, frame_bytes);
  EXPECT_EQ(decode_frame_header(frame_bytes), frame);
  std::vector<std::byte> block(limits::block_bytes);
  encode_segment_header(segment, block);
  const auto decoded = decode_segment_header(block);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, segment);
  std::array<std::byte, commit_mark_bytes> mark_bytes;
  encode_commit_mark(mark, mark_bytes);
  EXPECT_EQ(decode_commit_mark(mark_bytes), mark);
}

template <typename Decodes>
void expect_every_flip_detected(MutableBytes bytes, Decodes decodes) {
  for (std::size_t bit = 0; bit < 64 * 8; bit++) {
    const std::byte mask{static_cast<unsigned char>(1U << (bit % 8))};
    bytes[bit / 8] ^= mask;
    EXPECT_FALSE(decodes()) << "bit " << bit;
    bytes[bit / 8] ^= mask;
  }
  EXPECT_TRUE(decodes());
}

TEST(Headers, refuse_every_single_bit_flip) {
  std::vector<std::byte> bytes(limits::block_bytes);
  encode_frame_header(frame, bytes);
  expect_every_flip_detected(bytes, [&] { return decode_frame_header(bytes).has_value(); });
  encode_segment_header(segment, bytes);
  expect_every_flip_detected(bytes, [&] { return decode_segment_header(bytes).has_value(); });
  encode_commit_mark(mark, bytes);
  expect_every_flip_detected(bytes, [&] { return decode_commit_mark(bytes).has_value(); });
}

TEST(Metadata, survives_the_round_trip_and_leaves_out_what_does_not_fit) {
  std::array<std::byte, limits::metadata_bytes_max> bytes;
  const Metadata all{"acme", "web", "text/plain", "gzip", "10.0.0.1:99", "trace", "key"};
  ASSERT_EQ(encode_metadata(all, bytes), metadata_size(all));
  EXPECT_EQ(decode_metadata(Bytes(bytes).first(metadata_size(all))), all);

  const std::string huge(limits::metadata_bytes_max, 'x');
  Metadata too_much = all;
  too_much.content_type = huge;
  const std::size_t used = encode_metadata(too_much, bytes);
  too_much.content_type = {};
  EXPECT_EQ(decode_metadata(Bytes(bytes).first(used)), too_much);
}

TEST(Metadata, refuses_truncated_bytes_and_skips_unknown_tags) {
  std::array<std::byte, limits::metadata_bytes_max> bytes;
  const std::size_t used = encode_metadata({.tenant = "acme"}, bytes);
  for (std::size_t cut = 1; cut < used; cut++) {
    EXPECT_FALSE(decode_metadata(Bytes(bytes).first(cut))) << cut;
  }
  bytes[0] = std::byte{200};
  EXPECT_EQ(decode_metadata(Bytes(bytes).first(used)), Metadata{});
}

TEST(SegmentHeader, of_another_version_is_refused_by_name) {
  std::vector<std::byte> bytes(limits::block_bytes);
  encode_segment_header(segment, bytes);
  store(bytes.data() + 8, std::uint32_t{2});
  store(bytes.data() + 12, std::uint32_t{0x3c652a85});  // What a version 2 header would carry.
  const auto refused = decode_segment_header(bytes);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::reject);
  EXPECT_NE(refused.error().what.find("version 2"), std::string::npos);
}

TEST(SegmentFileNames, survive_the_round_trip_and_no_other_name_passes) {
  for (const std::uint64_t slot : {1ULL, 42ULL, 999999ULL, 12345678ULL}) {
    EXPECT_EQ(parse_segment_file_name(segment_file_name(slot)), slot);
  }
  for (const char* other :
       {"segment-", "segment-1", "segment-00001x", "commit", "segment--00001"}) {
    EXPECT_FALSE(parse_segment_file_name(other)) << other;
  }
}

}  // namespace
}  // namespace inlet::journal
