// Goal: JSON is told from what is not, alike by the fast way and by the plain one; arrays come
//   apart without a byte changed.
// Method: examples of every rule; random documents and random damage to them, given to both ways;
//   arrays put together from known elements.

#include "codec/json_text.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace inlet::codec {
namespace {

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

const std::vector<std::string> valid{
    "0", "-0", "1e5", "1E+5", "-1.25e-7", "true", "false", "null", "\"\"", "[]", "{}", " [ ] ",
    "\t{\n}\r", "[1,2]", "{\"a\":1}", "{\"a\":{\"b\":[{}]},\"a\":2}", "\"\\u00e4\\n\\/\\\\\\\"\"",
    "\"\\ud83d\\ude00\"", "\"\xc3\xa4\"", "[[],{},\"\",null]", "\"\x7f\"",
    // Beyond 64 bits, and beyond what a double holds.
    "123456789012345678901234567890", "[-123456789012345678901234567890,{\"a\":1e400}]", "1e-999",
    "0.1234567890123456789012345678901234567890", nested(json_depth_max)};

const std::vector<std::string> invalid{"",
                                       " ",
                                       "tru",
                                       "truex",
                                       "nul",
                                       "+1",
                                       "01",
                                       "-",
                                       "1.",
                                       ".5",
                                       "1e",
                                       "1e+",
                                       "0x1",
                                       "NaN",
                                       "[",
                                       "]",
                                       "[1",
                                       "[1,",
                                       "[1,]",
                                       "[,1]",
                                       "[1 2]",
                                       "{",
                                       "}",
                                       "{\"a\"}",
                                       "{\"a\":}",
                                       "{\"a\":1,}",
                                       "{a:1}",
                                       "{1:2}",
                                       "{\"a\" 1}",
                                       "[}",
                                       "{]",
                                       "[1}",
                                       "{\"a\":1]",
                                       "1 2",
                                       "[] []",
                                       "\"",
                                       "\"\\",
                                       "\"\\x\"",
                                       "\"\\u12g4\"",
                                       "\"\\u123\"",
                                       "\"\n\"",
                                       "\"\x01\"",
                                       "\"\\ud83d\"",
                                       "\"\\ud83dx\"",
                                       "\"\\ud83d\\n\"",
                                       "\"\\ud83d\\u0041\"",
                                       "\"\\ude00\"",
                                       "\"\xff\"",
                                       "\"\xc3\"",
                                       "'a'",
                                       "[1]x",
                                       "\xEF\xBB\xBF{}",
                                       "// c\n1",
                                       "-123456789012345678901234567890x",
                                       "[123456789012345678901234567890,]",
                                       nested(json_depth_max + 1)};

TEST(Json, both_ways_agree_on_every_rule) {
  JsonChecker checker;
  for (const std::string& text : valid) {
    EXPECT_TRUE(scan_json(text)) << text;
    EXPECT_TRUE(text.empty() || checker.is_json(text, 0)) << text;
  }
  for (const std::string& text : invalid) {
    EXPECT_FALSE(scan_json(text)) << text;
    EXPECT_FALSE(checker.is_json(text, 0)) << text;
  }
  EXPECT_FALSE(scan_json(std::string_view("1\0", 2)));
  EXPECT_FALSE(checker.is_json(std::string_view("1\0", 2), 0));
}

TEST(Json, bytes_behind_the_text_do_not_count) {
  JsonChecker checker;
  for (const std::string& text : valid) {
    const std::string longer = text + std::string(64, '9');
    EXPECT_TRUE(checker.is_json(std::string_view(longer).substr(0, text.size()), 64)) << text;
  }
  for (const char* rest : {"}", "]", "\"", "e", "ue", ":1}"}) {
    std::string longer = "[tr";
    longer += rest;
    longer.resize(80, ' ');
    EXPECT_FALSE(checker.is_json(std::string_view(longer).substr(0, 3), 64));
  }
}

TEST(Json, large_documents_go_to_the_scanner_and_small_ones_still_work_after) {
  JsonChecker checker;
  const std::string large = "[\"" + std::string(simdjson_bytes_max, 'x') + "\",1]";
  EXPECT_TRUE(checker.is_json(large, 0));
  EXPECT_FALSE(checker.is_json(large + "x", 0));
  const std::string just = "\"" + std::string(simdjson_bytes_max - 2, 'x') + "\"";
  EXPECT_TRUE(checker.is_json(just, 0));
  EXPECT_TRUE(checker.is_json("{}", 0));
  EXPECT_FALSE(checker.is_json(nested(json_depth_max + 1), 0));
}

std::string random_document(std::mt19937_64& random, int depth) {
  static const std::vector<std::string> scalars{"1",
                                                "-2.5e3",
                                                "true",
                                                "null",
                                                "\"\"",
                                                "\"a\\\"]},[{\\\\\"",
                                                "\"\\\\\"",
                                                "\"\\u00e4\xc3\xa4\"",
                                                "99999999999999999999",
                                                "\"\\ud83d\\ude00\""};
  const auto pick = random() % (depth > 0 ? 4 : 2);
  if (pick < 2) return scalars[random() % scalars.size()];
  const std::string space = random() % 3 == 0 ? " \n" : "";
  std::string out = pick == 2 ? "[" : "{";
  const auto count = random() % 4;
  for (std::uint64_t i = 0; i < count; i++) {
    out += (i > 0 ? "," : "") + space;
    if (pick == 3) out += "\"k" + std::to_string(i) + "\"" + space + ":";
    out += random_document(random, depth - 1) + space;
  }
  return out + (pick == 2 ? "]" : "}");
}

TEST(Json, both_ways_agree_on_random_documents_and_random_damage) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  JsonChecker checker;
  for (int i = 0; i < 20'000; i++) {
    std::string text = random_document(random, 4);
    ASSERT_TRUE(scan_json(text)) << text;
    ASSERT_TRUE(checker.is_json(text, 0)) << text;
    static constexpr std::string_view bytes = "[]{},:\"\\0-e.x\n\xc3\xa4u ";
    text[random() % text.size()] = bytes[random() % bytes.size()];
    ASSERT_EQ(scan_json(text), checker.is_json(text, 0)) << text;
  }
}

TEST(Arrays, come_apart_as_they_were_put_together) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 5'000; i++) {
    std::vector<std::string> parts(random() % 6);
    std::string array = " [";
    for (std::string& part : parts) {
      part = random_document(random, 3);
      array += (&part == parts.data() ? "\n" : " ,\t") + part;
    }
    array += " ] ";
    ArrayElements elements(array);
    std::string_view element;
    for (const std::string& part : parts) {
      ASSERT_TRUE(elements.next(element)) << array;
      ASSERT_EQ(element, trim_json(part)) << array;
    }
    ASSERT_FALSE(elements.next(element)) << array;
    ASSERT_FALSE(elements.next(element)) << array;
  }
}

TEST(Trim, takes_the_whitespace_of_json_and_no_other) {
  EXPECT_EQ(trim_json(" \t\r\n a \n"), "a");
  EXPECT_EQ(trim_json(" \n"), "");
  EXPECT_EQ(trim_json("\v1\f"), "\v1\f");
}

}  // namespace
}  // namespace inlet::codec
