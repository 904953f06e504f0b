// Goal: what CloudWatch is told of a node is what the node said; a document that is not a status is
// refused whole, never half believed.
// Method: a document made by the writers the node uses, read back; then the same with one field
// missing, of another type or out of range at a time.

#include "ship/cloudwatch_status.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace inlet::ship {
namespace {

health::Totals some_totals() {
  health::Totals totals;
  for (std::size_t i = 0; i < health::flows; i++) totals.counts[i] = 1'000'000'007 * (i + 1);
  for (Microseconds i = 1; i < 2'000; i++) totals.request_latency.record(i * i);
  totals.request_latency.record(health::LatencyHistogram::value_max_us);
  totals.commit_latency.record(90);
  return totals;
}

constexpr std::string_view host =
    R"({"cpus":2,"load":[0.5,0.25,0.125],"cpu":{"user":1.5,"nice":0.0,"system":2.5,"idle":95.0,)"
    R"("iowait":1.0,"steal":0.0},"memory_bytes":1000,"memory_available_bytes":250,)"
    R"("memory_used_percent":74.6,"disk_bytes":1000,"disk_free_bytes":400,"disk_used_percent":60})";
constexpr std::string_view journal = R"({"id":"x","used_percent":12.5,"full_in_s":3600})";
constexpr std::string_view sinks =
    R"([{"name":"lake","lag_s":340.5,"lag_bytes":7},{"name":"bus","lag_s":0,"lag_bytes":0}])";

std::string document(std::string_view host_text = host, std::string_view journal_text = journal,
                     std::string_view sinks_text = sinks) {
  std::string out = R"({"schema":2,"node":"a","uptime_s":12.3,"draining":true,)"
                    R"("health":{"level":"Degraded","causes":[]},"totals":)";
  health::append_json(out, health::between({}, some_totals(), 12'300'000));
  return out + fmt::format(R"(,"host":{},"journal":{},"sinks":{}}})", host_text, journal_text,
                           sinks_text);
}

TEST(NodeStatus, is_read_as_it_was_written) {
  const auto status = read_node_status(document());
  ASSERT_TRUE(status) << status.error().what;
  const health::Totals totals = some_totals();
  EXPECT_EQ(status->totals.counts, totals.counts);
  EXPECT_EQ(status->totals.request_latency.counts(), totals.request_latency.counts());
  EXPECT_EQ(status->totals.request_latency.sum_us(), totals.request_latency.sum_us());
  EXPECT_EQ(status->totals.commit_latency.counts(), totals.commit_latency.counts());
  EXPECT_DOUBLE_EQ(status->uptime_s, 12.3);
  EXPECT_TRUE(status->draining);
  EXPECT_EQ(status->level, health::Level::degraded);
  EXPECT_DOUBLE_EQ(status->host.load->one, 0.5);
  EXPECT_DOUBLE_EQ(status->host.cpu->idle, 95);
  EXPECT_NEAR(*status->host.memory_used_percent(), 74.6, 1e-6);
  EXPECT_DOUBLE_EQ(*status->host.disk_used_percent(), 60);
  EXPECT_DOUBLE_EQ(status->journal_used_percent, 12.5);
  EXPECT_DOUBLE_EQ(*status->journal_full_in_s, 3600);
  ASSERT_EQ(status->sinks.size(), 2u);
  EXPECT_EQ(status->sinks[0].name, "lake");
  EXPECT_DOUBLE_EQ(status->sinks[0].seconds, 340.5);
  EXPECT_EQ(status->sinks[0].bytes, 7u);
}

TEST(NodeStatus, has_nothing_where_the_node_could_not_look) {
  const auto status = read_node_status(
      document(R"({"cpus":1,"load":null,"cpu":null,"memory_bytes":null,)"
               R"("memory_used_percent":null,"disk_bytes":null,"disk_free_bytes":null})",
               R"({"used_percent":0.0,"full_in_s":null})", "[]"));
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_FALSE(status->host.load);
  EXPECT_FALSE(status->host.cpu);
  EXPECT_FALSE(status->host.memory_used_percent());
  EXPECT_FALSE(status->host.disk_used_percent());
  EXPECT_FALSE(status->journal_full_in_s);
  EXPECT_TRUE(status->sinks.empty());
}

TEST(NodeStatus, that_lacks_or_twists_anything_is_refused) {
  const std::string whole = document();
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = whole;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  ASSERT_TRUE(read_node_status(whole));
  const std::pair<std::string_view, std::string_view> changes[] = {
      {"\"uptime_s\":12.3", "\"uptime_s\":null"},
      {"\"draining\":true", "\"draining\":1"},
      {"Degraded", "Splendid"},
      {"\"totals\"", "\"total\""},
      {"\"records\":", "\"record\":"},
      {"\"network_in_bytes\":", "\"network_in_bytes\":-"},
      {"\"2xx\":", "\"2xx\":0.5,\"was\":"},
      {"\"commit_latency_us\"", "\"commit_latency\""},
      {"\"buckets\":[[", "\"buckets\":[[896,1],["},
      {"\"buckets\":[[", "\"buckets\":[[-1,1],["},
      {"\"buckets\":[[", "\"buckets\":[[1],["},
      {"\"used_percent\":12.5", "\"used_percent\":\"12.5\""},
      {"\"lag_s\":340.5", "\"lag_s\":null"},
      {"\"sinks\":[", "\"sinks\":[7,"},
  };
  for (const auto& [from, to] : changes) {
    const auto status = read_node_status(with(from, to));
    ASSERT_FALSE(status) << to;
    EXPECT_EQ(status.error().kind, ErrorKind::corrupt);
  }
  for (std::size_t cut = 0; cut < whole.size(); cut += 97) {
    EXPECT_FALSE(read_node_status(std::string_view(whole).substr(0, cut)));
  }
  EXPECT_FALSE(read_node_status("[]"));
  EXPECT_FALSE(read_node_status("<html>"));
}

}  // namespace
}  // namespace inlet::ship
