// Goal: keys do what they say, the selection stays with its node, and no page leaves its terminal.
// Method: pages are drawn for made-up fleets; every size and random keys.

#include "top/view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "top/status_test.h"

namespace inlet::top {
namespace {

constexpr Size size_80{.rows = 24, .columns = 80};

std::string text_of(const Line& line) {
  std::string out;
  for (const Span& span : line.spans) out += span.text;
  return out;
}
std::string text_of(const Page& page) {
  std::string out;
  for (const Line& line : page) out += text_of(line) + "\n";
  return out;
}
bool shows(const Page& page, std::string_view text) {
  return text_of(page).find(text) != std::string::npos;
}
std::string selected(const Page& page) {
  for (const Line& line : page) {
    if (line.selected) return text_of(line).substr(0, 6);
  }
  return {};
}

Fleet fleet_of(std::size_t count) {
  Fleet fleet;
  for (std::size_t i = 0; i < count; i++) {
    const std::string name = fmt::format("node-{}", static_cast<char>('a' + i % 26));
    fleet.nodes.push_back(answering({.name = name, .requests_per_s = static_cast<double>(i + 1)},
                                    fmt::format("{}:{}", name, i + 1)));
  }
  return fleet;
}

TEST(View, NoPageLeavesItsTerminalAtAnySizeWithAnyKeys) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  Fleet fleet = fleet_of(20);
  fleet.nodes.push_back(silent("far:1", std::string(300, 'x')));
  fleet.nodes.emplace_back().url = "waiting";
  View view({});
  for (int round = 0; round < 2'000; round++) {
    const Size size{.rows = random() % 40 + 1, .columns = random() % 300 + 1};
    view.press(static_cast<Key>(random() % static_cast<unsigned>(Key::quit)));
    if (random() % 50 == 0) fleet.nodes.erase(fleet.nodes.begin());
    if (fleet.nodes.empty()) fleet = fleet_of(5);
    const Page page = view.draw(fleet, size);
    ASSERT_LE(page.size(), size.rows);
    for (const Line& line : page) {
      ASSERT_LE(columns_of(line), size.columns);
      ASSERT_EQ(text_of(line).find_first_of("\x1b\n\t"), std::string::npos);
    }
  }
}

TEST(View, TheSelectionFollowsItsNodeWhenTheOrderChanges) {
  Fleet fleet = fleet_of(3);
  View view({});
  fleet.nodes[2] = answering({.name = "node-c", .level = "Severe"}, "node-c:3");
  EXPECT_EQ(selected(view.draw(fleet, size_80)), "node-c");
  fleet = fleet_of(3);
  EXPECT_EQ(selected(view.draw(fleet, size_80)), "node-a");  // No key has chosen a node yet.
  view.press(Key::down);
  EXPECT_EQ(selected(view.draw(fleet, size_80)), "node-b");
  fleet.nodes[1] = answering({.name = "node-b", .level = "Severe"}, "node-b:2");
  const Page page = view.draw(fleet, size_80);
  EXPECT_EQ(selected(page), "node-b");
  EXPECT_EQ(text_of(page[3]).substr(0, 6), "node-b");  // At the top now.
  view.press(Key::down);
  EXPECT_EQ(selected(view.draw(fleet, size_80)), "node-a");
  view.press(Key::end);
  EXPECT_EQ(selected(view.draw(fleet, size_80)), "node-c");
  view.press(Key::down);  // Nothing below.
  EXPECT_EQ(selected(view.draw(fleet, size_80)), "node-c");
  fleet.nodes.pop_back();  // Gone: the row counts.
  EXPECT_EQ(selected(view.draw(fleet, size_80)), "node-a");
}

TEST(View, ATableLongerThanTheTerminalScrollsWithTheSelection) {
  const Fleet fleet = fleet_of(26);
  View view({.sort = {.column = find_column("node")}});
  const Size size{.rows = 10, .columns = 100};
  EXPECT_TRUE(shows(view.draw(fleet, size), "1-6 of 26"));
  view.press(Key::end);
  Page page = view.draw(fleet, size);
  EXPECT_EQ(selected(page), "node-z");
  EXPECT_TRUE(shows(page, "21-26 of 26"));
  view.press(Key::page_up);
  page = view.draw(fleet, size);
  EXPECT_EQ(selected(page), "node-t");
  view.press(Key::home);
  EXPECT_EQ(selected(view.draw(fleet, size)), "node-a");
}

TEST(View, TheFleetComesFirstAndTroubleIsWrittenOut) {
  Fleet fleet = fleet_of(2);
  const std::string long_cause(90, 'y');
  fleet.nodes.push_back(silent("far:1", "cannot connect"));
  fleet.nodes.push_back(
      answering({.name = "node-x",
                 .level = "Warning",
                 .causes = R"([{"level":"Warning","text":")" + long_cause + R"("}])"},
                "x:1"));
  View view({});
  const Page page = view.draw(fleet, size_80);
  EXPECT_TRUE(text_of(page[0]).starts_with("inlet top  4 nodes  1 No answer  1 Warning  2 Ok"));
  EXPECT_TRUE(text_of(page[2]).starts_with("4 nodes"));
  EXPECT_EQ(selected(page), "far:1 ");
  EXPECT_TRUE(shows(page, "far:1: no answer: cannot connect"));
  EXPECT_TRUE(shows(page, std::string(60, 'y')));  // Where the selected one's cause is, too.
  EXPECT_EQ(page.size(), size_80.rows);
}

TEST(View, ADetailPageIsOfTheSelectedNodeUntilItIsLeft) {
  Fleet fleet = fleet_of(3);
  View view({});
  static_cast<void>(view.draw(fleet, size_80));
  view.press(Key::down);
  static_cast<void>(view.draw(fleet, size_80));
  view.press(Key::enter);
  Page page = view.draw(fleet, size_80);
  EXPECT_TRUE(text_of(page[0]).starts_with("node-b  Ok"));
  EXPECT_FALSE(shows(page, "node-a"));
  for (int i = 0; i < 100; i++) view.press(Key::down);
  page = view.draw(fleet, size_80);
  EXPECT_TRUE(shows(page, "files - of -"));  // The last line is at the bottom, not beyond.
  fleet.nodes[1] = silent("node-b:2", "cannot connect");
  EXPECT_TRUE(shows(view.draw(fleet, size_80), "no answer: cannot connect"));
  view.press(Key::back);
  EXPECT_TRUE(shows(view.draw(fleet, size_80), "3 nodes"));
  view.press(Key::enter);
  fleet.nodes.erase(fleet.nodes.begin() + 1);  // Gone for good: back to the table.
  EXPECT_TRUE(shows(view.draw(fleet, size_80), "2 nodes"));
}

TEST(View, APauseHoldsThePictureAndKeysStillWork) {
  Fleet fleet = fleet_of(2);
  View view({});
  view.press(Key::pause);
  EXPECT_TRUE(shows(view.draw(fleet, size_80), "PAUSED"));
  fleet.nodes.push_back(silent("far:1", "cannot connect"));
  Page page = view.draw(fleet, size_80);
  EXPECT_FALSE(shows(page, "far:1"));
  view.press(Key::down);
  EXPECT_EQ(selected(view.draw(fleet, size_80)), "node-b");
  view.press(Key::pause);
  EXPECT_TRUE(shows(view.draw(fleet, size_80), "far:1"));
}

TEST(View, TheSortMovesOverTheColumnsThatAreShownAndRoundTheEnd) {
  const Fleet fleet = fleet_of(2);
  View view({});
  static_cast<void>(view.draw(fleet, size_80));
  std::vector<std::string> seen;
  for (int i = 0; i < 20; i++) {
    const Page page = view.draw(fleet, size_80);
    seen.push_back(text_of(page[0]).substr(text_of(page[0]).find(" by ")));
    view.press(Key::next_sort);
    ASSERT_NE(text_of(page[1]).find_first_of("^v"), std::string::npos);
  }
  const auto again = std::find(seen.begin() + 1, seen.end(), seen.front());
  ASSERT_NE(again, seen.end());
  for (auto at = seen.begin(); at != again; ++at) {
    EXPECT_EQ(std::count(seen.begin(), again, *at), 1) << *at;
  }
  EXPECT_GT(again - seen.begin(), 5);
  view.press(Key::quit);
  EXPECT_TRUE(view.is_over());
}

}  // namespace
}  // namespace inlet::top
