// Goal: what is compressed reads back whole, is the same every time, and streams do not mix.
// Method: round trips through the libraries' own readers in pieces of many sizes; the same pieces
//   through new and through used compressors.

#include "sinks/compress.h"

#include <gtest/gtest.h>

#include <random>

#include "codec/decode.h"

namespace inlet::sinks {
namespace {

std::string decoded(Compression compression, const std::string& bytes) {
  codec::Decoder decoder;
  std::string out;
  const codec::Encoding encoding = compression == Compression::gzip   ? codec::Encoding::gzip
                                   : compression == Compression::zstd ? codec::Encoding::zstd
                                                                      : codec::Encoding::identity;
  EXPECT_TRUE(decoder.decode(encoding, as_bytes(bytes), 64U << 20, out));
  return out;
}

std::string compressed(Compressor& compressor, std::string_view text, std::size_t piece_bytes) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece_bytes) {
    compressor.append(text.substr(at, piece_bytes), out);
  }
  compressor.finish(out);
  return out;
}

std::string sample(std::size_t bytes) {
  std::mt19937_64 random(7);
  std::string text;
  while (text.size() < bytes) text += std::to_string(random() % 100'000) + ",";
  return text;
}

class CompressTest : public testing::TestWithParam<Compression> {};

TEST_P(CompressTest, reads_back_whole_from_pieces_of_any_size) {
  Compressor compressor(GetParam(), 1);
  for (const std::size_t bytes : {0U, 1U, 1000U, 3'000'000U}) {
    const std::string text = sample(bytes);
    for (const std::size_t piece : {777U, 64U << 10, 10U << 20}) {
      EXPECT_EQ(decoded(GetParam(), compressed(compressor, text, piece)), text);
    }
  }
}

TEST_P(CompressTest, is_the_same_from_a_new_and_from_a_used_compressor) {
  const std::string text = sample(500'000);
  Compressor one(GetParam(), 1);
  const std::string first = compressed(one, text, 10'000);
  std::string thrown_away;
  one.append("left over from a failed object", thrown_away);
  one.reset();
  EXPECT_EQ(compressed(one, text, 10'000), first);
  Compressor other(GetParam(), 1);
  EXPECT_EQ(compressed(other, text, 10'000), first);
}

TEST_P(CompressTest, takes_levels_out_of_range_as_the_nearest) {
  for (const int level : {-1'000'000, 1'000'000}) {
    Compressor compressor(GetParam(), level);
    EXPECT_EQ(decoded(GetParam(), compressed(compressor, "abc", 10)), "abc");
  }
}

TEST_P(CompressTest, appends_to_what_is_there) {
  Compressor compressor(GetParam(), 1);
  std::string out = "before";
  compressor.append("abc", out);
  compressor.finish(out);
  EXPECT_TRUE(out.starts_with("before"));
  EXPECT_EQ(decoded(GetParam(), out.substr(6)), "abc");
}

INSTANTIATE_TEST_SUITE_P(All, CompressTest,
                         testing::Values(Compression::none, Compression::gzip, Compression::zstd));

}  // namespace
}  // namespace inlet::sinks
