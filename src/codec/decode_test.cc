// Goal: what a client compressed comes back exactly, and nothing a client sends costs more than the
//   bound or is half decoded.
// Method: bodies made with the libraries, cut at every length, with single bytes changed, too long
//   by one byte, and with windows beyond the limit.

#include "codec/decode.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <vector>

#include "base/check.h"

namespace inlet::codec {
namespace {

constexpr std::size_t plenty = 1U << 20;

std::string zlib_compress(std::string_view text, int wrapper_bits) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, 6, Z_DEFLATED, wrapper_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(text.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
std::string gzip(std::string_view text) { return zlib_compress(text, 31); }

std::string zstd(std::string_view text, int window_log = 0) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  if (window_log > 0) {
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  }
  std::string out(ZSTD_compressBound(text.size()) + 1000, '\0');
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  // Streamed, so that the size is not known in advance and the window is the one asked for.
  CHECK(!ZSTD_isError(ZSTD_compressStream2(context, &to, &in, ZSTD_e_flush)));
  CHECK(ZSTD_compressStream2(context, &to, &in, ZSTD_e_end) == 0);
  ZSTD_freeCCtx(context);
  out.resize(to.pos);
  return out;
}

std::string sample() {
  std::string text;
  for (int i = 0; i < 3000; i++) text += "line " + std::to_string(i * i) + "\n";
  return text;
}

struct Case {
  const char* name;
  Encoding encoding;
  std::string (*compress)(std::string_view);
};
const std::vector<Case> cases{
    {"gzip", Encoding::gzip, gzip},
    {"zstd", Encoding::zstd, [](std::string_view text) { return zstd(text); }},
    {"zlib", Encoding::deflate, [](std::string_view text) { return zlib_compress(text, 15); }},
    {"raw deflate", Encoding::deflate,
     [](std::string_view text) { return zlib_compress(text, -15); }},
};

TEST(Decode, gives_back_what_was_compressed) {
  Decoder decoder;
  std::string out;
  for (const Case& each : cases) {
    for (const std::string& text : {std::string(), std::string("x"), sample()}) {
      ASSERT_TRUE(decoder.decode(each.encoding, as_bytes(each.compress(text)), plenty, out))
          << each.name;
      EXPECT_EQ(out, text) << each.name;
    }
  }
  ASSERT_TRUE(decoder.decode(Encoding::identity, as_bytes("as it is"), plenty, out));
  EXPECT_EQ(out, "as it is");
}

TEST(Decode, allows_exactly_the_bound_and_not_a_byte_more) {
  Decoder decoder;
  std::string out;
  const std::string text = sample();
  for (const Case& each : cases) {
    const std::string body = each.compress(text);
    EXPECT_TRUE(decoder.decode(each.encoding, as_bytes(body), text.size(), out)) << each.name;
    EXPECT_FALSE(decoder.decode(each.encoding, as_bytes(body), text.size() - 1, out)) << each.name;
    EXPECT_LE(out.size(), text.size() + 1) << each.name;
  }
  EXPECT_FALSE(decoder.decode(Encoding::identity, as_bytes(text), text.size() - 1, out));
}

TEST(Decode, refuses_a_body_cut_at_any_length) {
  Decoder decoder;
  std::string out;
  const std::string text = sample().substr(0, 2000);
  for (const Case& each : cases) {
    const std::string body = each.compress(text);
    for (std::size_t bytes = 0; bytes < body.size(); bytes++) {
      const std::string cut = body.substr(0, bytes);
      ASSERT_FALSE(decoder.decode(each.encoding, as_bytes(cut), plenty, out))
          << each.name << ", " << bytes << " bytes";
    }
  }
}

TEST(Decode, notices_changed_bytes_where_the_format_has_a_checksum) {
  Decoder decoder;
  std::string out;
  const std::string text = sample().substr(0, 500);
  for (const auto& [encoding, good] :
       {std::pair(Encoding::gzip, gzip(text)), std::pair(Encoding::zstd, zstd(text))}) {
    for (std::size_t i = 0; i < good.size(); i++) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ 0x41);
      // What is not covered (gzip's time, say) may change without changing the text.
      if (decoder.decode(encoding, as_bytes(bad), plenty, out)) {
        EXPECT_EQ(out, text);
      }
    }
  }
}

TEST(Decode, takes_several_members_and_refuses_what_follows) {
  Decoder decoder;
  std::string out;
  ASSERT_TRUE(decoder.decode(Encoding::gzip, as_bytes(gzip("one") + gzip("two")), plenty, out));
  EXPECT_EQ(out, "onetwo");
  ASSERT_TRUE(decoder.decode(Encoding::zstd, as_bytes(zstd("one") + zstd("two")), plenty, out));
  EXPECT_EQ(out, "onetwo");
  for (const Case& each : cases) {
    const std::string body = each.compress("one") + "rest";
    EXPECT_FALSE(decoder.decode(each.encoding, as_bytes(body), plenty, out)) << each.name;
  }
}

TEST(Decode, refuses_a_zstd_window_beyond_the_limit) {
  Decoder decoder;
  std::string out;
  EXPECT_TRUE(decoder.decode(Encoding::zstd, as_bytes(zstd("x", 23)), plenty, out));
  EXPECT_FALSE(decoder.decode(Encoding::zstd, as_bytes(zstd("x", 24)), plenty, out));
}

TEST(Encodings, are_named_as_in_the_header_field) {
  EXPECT_EQ(parse_encoding(""), Encoding::identity);
  EXPECT_EQ(parse_encoding(" Identity "), Encoding::identity);
  EXPECT_EQ(parse_encoding("GZip"), Encoding::gzip);
  EXPECT_EQ(parse_encoding("x-gzip"), Encoding::gzip);
  EXPECT_EQ(parse_encoding("zstd"), Encoding::zstd);
  EXPECT_EQ(parse_encoding("deflate\t"), Encoding::deflate);
  for (const char* unknown : {"br", "gzip, zstd", "gzipp", "gz"}) {
    EXPECT_EQ(parse_encoding(unknown), Encoding::unknown) << unknown;
  }
}

}  // namespace
}  // namespace inlet::codec
