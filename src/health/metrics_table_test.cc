// Goal: the table of metrics follows Prometheus's rules for names, and the page made from it has
// all of it.
// Method: every row against the rules.

#include "health/metrics_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace inlet::health {
namespace {

bool is_metric_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

TEST(MetricsTable, names_are_unique_and_say_their_unit) {
  std::set<std::string_view> seen;
  for (const Metric& row : metrics_table) {
    EXPECT_TRUE(is_metric_name(row.name)) << row.name;
    EXPECT_TRUE(row.name.starts_with("inlet_") || row.name.starts_with("process_")) << row.name;
    EXPECT_TRUE(seen.insert(row.name).second) << row.name << " comes twice";
    for (const std::string_view unit : {"seconds", "bytes", "percent"}) {
      if (row.unit == unit) {
        EXPECT_NE(row.name.find(unit), std::string_view::npos) << row.name;
      }
    }
    if (row.type == MetricType::histogram) {
      EXPECT_TRUE(row.name.ends_with("_seconds")) << row.name;
    }
  }
}

TEST(MetricsTable, help_needs_no_escape_in_either_format) {
  for (const Metric& row : metrics_table) {
    EXPECT_FALSE(row.help.empty()) << row.name;
    EXPECT_EQ(row.help.find_first_of("\\\"\n|"), std::string_view::npos) << row.name;
  }
}

TEST(MetricsTable, the_page_made_from_it_has_a_row_for_each) {
  const std::string page = metrics_markdown();
  for (const Metric& row : metrics_table) {
    EXPECT_NE(page.find("| `" + std::string(row.name) + "` | "), std::string::npos) << row.name;
  }
}

// `INLET_WRITE_DOCS=1` (./dev format sets it) writes the page instead.
TEST(MetricsTable, the_page_in_the_repository_is_the_one_made_from_it) {
  const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  const std::string path = (root / "docs" / "METRICS.md").string();
  if (std::getenv("INLET_WRITE_DOCS") != nullptr) std::ofstream(path) << metrics_markdown();
  std::ifstream file(path);
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(page, metrics_markdown()) << "run ./dev format";
}

}  // namespace
}  // namespace inlet::health
