#include "health/totals.h"

#include <fmt/format.h>

namespace inlet::health {

void Totals::add(const RequestFigures& loop) {
  Totals& self = *this;
  self[Flow::answers_2xx] += loop.answers[2].get();
  self[Flow::answers_3xx] += loop.answers[3].get();
  self[Flow::answers_4xx] += loop.answers[4].get();
  self[Flow::answers_5xx] += loop.answers[5].get();
  request_latency.merge(loop.latency.snapshot());
}

void Totals::merge(const Totals& other) {
  for (std::size_t i = 0; i < flows; i++) counts[i] += other.counts[i];
  request_latency.merge(other.request_latency);
  commit_latency.merge(other.commit_latency);
}

std::uint64_t Interval::requests() const {
  return totals[Flow::answers_2xx] + totals[Flow::answers_3xx] + totals[Flow::answers_4xx] +
         totals[Flow::answers_5xx];
}

double Interval::rate(Flow flow) const {
  if (length_us <= 0) return 0;
  return static_cast<double>(totals[flow]) * 1e6 / static_cast<double>(length_us);
}

double Interval::request_rate() const {
  if (length_us <= 0) return 0;
  return static_cast<double>(requests()) * 1e6 / static_cast<double>(length_us);
}

void Interval::merge(const Interval& later) {
  length_us += later.length_us;
  totals.merge(later.totals);
}

Interval between(const Totals& earlier, const Totals& later, Microseconds length_us) {
  Interval out{.length_us = length_us};
  for (std::size_t i = 0; i < flows; i++) {
    if (later.counts[i] > earlier.counts[i]) {
      out.totals.counts[i] = later.counts[i] - earlier.counts[i];
    }
  }
  out.totals.request_latency = later.request_latency.since(earlier.request_latency);
  out.totals.commit_latency = later.commit_latency.since(earlier.commit_latency);
  return out;
}

void append_json(std::string& out, const Interval& interval) {
  fmt::format_to(
      std::back_inserter(out),
      R"({{"length_s":{:.1f},"requests":{},"requests_per_s":{:.1f},"2xx":{},"3xx":{},"4xx":{},)"
      R"("5xx":{},"records":{},"body_bytes":{},"received_bytes":{},"commits":{},)"
      R"("network_in_bytes":{},"network_out_bytes":{},)"
      R"("records_per_s":{:.1f},"body_bytes_per_s":{:.0f},"received_bytes_per_s":{:.0f},)"
      R"("commits_per_s":{:.1f},"commits_failed":{},"dead_records":{},)"
      R"("network_in_bytes_per_s":{:.0f},"network_out_bytes_per_s":{:.0f},"latency_us":)",
      static_cast<double>(interval.length_us) / 1e6, interval.requests(), interval.request_rate(),
      interval[Flow::answers_2xx], interval[Flow::answers_3xx], interval[Flow::answers_4xx],
      interval[Flow::answers_5xx], interval[Flow::records], interval[Flow::body_bytes],
      interval[Flow::received_bytes], interval[Flow::commits], interval[Flow::network_in_bytes],
      interval[Flow::network_out_bytes], interval.rate(Flow::records),
      interval.rate(Flow::body_bytes), interval.rate(Flow::received_bytes),
      interval.rate(Flow::commits), interval[Flow::commits_failed], interval[Flow::dead_records],
      interval.rate(Flow::network_in_bytes), interval.rate(Flow::network_out_bytes));
  append_json(out, interval.totals.request_latency);
  out += R"(,"commit_latency_us":)";
  append_json(out, interval.totals.commit_latency);
  out += '}';
}

}  // namespace inlet::health
