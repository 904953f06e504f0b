// Goal: what sinks write can be read by everyone: base64 and times are exactly by the standards.
// Method: the RFC's own vectors, the C library as the oracle over random times, and the edges.

#include "sinks/text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <ctime>
#include <random>

namespace inlet::sinks {
namespace {

std::string base64(std::string_view text) {
  std::string out;
  append_base64(out, as_bytes(text));
  return out;
}

std::string rfc3339(Microseconds at) {
  std::string out;
  append_rfc3339(out, at);
  return out;
}

TEST(Base64, gives_the_vectors_of_rfc_4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xfb\xff\xfe"), "+//+");
}

TEST(Base64, pieces_of_whole_triples_join) {
  std::string out = "x";
  append_base64(out, as_bytes("foo"));
  append_base64(out, as_bytes("ba"));
  EXPECT_EQ(out, "xZm9vYmE=");
}

TEST(Rfc3339, shows_known_times) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(rfc3339(1'709'164'799'000'001), "2024-02-28T23:59:59.000001Z");
  EXPECT_EQ(rfc3339(1'709'251'199'999'999), "2024-02-29T23:59:59.999999Z");
  EXPECT_EQ(rfc3339(INT64_MAX), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(rfc3339(INT64_MIN), "0000-01-01T00:00:00.000000Z");
}

TEST(Rfc3339, agrees_with_the_c_library) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::int64_t> seconds(0, 253'402'300'799);
  for (int i = 0; i < 10'000; i++) {
    const std::time_t at = seconds(random);
    std::tm utc{};
    ::gmtime_r(&at, &utc);
    char expected[64];
    std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000Z", &utc);
    ASSERT_EQ(rfc3339(at * 1'000'000), expected);
    std::strftime(expected, sizeof expected, "date=%Y-%m-%d/hour=%H", &utc);
    ASSERT_EQ(hour_path(utc_hour(at * 1'000'000)), expected);
  }
}

TEST(Hours, change_on_the_hour_in_utc_and_survive_extreme_times) {
  EXPECT_EQ(utc_hour(hour_us - 1), 0);
  EXPECT_EQ(utc_hour(hour_us), 1);
  EXPECT_EQ(utc_hour(-1), -1);
  EXPECT_EQ(hour_path(-1), "date=1969-12-31/hour=23");
  EXPECT_EQ(hour_path(utc_hour(INT64_MAX)), "date=9999-12-31/hour=23");
  EXPECT_EQ(hour_path(utc_hour(INT64_MIN)), "date=0000-01-01/hour=00");
}

}  // namespace
}  // namespace inlet::sinks
