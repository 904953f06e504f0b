// Goal: CloudWatch takes every line we write and makes of it the metrics we mean, no more (each
// costs money) and no fewer.
// Method: a check written from the published specification, over lines of every combination of
// options and of nodes in any state; figures compared one by one.

#include "health/emf.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "health/json_reader_test.h"

namespace inlet::health {
namespace {

using Kind = JsonValue::Kind;
constexpr Microseconds now_us = 1'790'000'000'123'456;

bool is_unit(const std::string& unit) {
  static const std::set<std::string> plain = {"Seconds", "Microseconds", "Milliseconds", "Percent",
                                              "Count",   "Count/Second", "None"};
  if (plain.contains(unit)) return true;
  for (const std::string size : {"", "Kilo", "Mega", "Giga", "Tera"}) {
    for (const std::string what : {"bytes", "bits"}) {
      std::string name = size + what;
      name[0] = static_cast<char>(std::toupper(name[0]));
      if (unit == name || unit == name + "/Second") return true;
    }
  }
  return false;
}

bool has_length(const std::string& text, std::size_t most) {
  return !text.empty() && text.size() <= most;
}

// A metric's value: a number, up to 100 of them, or up to 100 with their counts.
void check_target(const JsonValue& value, bool published_only) {
  if (value.is(Kind::number)) return;
  if (value.is(Kind::array)) {
    EXPECT_FALSE(value.items.empty());
    EXPECT_LE(value.items.size(), 100u);
    for (const JsonValue& item : value.items) EXPECT_TRUE(item.is(Kind::number));
    return;
  }
  ASSERT_TRUE(value.is(Kind::object));
  EXPECT_FALSE(published_only) << "not in the published schema";
  const auto& values = value.at("Values").items;
  const auto& counts = value.at("Counts").items;
  EXPECT_FALSE(values.empty());
  EXPECT_LE(values.size(), 100u);
  ASSERT_EQ(values.size(), counts.size());
  double count = 0;
  std::set<double> distinct;
  for (const JsonValue& item : counts) count += item.number;
  for (const JsonValue& item : values) distinct.insert(item.number);
  EXPECT_EQ(distinct.size(), values.size());
  EXPECT_EQ(value.at("Count").number, count);
  EXPECT_EQ(value.at("Min").number, *distinct.begin());
  EXPECT_EQ(value.at("Max").number, *distinct.rbegin());
  EXPECT_TRUE(value.at("Sum").is(Kind::number));
}

void check_dimensions(const JsonValue& line, const JsonValue& sets) {
  EXPECT_FALSE(sets.items.empty());
  for (const JsonValue& set : sets.items) {
    EXPECT_TRUE(set.is(Kind::array));
    EXPECT_LE(set.items.size(), 30u);
    for (const JsonValue& name : set.items) {
      EXPECT_TRUE(has_length(name.text, 250));
      EXPECT_TRUE(line.at(name.text).is(Kind::string)) << name.text;
      EXPECT_TRUE(has_length(line.at(name.text).text, 1024)) << name.text;
    }
  }
}

// What the specification asks of a line; returns how many metrics it makes (with their dimensions).
std::size_t check_line(const std::string& text, bool published_only) {
  EXPECT_LE(text.size(), 1'000'000u);
  const JsonValue line = parse_json(text);
  const JsonValue& aws = line.at("_aws");
  const double timestamp = aws.at("Timestamp").number;
  EXPECT_EQ(timestamp, std::floor(timestamp));
  EXPECT_GE(timestamp, 0);
  std::size_t made = 0;
  std::set<std::string> metrics;
  for (const JsonValue& directive : aws.at("CloudWatchMetrics").items) {
    EXPECT_TRUE(has_length(directive.at("Namespace").text, 1024));
    EXPECT_FALSE(directive.at("Namespace").text.starts_with("AWS/"));
    check_dimensions(line, directive.at("Dimensions"));
    EXPECT_LE(directive.at("Metrics").items.size(), 100u);
    for (const JsonValue& metric : directive.at("Metrics").items) {
      const std::string& name = metric.at("Name").text;
      EXPECT_TRUE(has_length(name, 1024));
      EXPECT_TRUE(metrics.insert(name).second) << name << " comes twice";
      EXPECT_TRUE(is_unit(metric.at("Unit").text)) << metric.at("Unit").text;
      if (metric.has("StorageResolution")) {
        EXPECT_EQ(metric.at("StorageResolution").number, 1);
      }
      check_target(line.at(name), published_only);
      made += directive.at("Dimensions").items.size();
    }
  }
  return made;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    EXPECT_NE(end, std::string::npos) << "no line end";
    if (end == std::string::npos) break;
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

struct World {
  Interval period{.length_us = 60'000'000};
  HostFigures host;
};

CloudFigures busy(World& world) {
  Totals& totals = world.period.totals;
  totals[Flow::answers_2xx] = 900;
  totals[Flow::answers_4xx] = 60;
  totals[Flow::answers_5xx] = 40;
  totals[Flow::records] = 890;
  totals[Flow::network_in_bytes] = 123'456;
  totals[Flow::network_out_bytes] = 7'890;
  for (int i = 1; i <= 1000; i++) totals.request_latency.record(i * 10);
  for (int i = 1; i <= 10; i++) totals.commit_latency.record(250);
  world.host.load = LoadAverage{.one = 1.5, .five = 1, .fifteen = 1};
  world.host.cpu = CpuShares{10, 0, 5, 80, 5, 0};
  world.host.memory = Memory{1000, 250};
  world.host.disk = Space{1000, 400};
  return {.period = world.period,
          .host = world.host,
          .level = Level::warning,
          .journal_used_percent = 12.5,
          .journal_full_in_s = 3600,
          .sinks = {{"archive", 3.5, 1000}, {"kafka", 340, 5000}, {"spare", 3.5, 7}}};
}

EmfOptions options() { return {.environment = "prod", .node = "ingest-1", .instance_id = "i-0ab"}; }

TEST(Emf, every_combination_of_options_makes_lines_that_follow_the_specification) {
  for (int bits = 0; bits < 32; bits++) {
    EmfOptions chosen = options();
    if ((bits & 1) != 0) chosen.environment.clear();
    chosen.per_node = (bits & 2) != 0;
    chosen.per_sink = (bits & 4) != 0;
    chosen.high_resolution = (bits & 8) != 0;
    chosen.sampled = (bits & 16) != 0;
    World world;
    std::size_t made = 0;
    const auto lines = lines_of(emf_lines(chosen, busy(world), now_us));
    for (const std::string& line : lines) made += check_line(line, chosen.sampled);
    EXPECT_EQ(lines.size(), chosen.per_sink ? 4u : 1u);
    // What the header says it costs.
    const std::size_t expected = 24 + (chosen.per_node ? 11 : 0) + (chosen.per_sink ? 2 * 3 : 0);
    EXPECT_EQ(made, expected) << bits;
  }
}

TEST(Emf, a_node_at_rest_sends_what_it_knows) {
  const Interval period{.length_us = 60'000'000};
  const HostFigures host;
  const auto lines = lines_of(emf_lines(options(), {.period = period, .host = host}, now_us));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_GT(check_line(lines[0], true), 10u);
  const JsonValue line = parse_json(lines[0]);
  EXPECT_EQ(line.at("Requests").number, 0);
  EXPECT_FALSE(line.has("Latency"));
  EXPECT_FALSE(line.has("CPUUser"));
  EXPECT_FALSE(line.has("JournalFullIn"));
}

TEST(Emf, figures_are_those_of_the_period) {
  World world;
  const CloudFigures figures = busy(world);
  const JsonValue line = parse_json(lines_of(emf_lines(options(), figures, now_us))[0]);
  EXPECT_EQ(line.at("_aws").at("Timestamp").number, 1'790'000'000'123);
  EXPECT_EQ(line.at("Requests").number, 1000);
  EXPECT_EQ(line.at("Responses5xx").number, 40);
  EXPECT_EQ(line.at("NetworkIn").number, 123'456);
  EXPECT_EQ(line.at("NetworkOut").number, 7'890);
  EXPECT_EQ(line.at("HealthLevel").number, 15);
  EXPECT_EQ(line.at("JournalUsed").number, 12.5);
  EXPECT_EQ(line.at("JournalFullIn").number, 3600);
  EXPECT_EQ(line.at("MemoryUsed").number, 75);
  EXPECT_EQ(line.at("DiskUsed").number, 60);
  EXPECT_EQ(line.at("LoadAverage1min").number, 1.5);
  EXPECT_EQ(line.at("Node").text, "ingest-1");
  EXPECT_EQ(line.at("InstanceId").text, "i-0ab");
  EXPECT_EQ(line.at("SinkLag").at("Max").number, 340);
  EXPECT_EQ(line.at("SinkLag").at("Count").number, 3);
  EXPECT_EQ(line.at("Latency").at("Count").number, 1000);
  EXPECT_NEAR(line.at("Latency").at("Sum").number, 5.005, 1e-9);
}

TEST(Emf, the_instance_is_never_a_dimension) {
  World world;
  const JsonValue line = parse_json(lines_of(emf_lines(options(), busy(world), now_us))[0]);
  for (const JsonValue& directive : line.at("_aws").at("CloudWatchMetrics").items) {
    for (const JsonValue& set : directive.at("Dimensions").items) {
      for (const JsonValue& name : set.items) EXPECT_NE(name.text, "InstanceId");
    }
  }
}

TEST(Emf, sampled_latency_has_the_percentiles_of_all) {
  World world;
  EmfOptions sampled = options();
  sampled.sampled = true;
  const CloudFigures figures = busy(world);
  const JsonValue line = parse_json(lines_of(emf_lines(sampled, figures, now_us))[0]);
  const auto& values = line.at("Latency").items;
  ASSERT_EQ(values.size(), 100u);
  const LatencyHistogram& all = world.period.totals.request_latency;
  for (const double percent : {10, 50, 90, 99}) {
    const double got = values[static_cast<std::size_t>(percent) - 1].number * 1e6;
    const double low = static_cast<double>(all.percentile_us(percent - 1));
    EXPECT_GE(got, low * 0.9) << percent;
    EXPECT_LE(got, static_cast<double>(all.percentile_us(percent)) * 1.1) << percent;
  }
}

TEST(Emf, names_of_nodes_cannot_break_the_line) {
  World world;
  EmfOptions hostile = options();
  hostile.node = "a\"b\\c\nd";
  const auto lines = lines_of(emf_lines(hostile, busy(world), now_us));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(parse_json(lines[0]).at("Node").text, hostile.node);
}

TEST(Emf, the_fullest_line_is_within_the_limits) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  World world;
  CloudFigures figures = busy(world);
  LatencyHistogram::Counts full;
  for (auto& count : full) count = random() >> 24;
  world.period.totals.request_latency = LatencyHistogram(full, random() >> 12);
  world.period.totals.commit_latency = LatencyHistogram(full, random() >> 12);
  for (auto& count : world.period.totals.counts) count = random() >> 24;
  figures.sinks.clear();
  for (int i = 0; i < 300; i++) {
    figures.sinks.push_back({fmt::format("s{}", i), static_cast<double>(random() % 1000), 1});
  }
  figures.sinks.push_back({"lost", std::numeric_limits<double>::infinity(), 1});
  const auto lines = lines_of(emf_lines(options(), figures, now_us));
  ASSERT_EQ(lines.size(), 1u);
  check_line(lines[0], false);
}

TEST(CloudMetrics, the_table_has_the_two_scopes_the_bill_is_made_of) {
  const auto table = cloud_metric_table();
  EXPECT_EQ(std::ranges::count_if(table, &CloudMetricRow::of_fleet), 24);
  EXPECT_EQ(std::ranges::count_if(table, &CloudMetricRow::of_node), 11);
  for (const CloudMetricRow& row : table) {
    EXPECT_TRUE(is_unit(std::string(row.unit))) << row.name;
    EXPECT_TRUE(row.of_fleet || row.of_node) << row.name;
    EXPECT_FALSE(row.help.empty()) << row.name;
  }
}

TEST(CloudMetrics, joining_buckets_keeps_every_count_and_never_lowers_a_value) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> magnitude(0, 21);
  LatencyHistogram histogram;
  for (int i = 0; i < 50000; i++) {
    histogram.record(static_cast<Microseconds>(std::exp(magnitude(random))));
  }
  for (const std::size_t most : {1, 2, 10, 100, 150, 896}) {
    const CloudValues values = values_of(histogram, most);
    ASSERT_LE(values.values.size(), most);
    EXPECT_EQ(values.count(), histogram.count());
    EXPECT_TRUE(std::ranges::is_sorted(values.values, std::less_equal<>()));
    double passed = 0;
    for (std::size_t i = 0; i < values.values.size(); i++) {
      passed += static_cast<double>(values.counts[i]);
      const auto bound = static_cast<Microseconds>(std::llround(values.values[i] * 1e6));
      ASSERT_EQ(histogram.count_up_to(bound), static_cast<std::uint64_t>(passed)) << most;
    }
  }
  const CloudValues hundred = values_of(histogram, 100);
  EXPECT_GT(hundred.values.size(), 50u) << "joins no more than it must";
}

}  // namespace
}  // namespace inlet::health
