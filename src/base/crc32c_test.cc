// Goal: the fast checksum is CRC-32C for every length and split.
// Method: published vectors (RFC 3720 B.4), then every length up to several stripes against the
// table, whole and in two parts.

#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace inlet {
namespace {

TEST(Crc32c, matches_the_published_vectors) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);
  const std::vector<std::byte> zeros(32, std::byte{0});
  const std::vector<std::byte> ones(32, std::byte{0xff});
  EXPECT_EQ(crc32c(zeros), 0x8A9136AAu);
  EXPECT_EQ(crc32c(ones), 0x62A8AB43u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, agrees_with_the_table_for_every_length_and_split) {
  std::vector<std::byte> bytes(2000);
  std::uint32_t state = 12345;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  for (std::size_t length = 0; length <= bytes.size(); length++) {
    const Bytes all = Bytes(bytes).first(length);
    const std::uint32_t expected = crc32c_portable(all);
    ASSERT_EQ(crc32c(all), expected) << "length " << length;
    const std::size_t split = length / 3;
    ASSERT_EQ(crc32c(all.subspan(split), crc32c(all.first(split))), expected) << length;
  }
}

}  // namespace
}  // namespace inlet
