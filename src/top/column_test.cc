// Goal: at any width the most important columns are there and whole; sorting puts first what
// matters.
// Method: all widths; each column of a fleet with and without figures.

#include "top/column.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "top/status_test.h"

namespace inlet::top {
namespace {

std::vector<Row> sample_rows() {
  const std::string causes = R"([{"level":"Warning","text":"sink archive is 340 s behind"}])";
  Fleet fleet;
  fleet.nodes = {
      answering({.name = "b", .requests_per_s = 5}, "b:1"),
      answering({.name = "a", .level = "Warning", .causes = causes, .requests_per_s = 7}, "a:1"),
      silent("c:1", "cannot connect")};
  return rows_of(fleet, Window::seconds_10);
}

std::set<std::string_view> keys(const std::vector<Placed>& placed) {
  std::set<std::string_view> out;
  for (const Placed& place : placed) out.insert(place.column->key);
  return out;
}

std::string labels(std::vector<Row> rows, const Sort& sort) {
  sort_rows(rows, sort);
  std::string out;
  for (const Row& row : rows) out += row.label.front();
  return out;
}

TEST(Column, WhatIsShownFillsAnyWidthAndNeverExceedsIt) {
  const auto rows = sample_rows();
  std::size_t before = 0;
  for (std::size_t width = 8; width < 400; width++) {
    const auto placed = fit_columns(rows, width, Focus::overview);
    std::size_t used = placed.size() - 1;
    for (const Placed& place : placed) {
      used += place.width;
      EXPECT_GE(place.width, place.column->width);
    }
    EXPECT_LE(used, width);
    EXPECT_TRUE(!keys(placed).contains("cause") || used == width) << width;
    EXPECT_GE(placed.size(), before) << width;  // More room never shows less.
    before = placed.size();
  }
  EXPECT_EQ(before, columns().size());
}

TEST(Column, TheLeastImportantLeaveFirst) {
  const auto rows = sample_rows();
  EXPECT_EQ(keys(fit_columns(rows, 10, Focus::overview)), (std::set<std::string_view>{"node"}));
  EXPECT_EQ(keys(fit_columns(rows, 20, Focus::overview)),
            (std::set<std::string_view>{"node", "status"}));
  const auto at_80 = keys(fit_columns(rows, 80, Focus::overview));
  for (const std::string_view key : {"node", "status", "cause", "requests", "5xx", "p99", "lag"}) {
    EXPECT_TRUE(at_80.contains(key)) << key;
  }
  EXPECT_FALSE(at_80.contains("nice"));
}

TEST(Column, AFocusBringsItsGroupToTheFront) {
  const auto rows = sample_rows();
  for (const auto& [focus, group] : {std::pair{Focus::requests, Group::requests},
                                     {Focus::latency, Group::latency},
                                     {Focus::host, Group::host},
                                     {Focus::journal, Group::journal}}) {
    const auto shown = keys(fit_columns(rows, 120, focus));
    for (const Column& column : columns()) {
      EXPECT_TRUE(column.group != group || shown.contains(column.key)) << column.key;
    }
    EXPECT_TRUE(shown.contains("cause"));
  }
}

TEST(Column, RanksAndKeysAreUnique) {
  std::set<unsigned> ranks;
  std::set<std::string_view> names;
  for (const Column& column : columns()) {
    ranks.insert(column.rank);
    names.insert(column.key);
    EXPECT_EQ(find_column(column.key), &column);
    EXPECT_LT(column.title.size(), column.width) << "the mark of the order has no room";
  }
  EXPECT_EQ(ranks.size(), columns().size());
  EXPECT_EQ(names.size(), columns().size());
  EXPECT_EQ(find_column("no"), nullptr);
}

TEST(Column, TheWorstStatusComesFirstAndRowsWithoutTheFigureLast) {
  const auto rows = sample_rows();
  EXPECT_EQ(labels(rows, default_sort()), "cab");
  EXPECT_EQ(labels(rows, {.column = find_column("status"), .reverse = true}), "bac");
  EXPECT_EQ(labels(rows, {.column = find_column("node")}), "abc");
  EXPECT_EQ(labels(rows, {.column = find_column("requests")}), "abc");
  EXPECT_EQ(labels(rows, {.column = find_column("requests"), .reverse = true}), "bac");
  EXPECT_EQ(labels(rows, {.column = find_column("load1")}), "abc");
  for (const Column& column : columns()) {
    for (const bool reverse : {false, true}) {
      auto sorted = rows;
      sort_rows(sorted, {.column = &column, .reverse = reverse});
      EXPECT_EQ(sorted.size(), rows.size());
    }
  }
}

TEST(Column, CellsHaveTheirUnits) {
  const auto rows = sample_rows();
  const auto cell = [&](std::string_view key, std::size_t row) {
    return text_of(*find_column(key), rows[row]);
  };
  EXPECT_EQ(cell("status", 1), "Warning");
  EXPECT_EQ(cell("status", 2), "No answer");
  EXPECT_EQ(cell("requests", 1), "7");
  EXPECT_EQ(cell("2xx", 0), "100");
  EXPECT_EQ(cell("p99", 0), "5us");
  EXPECT_EQ(cell("in", 0), "7 B");
  EXPECT_EQ(cell("journal", 0), "12.5");
  EXPECT_EQ(cell("full", 0), "-");
  EXPECT_EQ(cell("requests", 2), "-");
}

}  // namespace
}  // namespace inlet::top
