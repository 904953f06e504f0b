// Goal: bodies have the size asked for, name their run and number, and betray any change.
// Method: sizes around every border, each byte of the pad altered in turn, and a real compressor.

#include "load/body.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <set>
#include <vector>

namespace inlet::loader {
namespace {

constexpr const char* run = "00112233445566ff";

std::string make(BodyMaker& maker, std::uint64_t number) {
  std::string body;
  const BodyParts parts = maker.append(number, body);
  return body.append(parts.middle).append(parts.end);
}

std::string pad_of(const std::string& body) {
  const std::size_t at = body.find("\"pad\":\"") + 7;
  return body.substr(at, body.size() - 2 - at);
}

TEST(BodyMaker, makes_exactly_the_size_asked_for_whatever_the_number) {
  for (const std::size_t bytes : {64u, 65u, 100u, 256u, 4143u, 4200u, 16384u, 300000u}) {
    BodyMaker maker({.run = run, .bytes = bytes});
    for (std::uint64_t number = 1; number < 10000000000000000u; number = number * 10 - 1) {
      const std::string body = make(maker, number);
      ASSERT_EQ(body.size(), bytes) << number;
      const std::string start =
          "{\"run\":\"" + std::string(run) + "\",\"n\":" + std::to_string(number) + ",\"pad\":\"";
      ASSERT_TRUE(body.starts_with(start)) << body;
      ASSERT_TRUE(body.ends_with("\"}"));
      ASSERT_TRUE(is_intact(run, number, pad_of(body)));
      ASSERT_EQ(make(maker, number), body);
      if (number == 1) number = 2;
    }
  }
}

TEST(BodyMaker, any_altered_byte_number_or_run_shows) {
  BodyMaker maker({.run = run, .bytes = 200});
  std::string pad = pad_of(make(maker, 77));
  for (char& c : pad) {
    c = static_cast<char>(c ^ 1);
    EXPECT_FALSE(is_intact(run, 77, pad));
    c = static_cast<char>(c ^ 1);
  }
  EXPECT_TRUE(is_intact(run, 77, pad));
  EXPECT_FALSE(is_intact(run, 78, pad));
  EXPECT_FALSE(is_intact("00112233445566fe", 77, pad));
  EXPECT_FALSE(is_intact(run, 77, pad.substr(0, pad.size() - 1)));
  EXPECT_FALSE(is_intact(run, 77, ""));
}

// How many bytes 2000 bodies of 1 KiB are after gzip, in percent.
int percent_after_gzip(Entropy entropy) {
  BodyMaker maker({.run = run, .bytes = 1024, .entropy = entropy, .seed = 3});
  std::string all;
  for (std::uint64_t number = 1; number <= 2000; number++) all += make(maker, number);
  uLongf packed_bytes = ::compressBound(all.size());
  std::vector<Bytef> packed(packed_bytes);
  EXPECT_EQ(::compress2(packed.data(), &packed_bytes, reinterpret_cast<const Bytef*>(all.data()),
                        all.size(), 6),
            Z_OK);
  return static_cast<int>(packed_bytes * 100 / all.size());
}

TEST(BodyMaker, entropy_decides_how_well_bodies_compress) {
  EXPECT_LT(percent_after_gzip(Entropy::none), 8);
  const int text = percent_after_gzip(Entropy::text);
  EXPECT_GT(text, 20);
  EXPECT_LT(text, 50);
  EXPECT_GT(percent_after_gzip(Entropy::random), 70);
}

TEST(BodyMaker, neighbouring_bodies_differ_even_when_they_are_large) {
  for (const std::size_t bytes : {256u, 1u << 20, 8u << 20}) {
    BodyMaker maker({.run = run, .bytes = bytes, .entropy = Entropy::random});
    const std::string one = pad_of(make(maker, 1));
    const std::string two = pad_of(make(maker, 2));
    std::size_t same = 0;
    for (std::size_t i = 0; i < one.size(); i++) same += one[i] == two[i];
    EXPECT_LT(same, one.size() / 20 + 10) << bytes;
  }
}

}  // namespace
}  // namespace inlet::loader
