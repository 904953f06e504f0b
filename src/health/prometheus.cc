#include "health/prometheus.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "health/host_figures.h"

namespace inlet::health {
namespace {

void append_label_value(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

// "0.000064": no exponent, no needless zeros.
std::string seconds_text(Microseconds time_us) {
  std::string text = fmt::format("{:.6f}", static_cast<double>(time_us) / 1e6);
  while (text.ends_with('0') && !text.ends_with(".0")) text.pop_back();
  return text;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Takes what is before the next `separator` off `rest`.
std::string_view next_part(std::string_view& rest, char separator) {
  const std::string_view part = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  return trim(part);
}

double weight_of(std::string_view parameters) {
  double weight = 1;
  while (!parameters.empty()) {
    const std::string_view parameter = next_part(parameters, ';');
    if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) continue;
    const std::string_view value = parameter.substr(2);
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), weight);
    if (error != std::errc()) return 0;
  }
  return weight;
}

// Of the versions named, ours is 1.0.0; a range without a version takes any.
bool takes_version_1(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::string parameter = lower(next_part(parameters, ';'));
    if (parameter.starts_with("version=")) {
      return parameter == "version=1.0.0" || parameter == "version=\"1.0.0\"";
    }
  }
  return true;
}

}  // namespace

Exposition negotiate(std::string_view accept) {
  double openmetrics = 0;
  double plain = 0;
  while (!accept.empty()) {
    std::string_view range = next_part(accept, ',');
    const std::string type = lower(next_part(range, ';'));
    if (type == "application/openmetrics-text" && takes_version_1(range)) {
      openmetrics = std::max(openmetrics, weight_of(range));
    }
    if (type == "text/plain") plain = std::max(plain, weight_of(range));
  }
  return openmetrics > 0 && openmetrics >= plain ? Exposition::openmetrics : Exposition::prometheus;
}

std::string_view content_type(Exposition format) {
  return format == Exposition::openmetrics ? openmetrics_content_type : prometheus_content_type;
}

void PrometheusText::family(MetricId id) {
  constexpr std::string_view total = "_total";
  const Metric& row = metric(id);
  std::string_view name = name_ = row.name;
  // OpenMetrics 1.0, "Counter": only the sample's name ends so.
  if (format_ == Exposition::openmetrics && row.type == MetricType::counter) {
    name.remove_suffix(total.size());
  }
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, row.help, name,
                 name_of(row.type));
}

void PrometheusText::start_sample(std::string_view suffix, Labels labels, std::string_view le) {
  text_ += name_;
  text_ += suffix;
  char separator = '{';
  const auto add_label = [&](std::string_view label, std::string_view value) {
    text_ += separator;
    separator = ',';
    text_ += label;
    text_ += "=\"";
    append_label_value(text_, value);
    text_ += '"';
  };
  for (const auto& [label, value] : labels) add_label(label, value);
  if (!le.empty()) add_label("le", le);
  if (separator == ',') text_ += '}';
  text_ += ' ';
}

void PrometheusText::sample(std::uint64_t value, Labels labels) {
  start_sample("", labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", value);
}

void PrometheusText::sample(double value, Labels labels) {
  start_sample("", labels);
  if (std::isinf(value)) {
    text_ += value > 0 ? "+Inf\n" : "-Inf\n";
  } else if (std::isnan(value)) {
    text_ += "NaN\n";
  } else {
    fmt::format_to(std::back_inserter(text_), "{}\n", value);
  }
}

void PrometheusText::sample(const LatencyHistogram& histogram, Labels labels) {
  std::uint64_t passed = 0;
  std::size_t bucket = 0;
  for (const Microseconds bound : latency_bounds_us) {
    for (; bucket <= LatencyHistogram::bucket_of(bound); bucket++) {
      passed += histogram.counts()[bucket];
    }
    start_sample("_bucket", labels, seconds_text(bound));
    fmt::format_to(std::back_inserter(text_), "{}\n", passed);
  }
  start_sample("_bucket", labels, "+Inf");
  fmt::format_to(std::back_inserter(text_), "{}\n", histogram.count());
  start_sample("_sum", labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", static_cast<double>(histogram.sum_us()) / 1e6);
  start_sample("_count", labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", histogram.count());
}

void PrometheusText::end() {
  if (format_ == Exposition::openmetrics) text_ += "# EOF\n";
}

namespace {

void add_machine(PrometheusText& out, const HostFigures& host) {
  if (host.load) {
    out.add(MetricId::host_load1, std::optional(host.load->one));
    out.add(MetricId::host_load5, std::optional(host.load->five));
    out.add(MetricId::host_load15, std::optional(host.load->fifteen));
  }
  if (host.cpu) {
    out.family(MetricId::host_cpu);
    out.sample(host.cpu->user, {{"mode", "user"}});
    out.sample(host.cpu->nice, {{"mode", "nice"}});
    out.sample(host.cpu->system, {{"mode", "system"}});
    out.sample(host.cpu->idle, {{"mode", "idle"}});
    out.sample(host.cpu->iowait, {{"mode", "iowait"}});
    out.sample(host.cpu->steal, {{"mode", "steal"}});
  }
  if (host.memory) {
    out.add(MetricId::host_memory, std::optional(host.memory->total_bytes));
    out.add(MetricId::host_memory_available, std::optional(host.memory->available_bytes));
  }
  out.add(MetricId::host_group_memory, host.group_memory_used_bytes);
  out.add(MetricId::host_group_memory_max, host.group_memory_max_bytes);
  out.add(MetricId::host_group_cpus, host.group_cpus);
  if (host.disk) {
    out.add(MetricId::host_disk, std::optional(host.disk->total_bytes));
    out.add(MetricId::host_disk_free, std::optional(host.disk->free_bytes));
  }
  if (host.network) {
    out.add(MetricId::host_network_in, std::optional(host.network->in_bytes));
    out.add(MetricId::host_network_out, std::optional(host.network->out_bytes));
  }
}

}  // namespace

void add_host(PrometheusText& out, const HostFigures& host) {
  add_machine(out, host);
  const ProcessFigures& process = host.process;
  out.add(MetricId::process_cpu, process.cpu_seconds);
  out.add(MetricId::process_open_fds, process.open_descriptors);
  out.add(MetricId::process_max_fds, process.descriptors_max);
  out.add(MetricId::process_virtual_memory, process.virtual_bytes);
  out.add(MetricId::process_resident_memory, process.resident_bytes);
  out.add(MetricId::process_start_time, process.start_s);
  out.add(MetricId::process_threads, process.threads);
}

}  // namespace inlet::health
