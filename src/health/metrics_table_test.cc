// Goal: the table of metrics follows Prometheus's rules for names, and docs/METRICS.md says what it
// says.
// Method: every row against the rules; the document against the text made from the table. Run with
// INLET_WRITE_DOCS=1 to write the document.

#include "health/metrics_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

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

TEST(MetricsTable, the_document_says_what_the_table_says) {
  const std::filesystem::path document =
      std::filesystem::path(__FILE__).parent_path() / "../../docs/METRICS.md";
  if (std::getenv("INLET_WRITE_DOCS") != nullptr) std::ofstream(document) << metrics_markdown();
  std::ifstream in(document);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  EXPECT_EQ(text, metrics_markdown()) << "INLET_WRITE_DOCS=1 health_metrics_table_test writes it";
}

}  // namespace
}  // namespace inlet::health
