// Goal: figures are short and never read as more or less than they are; foreign text is harmless.
// Method: the ends of every unit, and bytes of all kinds.

#include "top/text.h"

#include <gtest/gtest.h>

namespace inlet::top {
namespace {

TEST(Text, OnlyPrintableAsciiIsLeftOfForeignText) {
  EXPECT_EQ(printable("plain ~ text"), "plain ~ text");
  EXPECT_EQ(printable("\x1b[31mred\a\r\n\t\x7f"), "?[31mred?????");
  EXPECT_EQ(printable("K\xc3\xb6ln \xe2\x82\xac"), "K?ln ?");
  EXPECT_EQ(printable("\xff\xfe\x9b."), "??.");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
}

TEST(Text, CutTextSaysThatSomethingIsMissing) {
  EXPECT_EQ(cut("abcdef", 6), "abcdef");
  EXPECT_EQ(cut("abcdefg", 6), "abcd..");
  EXPECT_EQ(cut("abcdefg", 2), "..");
  EXPECT_EQ(cut("abcdefg", 0), "");
  EXPECT_EQ(left("ab", 4), "ab  ");
  EXPECT_EQ(right("ab", 4), "  ab");
  EXPECT_EQ(right("abcdef", 4), "ab..");
}

TEST(Text, LinesBreakBetweenWordsAndLoseNothing) {
  EXPECT_EQ(wrap("one two three", 8), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(wrap("abcdefghij", 4), (std::vector<std::string>{"abcd", "efgh", "ij"}));
  EXPECT_EQ(wrap("abcd efgh", 4), (std::vector<std::string>{"abcd", "efgh"}));
  EXPECT_EQ(wrap("", 4), (std::vector<std::string>{""}));
  EXPECT_EQ(wrap("ab", 0), (std::vector<std::string>{"a", "b"}));
}

TEST(Text, NumbersTakeTheLargestUnitWithoutRoundingToAThousand) {
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(0.44), "0.4");
  EXPECT_EQ(number_text(12.34), "12.3");
  EXPECT_EQ(number_text(340.4), "340");
  EXPECT_EQ(number_text(999.4), "999");
  EXPECT_EQ(number_text(999.9), "1.0k");
  EXPECT_EQ(number_text(12'345), "12.3k");
  EXPECT_EQ(number_text(1e6), "1M");
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1'200), "1.2 kB");
  EXPECT_EQ(bytes_text(340e6), "340 MB");
  EXPECT_EQ(count_text(7), "7");
  EXPECT_EQ(count_text(1'234'567), "1,234,567");
}

TEST(Text, OnlyAllIsAHundredPercentAndOnlyNothingIsZero) {
  EXPECT_EQ(percent_text(0), "0");
  EXPECT_EQ(percent_text(0.004), "<0.01");
  EXPECT_EQ(percent_text(0.04), "0.04");
  EXPECT_EQ(percent_text(12.34), "12.3");
  EXPECT_EQ(percent_text(99.99), "99.9");
  EXPECT_EQ(percent_text(100), "100");
}

TEST(Text, LatenciesReachFromMicrosecondsToMinutes) {
  EXPECT_EQ(latency_text(85), "85us");
  EXPECT_EQ(latency_text(999), "999us");
  EXPECT_EQ(latency_text(1'000), "1ms");
  EXPECT_EQ(latency_text(1'230), "1.2ms");
  EXPECT_EQ(latency_text(340'000), "340ms");
  EXPECT_EQ(latency_text(999'700), "1.0s");
  EXPECT_EQ(latency_text(12'340'000), "12.3s");
  EXPECT_EQ(latency_text(600'000'000), "10min");
}

TEST(Text, TimesAreUtc) {
  EXPECT_EQ(time_text(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(time_text(1'763'892'000'999'999), "2025-11-23T10:00:00Z");
}

}  // namespace
}  // namespace inlet::top
