// Goal: the summary says what happened, and its JSON can be read by a program.
// Method: made-up figures, the text compared by line, the JSON parsed.

#include "load/report.h"

#include <gtest/gtest.h>
#include <simdjson.h>

namespace inlet::loader {
namespace {

Report made_up() {
  Report report;
  report.url = "http://h/\"x\"";
  report.run = "0123456789abcdef";
  report.options.rate_per_s = 1000;
  report.options.connections = 64;
  report.body_bytes = 1024;
  Figures& figures = report.figures;
  figures.sent = 1234567;
  figures.accepted = 1234560;
  figures.body_bytes_accepted = 1234560 * 1024ULL;
  figures.by_status[200] = 1234559;
  figures.by_status[202] = 1;
  figures.by_status[429] = 3;
  figures.by_status[503] = 2;
  figures.by_status[507] = 1;
  figures.timeouts = 1;
  figures.measured_us = 10'000'000;
  figures.cpu_us = 5'000'000;
  for (Microseconds time = 1; time <= 1000; time++) figures.latency.record(time * 10);
  return report;
}

TEST(Report, the_text_names_every_class_of_outcome) {
  const std::string text = figures_text(made_up());
  for (const char* line :
       {"1,234,567\n", "1,234,560, 123456.0 a second, 126.42 MB/s\n", "200 x 1,234,559, 202 x 1\n",
        "429 x 3\n", "503 x 2, 507 x 1\n", "timeouts   1\n", "5.00 s of CPU, 50 % of one core",
        "p50 5.0", "p99.9 10.0 ms"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\nis not in\n" << text;
  }
  EXPECT_EQ(text.find("unsent"), std::string::npos);
}

TEST(Report, the_json_is_valid_and_complete) {
  Report report = made_up();
  report.proof.emplace();
  report.proof->acknowledged = 10;
  report.proof->found = 9;
  report.proof->missing = 1;
  report.proof->first_missing = {{"0123456789abcdef", 7, "a\"b"}};
  simdjson::dom::parser parser;
  const std::string json = report_json(report, true);
  simdjson::dom::object root;
  ASSERT_EQ(parser.parse(json).get(root), simdjson::SUCCESS) << json;
  EXPECT_EQ(std::string_view(root["url"]), "http://h/\"x\"");
  EXPECT_EQ(std::uint64_t(root["by_status"]["503"]), 2u);
  EXPECT_EQ(std::uint64_t(root["answered_5xx"]), 3u);
  EXPECT_NEAR(double(root["latency_us"]["p99"]), 9900, 99);
  EXPECT_EQ(std::uint64_t(root["latency_us"]["max"]), 10000u);
  EXPECT_EQ(std::uint64_t(root["proof"]["missing"]), 1u);
  EXPECT_EQ(std::string_view(root["proof"]["first_missing"].at(0)["id"]), "a\"b");

  const std::string proof_only = report_json(report, false);
  ASSERT_EQ(parser.parse(proof_only).get(root), simdjson::SUCCESS) << proof_only;
  EXPECT_EQ(root.size(), 1u);
}

TEST(Report, a_load_that_sent_nothing_divides_by_nothing) {
  const Report report;
  EXPECT_NE(figures_text(report).find("latency    none"), std::string::npos);
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  EXPECT_EQ(parser.parse(report_json(report, true)).get(root), simdjson::SUCCESS);
}

TEST(Report, the_proof_names_what_is_missing) {
  Proof proof;
  proof.acknowledged = 1000;
  proof.found = 988;
  proof.missing = 12;
  for (std::uint64_t n = 1; n <= 10; n++)
    proof.first_missing.push_back({"r", n, n == 1 ? "" : "i"});
  const std::string text = proof_text(proof);
  EXPECT_NE(text.find("1,000 acknowledged, 988 found, 12 missing"), std::string::npos) << text;
  EXPECT_NE(text.find("run r number 1 id unknown"), std::string::npos);
  EXPECT_NE(text.find("run r number 2 id i\n"), std::string::npos);
  EXPECT_NE(text.find("and 2 more"), std::string::npos);
}

TEST(Report, times_read_well_at_every_size) {
  EXPECT_EQ(time_text(7), "0.007 ms");
  EXPECT_EQ(time_text(9'999), "9.999 ms");
  EXPECT_EQ(time_text(12'345), "12.3 ms");
  EXPECT_EQ(time_text(1'204'000), "1.204 s");
  EXPECT_EQ(verify_line(1500, 3000),
            "[" + std::string(15, '#') + std::string(15, ' ') + "] 1,500 of 3,000 found");
  EXPECT_TRUE(verify_line(0, 0).ends_with("0 of 0 found"));
}

}  // namespace
}  // namespace inlet::loader
