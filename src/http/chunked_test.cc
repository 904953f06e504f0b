// Goal: a chunked body has one reading, or is refused, however its bytes and its room are split.
// Method: tables of sound and unsound codings, split at every point; random codings with random
// pieces of input and of room, in place and not, with a printed seed.

#include "http/chunked.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "base/limits.h"

namespace inlet::http {
namespace {

struct Outcome {
  std::string body;
  std::size_t consumed = 0;
  bool done = false;
  std::string error;
};

// Feeds `coded` in the pieces given, the last one being the rest.
Outcome decode(std::string_view coded, const std::vector<std::size_t>& pieces = {}) {
  ChunkedDecoder decoder;
  Outcome outcome;
  std::vector<std::byte> room(coded.size());
  const auto feed = [&](std::string_view piece) {
    if (decoder.done() || decoder.error() != nullptr) return;
    const ChunkedDecoder::Progress progress = decoder.decode(as_bytes(piece), room);
    outcome.body += as_text(Bytes(room).first(progress.produced));
    outcome.consumed += progress.consumed;
    EXPECT_TRUE(decoder.done() || decoder.error() != nullptr || progress.consumed == piece.size());
  };
  for (const std::size_t piece : pieces) {
    feed(coded.substr(0, piece));
    coded.remove_prefix(piece);
  }
  feed(coded);
  outcome.done = decoder.done();
  if (decoder.error() != nullptr) outcome.error = decoder.error();
  return outcome;
}

struct Sound {
  std::string coded;
  std::string body;
};

std::vector<Sound> sound_codings() {
  return {
      {"0\r\n\r\n", ""},
      {"000\r\n\r\n", ""},
      {"5\r\nhello\r\n0\r\n\r\n", "hello"},
      {"A\r\n0123456789\r\n1\r\n\r\r\n0\r\n\r\n", "0123456789\r"},
      {"0000000000000000000000005\r\nhello\r\n0\r\n\r\n", "hello"},
      {"1;a\r\nx\r\n1;a=b;c\r\ny\r\n0;last\r\n\r\n", "xy"},
      {"1 ; a = b ; c = \"d\\\"\t;e\" ;f\r\nx\r\n0\r\n\r\n", "x"},
      {"1\r\nx\r\n0\r\nVary: *\r\nX:\r\n\r\n", "x"},
  };
}

const std::string_view unsound_codings[] = {
    "\r\n",
    "g\r\n",
    "-1\r\n",
    "+1\r\n",
    "0x1\r\n",
    " 1\r\n",
    "1 \r\n",
    "1\t\r\n",
    "1 2\r\n",
    "1\n",
    "1\r\r\n",
    "1\rx",
    "1,\r\n",
    "1;\r\n",
    "1;=a\r\n",
    "1;a=\r\n",
    "1;a b\r\n",
    "1;a=\"b\r\n",
    "1;a=\"\x01\"",
    "1;a=\"b\"c\r\n",
    "1;a=b \r\n",
    "1;a\n",
    "1;a=\"\\\n\"",
    "1;;a\r\n",
    "1\r\nxy\r\n",
    "1\r\nx\n",
    "1\r\nx\rx",
    "0\r\n\n",
    "0\r\nx\r\n",
    "0\r\n: a\r\n",
    "0\r\nX : a\r\n",
    "0\r\nX: a\n",
    "0\r\nX: a\r\n b",
    "0\r\nX: \x01",
    "0\r\nX: a\rb",
    "ffffffffffffffff\r\n",
    "1000000000000000\r\n",
    "0\r\n\rx",
};

TEST(Chunked, sound_codings_are_decoded_wherever_they_are_split) {
  for (const auto& [coded, body] : sound_codings()) {
    const std::string with_next = coded + "POST ";
    for (std::size_t i = 0; i <= coded.size(); i++) {
      for (std::size_t j = i; j <= coded.size(); j++) {
        const Outcome outcome = decode(with_next, {i, j - i});
        ASSERT_TRUE(outcome.done) << coded << outcome.error;
        ASSERT_EQ(outcome.body, body) << coded;
        ASSERT_EQ(outcome.consumed, coded.size()) << coded;
      }
      if (i < coded.size()) {
        ASSERT_FALSE(decode(coded.substr(0, i)).done) << coded;
      }
    }
  }
}

TEST(Chunked, unsound_codings_are_refused_wherever_they_are_split) {
  for (const std::string_view coded : unsound_codings) {
    const Outcome whole = decode(coded);
    ASSERT_NE(whole.error, "") << coded;
    for (std::size_t i = 0; i <= coded.size(); i++) {
      ASSERT_EQ(decode(coded, {i}).error, whole.error) << coded << " at " << i;
    }
  }
}

TEST(Chunked, lines_and_trailers_are_bounded) {
  const auto extended = [](std::size_t line_bytes) {
    return fmt::format("1;{:a>{}}\r\nx\r\n0\r\n\r\n", "", line_bytes - 4);
  };
  EXPECT_TRUE(decode(extended(limits::chunk_line_bytes_max)).done);
  EXPECT_NE(decode(extended(limits::chunk_line_bytes_max + 1)).error, "");
  EXPECT_NE(decode(std::string(limits::chunk_line_bytes_max + 1, '0')).error, "");

  const auto trailed = [](std::size_t trailer_bytes) {
    return fmt::format("0\r\nX: {:a>{}}\r\n\r\n", "", trailer_bytes - 7);
  };
  EXPECT_TRUE(decode(trailed(limits::trailer_bytes_max)).done);
  EXPECT_NE(decode(trailed(limits::trailer_bytes_max + 1)).error, "");
}

TEST(Chunked, decoding_stops_without_room_and_goes_on_with_more) {
  constexpr std::string_view coded = "5\r\nhello\r\n0\r\n\r\n";
  ChunkedDecoder decoder;
  std::byte room[3];
  const auto first = decoder.decode(as_bytes(coded), room);
  EXPECT_EQ(first.produced, 3U);
  EXPECT_EQ(first.consumed, 6U);
  EXPECT_EQ(decoder.data_remaining(), 2U);
  decoder.take_data(2);  // As if received elsewhere.
  EXPECT_EQ(decoder.data_remaining(), 0U);
  const auto second = decoder.decode(as_bytes(coded.substr(8)), {});
  EXPECT_EQ(second.consumed, coded.size() - 8);
  EXPECT_TRUE(decoder.done());
}

TEST(Chunked, random_codings_come_back_from_random_pieces_in_place) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto up_to = [&random](std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(0, most)(random);
  };
  for (int i = 0; i < 10'000; i++) {
    std::string body;
    std::string coded;
    for (std::size_t chunks = up_to(4); chunks > 0; chunks--) {
      const std::string data(1 + up_to(40), static_cast<char>('a' + chunks));
      coded +=
          up_to(1) == 0 ? fmt::format("{:x}", data.size()) : fmt::format("{:04X}", data.size());
      coded += fmt::format("{}\r\n{}\r\n", up_to(1) == 0 ? "" : ";e=\"v\"", data);
      body += data;
    }
    coded += up_to(1) == 0 ? "0\r\n\r\n" : "0\r\nT: v\r\n\r\n";

    ChunkedDecoder decoder;
    std::string buffer = coded;
    std::size_t made = 0;
    std::size_t taken = 0;
    while (taken < buffer.size()) {
      const std::size_t piece = std::min(1 + up_to(20), buffer.size() - taken);
      const MutableBytes all(reinterpret_cast<std::byte*>(buffer.data()), buffer.size());
      const auto progress = decoder.decode(all.subspan(taken, piece), all.subspan(made));
      ASSERT_EQ(decoder.error(), nullptr) << coded;
      ASSERT_EQ(progress.consumed, piece);
      taken += progress.consumed;
      made += progress.produced;
    }
    ASSERT_TRUE(decoder.done()) << coded;
    ASSERT_EQ(buffer.substr(0, made), body) << coded;
  }
}

}  // namespace
}  // namespace inlet::http
