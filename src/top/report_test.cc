// Goal: the document for scripts is valid JSON whatever nodes are called, and the table for scripts
// holds everything.
// Method: fleets with hostile names; the document is parsed, the table compared.

#include "top/report.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>

#include "top/page.h"
#include "top/status_test.h"

namespace inlet::top {
namespace {

TEST(Report, TheDocumentIsValidAndHoldsTheNodesOwn) {
  Node node = answering({}, "a:1");
  node.document = document_of({});
  node.name = "quote\" and \\ and \x1b and \xff";
  Node waiting;
  waiting.url = "http://w/status.json";
  const Fleet fleet{.nodes = {node, silent("b:1", "cannot \"connect\"", 1'000'000), waiting},
                    .steady_us = 3'000'000,
                    .wall_us = 0};
  const std::string json = report_json(fleet, Window::minute);
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  ASSERT_EQ(parser.parse(json).get(root), simdjson::SUCCESS) << json;
  EXPECT_EQ(std::string_view(root["window"]), "1m");
  EXPECT_EQ(std::string_view(root["fleet"]["level"]), "Severe");
  EXPECT_EQ(std::int64_t(root["fleet"]["answering"]), 1);
  EXPECT_EQ(std::int64_t(root["fleet"]["interval"]["latency_us"]["count"]), 100);
  EXPECT_TRUE(root["fleet"]["gauges"]["load1"].is_null());
  EXPECT_EQ(std::string_view(root["nodes"].at(0)["status"]["node"]), "node-a");
  EXPECT_EQ(std::string_view(root["nodes"].at(1)["why"]), "cannot \"connect\"");
  EXPECT_EQ(double(root["nodes"].at(1)["silent_s"]), 2.0);
  EXPECT_EQ(std::string_view(root["nodes"].at(2)["state"]), "waiting");
}

TEST(Report, AFleetWithoutAnswersHasNoInterval) {
  const Fleet fleet{.nodes = {silent("b:1", "x")}};
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  ASSERT_EQ(parser.parse(report_json(fleet, Window::seconds_10)).get(root), simdjson::SUCCESS);
  EXPECT_TRUE(root["fleet"]["interval"].is_null());
}

TEST(Report, TheTableIsPlainUnlessColoursAreWanted) {
  const Fleet fleet{.nodes = {answering({}, "a:1"), silent("b:1", "cannot connect")}};
  const std::string plain = table_text(fleet, Window::seconds_10, default_sort(), any_width, false);
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  EXPECT_EQ(std::ranges::count(plain, '\n'), 4);
  for (const Column& column : columns()) {
    EXPECT_NE(plain.find(column.title), std::string::npos) << column.title;
  }
  EXPECT_EQ(plain.find(" \n"), std::string::npos);
  const std::string coloured = table_text(fleet, Window::seconds_10, default_sort(), 80, true);
  EXPECT_NE(coloured.find("\x1b[32mOk\x1b[m"), std::string::npos);
  EXPECT_NE(coloured.find("\x1b[1;7;31mNo answer\x1b[m"), std::string::npos);
}

}  // namespace
}  // namespace inlet::top
