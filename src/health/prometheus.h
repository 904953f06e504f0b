// prometheus: figures as text, in the Prometheus exposition format 0.0.4 or in OpenMetrics 1.0.
//
// The two differ in the names of counters' families, in the last line and in the content type; a
// scraper says in Accept which it takes.
//
// Pure; any thread.

#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "health/latency_histogram.h"
#include "health/metrics_table.h"

namespace inlet::health {

enum class Exposition : std::uint8_t { prometheus, openmetrics };

// OpenMetrics where `accept` names it and does not prefer plain text (RFC 9110 section 12.5.1).
[[nodiscard]] Exposition negotiate(std::string_view accept);
[[nodiscard]] std::string_view content_type(Exposition format);

class PrometheusText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  explicit PrometheusText(Exposition format = Exposition::prometheus) : format_(format) {}

  // Starts a family: its HELP and TYPE lines. All its samples follow before the next family.
  void family(MetricId id);

  void sample(std::uint64_t value, Labels labels = {});
  void sample(double value, Labels labels = {});
  // Of a histogram: buckets as in latency_bounds_us, sum and count, in seconds.
  void sample(const LatencyHistogram& histogram, Labels labels = {});

  // A family with one sample,
  template <typename T>
  void add(MetricId id, const T& value) {
    family(id);
    sample(value);
  }
  // left out if there is no value.
  template <typename T>
  void add(MetricId id, const std::optional<T>& value) {
    if (!value) return;
    family(id);
    sample(*value);
  }

  // Once, after the last sample.
  void end();
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void start_sample(std::string_view suffix, Labels labels, std::string_view le = {});

  const Exposition format_;
  std::string text_;
  std::string name_;  // Of the samples.
};

inline constexpr std::string_view prometheus_content_type =
    "text/plain; version=0.0.4; charset=utf-8";
inline constexpr std::string_view openmetrics_content_type =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct HostFigures;
// The families inlet_host_… and process_…, without those that are absent.
void add_host(PrometheusText& out, const HostFigures& host);

}  // namespace inlet::health
