// Goal: a dead letter reads back whole, and what is none is refused with its reason.
// Method: a line as the shipper writes it, and changes of it.

#include "codec/dead_letter.h"

#include <gtest/gtest.h>

namespace inlet::codec {
namespace {

const std::string line =
    R"({"id":"000000abcdef-00000000002a","tenant":"acme","stream":"web","received_at":)"
    R"("2026-11-23T10:00:00.000001Z","content_type":"a/b","content_encoding":"gzip","peer":)"
    R"("127.0.0.1:9","trace_id":"t","idempotency_key":"k\"","sink":"out","reason":"no","body":)"
    R"("AP8="})";

std::string with(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST(DeadLetter, reads_back_whole) {
  const auto letter = parse_dead_letter(line);
  ASSERT_TRUE(letter) << letter.error().what;
  EXPECT_EQ(letter->journal_id, 0xABCDEFU);
  EXPECT_EQ(letter->sequence, 42U);
  EXPECT_EQ(letter->tenant, "acme");
  EXPECT_EQ(letter->stream, "web");
  EXPECT_EQ(letter->received_us, 1795428000'000'001);
  EXPECT_EQ(letter->content_encoding, "gzip");
  EXPECT_EQ(letter->idempotency_key, "k\"");
  EXPECT_EQ(letter->reason, "no");
  EXPECT_EQ(letter->body, std::string("\0\xff", 2));
}

TEST(DeadLetter, says_what_is_wrong) {
  const auto why = [](const std::string& text) {
    const auto letter = parse_dead_letter(text);
    return letter ? "" : letter.error().what;
  };
  EXPECT_EQ(why("["), "not a dead letter: it is not a JSON object");
  EXPECT_EQ(why("[]"), "not a dead letter: it is not a JSON object");
  EXPECT_EQ(why(with(line, "\"peer\"", "\"pear\"")), "not a dead letter: it has no \"peer\"");
  EXPECT_EQ(why(with(line, "000000abcdef-", "")), "not a dead letter: its id is 00000000002a");
  EXPECT_EQ(why(with(line, "2026-11", "2026-13")),
            "not a dead letter: it was received at 2026-13-23T10:00:00.000001Z");
  for (const char* body : {"AP8", "AP8?", "A=8=", "===="}) {
    EXPECT_EQ(why(with(line, "AP8=", body)), "not a dead letter: its body is not base64") << body;
  }
}

TEST(DeadLetter, base64_of_any_length) {
  EXPECT_EQ(*from_base64(""), "");
  EXPECT_EQ(*from_base64("Zg=="), "f");
  EXPECT_EQ(*from_base64("Zm8="), "fo");
  EXPECT_EQ(*from_base64("Zm9v"), "foo");
  EXPECT_EQ(*from_base64("Zm9vYmE="), "fooba");
}

}  // namespace
}  // namespace inlet::codec
