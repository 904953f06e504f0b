// Goal: a name or id that passes can stand in any path, and ids survive the round trip.
// Method: the grammar's edges by example; ids over their extreme values.

#include "base/names.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace inlet {
namespace {

TEST(Names, takes_what_the_grammar_allows_and_nothing_else) {
  for (const char* good : {"a", "0", "web.clicks_v2-eu", "a..b"})
    EXPECT_TRUE(is_name(good)) << good;
  for (const char* bad :
       {"", ".", "..", "-a", "_a", "A", "a/b", "a b", "a%2e", "\xc3\xa4", "a\n"}) {
    EXPECT_FALSE(is_name(bad)) << bad;
  }
  EXPECT_FALSE(is_name(std::string_view("a\0b", 3)));
  EXPECT_TRUE(is_name(std::string(64, 'a')));
  EXPECT_FALSE(is_name(std::string(65, 'a')));
}

TEST(RecordIds, survive_the_round_trip) {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1}, journal_id_mask}) {
    const std::string id = record_id(value, journal_id_mask - value);
    ASSERT_EQ(id.size(), record_id_chars);
    const auto parsed = parse_record_id(id);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->journal_id, value);
    EXPECT_EQ(parsed->sequence, journal_id_mask - value);
  }
  EXPECT_EQ(record_id(0x3f9a2c1d55aa, 42), "3f9a2c1d55aa-00000000002a");
  for (const char* bad : {"", "3f9a2c1d55aa-00000000002", "3f9a2c1d55aa_00000000002a",
                          "3f9a2c1d55ag-00000000002a", "3f9a2c1d55aa-0000000000-1"}) {
    EXPECT_FALSE(parse_record_id(bad)) << bad;
  }
}

TEST(NamePattern, has_stars_for_any_characters) {
  for (const auto* pattern : {"*", "web.*", "*.eu", "a*b*c", "web", "**"}) {
    EXPECT_TRUE(is_name_pattern(pattern)) << pattern;
  }
  for (const auto* pattern : {"", "Web", "a/b", "a b", "web.?"}) {
    EXPECT_FALSE(is_name_pattern(pattern)) << pattern;
  }
}

TEST(NamePattern, matches_as_a_naive_recursion_does_over_all_short_texts) {
  const std::function<bool(std::string_view, std::string_view)> naive =
      [&](std::string_view pattern, std::string_view name) -> bool {
    if (pattern.empty()) return name.empty();
    if (pattern[0] == '*') {
      return naive(pattern.substr(1), name) || (!name.empty() && naive(pattern, name.substr(1)));
    }
    return !name.empty() && name[0] == pattern[0] && naive(pattern.substr(1), name.substr(1));
  };
  std::vector<std::string> texts = {""};
  for (std::size_t i = 0; i < texts.size(); i++) {
    if (texts[i].size() == 5) continue;
    for (const char c : {'a', 'b', '*'}) texts.push_back(texts[i] + c);
  }
  int matched = 0;
  for (const std::string& pattern : texts) {
    for (const std::string& name : texts) {
      if (name.find('*') != std::string::npos) continue;
      ASSERT_EQ(matches(pattern, name), naive(pattern, name)) << pattern << " " << name;
      matched += matches(pattern, name) ? 1 : 0;
    }
  }
  EXPECT_GT(matched, 1000);
  EXPECT_TRUE(matches_any(std::vector<std::string>{"x", "web.*"}, "web.clicks"));
  EXPECT_FALSE(matches_any(std::vector<std::string>{"x", "web.*"}, "app"));
}

}  // namespace
}  // namespace inlet
