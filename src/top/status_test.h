// status_test: status documents and nodes for tests.

#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/check.h"
#include "top/fleet.h"
#include "top/node_status.h"

namespace inlet::top {

inline std::string interval_json(double requests_per_s, std::string_view buckets,
                                 unsigned failed = 0) {
  return fmt::format(
      R"({{"length_s":10.0,"requests":{0:.0f},"requests_per_s":{1},"2xx":{2:.0f},"3xx":0,"4xx":0,)"
      R"("5xx":{3},"records_per_s":1,"body_bytes_per_s":2,"received_bytes_per_s":3,)"
      R"("commits_per_s":4,"commits_failed":5,"dead_records":6,"network_in_bytes_per_s":7,)"
      R"("network_out_bytes_per_s":8,"latency_us":{{"count":1,"sum_us":10,"buckets":{4}}},)"
      R"("commit_latency_us":{{"count":0,"sum_us":0,"buckets":[]}}}})",
      requests_per_s * 10, requests_per_s, requests_per_s * 10 - failed, failed, buckets);
}

struct Sample {
  std::string name = "node-a";
  std::string level = "Ok";
  std::string causes = "[]";
  double requests_per_s = 10;
  unsigned failed = 0;
  std::string buckets = "[[4,100]]";
  std::string more = R"("journal":{"used_percent":12.5,"full_in_s":null})";
};

inline std::string document_of(const Sample& sample) {
  const std::string interval = interval_json(sample.requests_per_s, sample.buckets, sample.failed);
  return fmt::format(
      R"({{"schema":2,"node":"{}","health":{{"level":"{}","causes":{}}},"last_10s":{},)"
      R"("last_minute":{},{}}})",
      sample.name, sample.level, sample.causes, interval, interval, sample.more);
}

inline NodeStatus status_of(const Sample& sample) {
  auto status = parse_status(document_of(sample));
  CHECK(status.has_value());
  return std::move(*status);
}

inline Node answering(const Sample& sample, std::string address) {
  Node node;
  node.target = node.address = std::move(address);
  node.url = "http://" + node.address + "/status.json";
  node.reach = Reach::answering;
  node.status = status_of(sample);
  node.name = node.status->node;
  return node;
}

inline Node silent(std::string address, std::string why, Microseconds since_us = 0) {
  Node node;
  node.target = node.address = std::move(address);
  node.url = "http://" + node.address + "/status.json";
  node.reach = Reach::silent;
  node.why = std::move(why);
  node.since_us = since_us;
  return node;
}

}  // namespace inlet::top
