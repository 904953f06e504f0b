// Goal: whatever the text, the written string is valid JSON and says the same.
// Method: escapes by example, and every two-byte text checked for UTF-8 and control characters.

#include "base/json.h"

#include <gtest/gtest.h>

namespace inlet {
namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonString, escapes_what_must_be_escaped) {
  EXPECT_EQ(quoted("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(quoted("\n\r\t\x01\x1f"), R"("\n\r\t\u0001\u001f")");
  EXPECT_EQ(quoted("\xc3\xa4\xf0\x9f\x98\x80"), "\"\xc3\xa4\xf0\x9f\x98\x80\"");
  EXPECT_EQ(quoted("\xff"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(quoted(std::string_view("\0", 1)), "\"\\u0000\"");
}

TEST(JsonString, is_valid_utf8_without_control_characters_for_every_two_bytes) {
  for (unsigned pair = 0; pair < 65536; pair++) {
    const char bytes[2] = {static_cast<char>(pair >> 8), static_cast<char>(pair & 255)};
    const std::string out = quoted({bytes, 2});
    ASSERT_TRUE(is_utf8(out)) << pair;
    for (const char c : out) ASSERT_GE(static_cast<unsigned char>(c), 0x20) << pair;
  }
}

TEST(Utf8, refuses_overlong_forms_surrogates_and_truncation) {
  for (const char* bad : {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xf0\x80\x80\x80", "\xe2\x82", "\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

}  // namespace
}  // namespace inlet
