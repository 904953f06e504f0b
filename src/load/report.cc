#include "load/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/json.h"

namespace inlet::loader {
namespace {

struct Percentile {
  const char* name;
  double percent;
};
constexpr std::array<Percentile, 6> percentiles = {
    {{"p50", 50}, {"p75", 75}, {"p90", 90}, {"p95", 95}, {"p99", 99}, {"p99.9", 99.9}}};

double per_second(std::uint64_t count, Microseconds time_us) {
  return time_us <= 0 ? 0 : static_cast<double>(count) * 1e6 / static_cast<double>(time_us);
}
double megabytes_per_second(std::uint64_t bytes, Microseconds time_us) {
  return per_second(bytes, time_us) / 1e6;
}

// "1234567" as "1,234,567".
std::string grouped(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string percentiles_text(const Histogram& times) {
  if (times.count() == 0) return "none";
  std::string text = "min " + time_text(times.min_us());
  for (const auto& [name, percent] : percentiles) {
    text += fmt::format(", {} {}", name, time_text(times.percentile_us(percent)));
  }
  return text + ", max " + time_text(times.max_us());
}

std::string percentiles_json(const Histogram& times) {
  std::string json = fmt::format("{{\"count\":{},\"min\":{}", times.count(), times.min_us());
  for (const auto& [name, percent] : percentiles) {
    json += fmt::format(",\"{}\":{}", name, times.percentile_us(percent));
  }
  return json + fmt::format(",\"max\":{}}}", times.max_us());
}

// "503 x 12, 507 x 1" of one class of status codes.
std::string statuses_text(const Figures& figures, std::size_t status_class) {
  std::string text;
  for (std::size_t code = status_class * 100; code < status_class * 100 + 100; code++) {
    if (figures.by_status[code] == 0) continue;
    text +=
        fmt::format("{}{} x {}", text.empty() ? "" : ", ", code, grouped(figures.by_status[code]));
  }
  return text.empty() ? "0" : text;
}

std::string statuses_json(const Figures& figures) {
  std::string json;
  for (std::size_t code = 0; code < figures.by_status.size(); code++) {
    if (figures.by_status[code] == 0) continue;
    json += fmt::format("{}\"{}\":{}", json.empty() ? "" : ",", code, figures.by_status[code]);
  }
  return "{" + json + "}";
}

std::string load_json(const Report& report) {
  const Figures& figures = report.figures;
  const Driver::Options& options = report.options;
  std::string json = "\"url\":";
  append_json_string(json, report.url);
  json += ",\"run\":";
  append_json_string(json, report.run);
  json += fmt::format(
      ",\"asked_rate\":{},\"pacing\":\"{}\",\"connections\":{},\"body_bytes\":{},\"seed\":{}",
      options.rate_per_s, options.pacing == Pacing::even ? "even" : "poisson", options.connections,
      report.body_bytes, options.seed);
  json += fmt::format(",\"measured_s\":{:.6f},\"sent\":{},\"repeats\":{},\"accepted\":{}",
                      static_cast<double>(figures.measured_us) / 1e6, figures.sent, figures.repeats,
                      figures.accepted);
  json += fmt::format(",\"rate\":{:.1f},\"body_megabytes_per_s\":{:.3f}",
                      per_second(figures.accepted, figures.measured_us),
                      megabytes_per_second(figures.body_bytes_accepted, figures.measured_us));
  json += fmt::format(",\"answered_2xx\":{},\"answered_3xx\":{},\"answered_4xx\":{}",
                      figures.answered(2), figures.answered(3), figures.answered(4));
  json += fmt::format(",\"answered_5xx\":{},\"by_status\":{}", figures.answered(5),
                      statuses_json(figures));
  json += fmt::format(",\"timeouts\":{},\"refused\":{},\"broken\":{},\"malformed\":{}",
                      figures.timeouts, figures.refused, figures.broken, figures.malformed);
  json += fmt::format(",\"unsent\":{},\"given_up\":{}", figures.unsent, figures.given_up);
  json += ",\"latency_us\":" + percentiles_json(figures.latency);
  json += ",\"lateness_us\":" + percentiles_json(figures.lateness);
  return json + fmt::format(",\"loader_cpu_s\":{:.6f}", static_cast<double>(figures.cpu_us) / 1e6);
}

std::string proof_json(const Proof& proof) {
  std::string json = fmt::format(
      "{{\"acknowledged\":{},\"found\":{},\"missing\":{},\"twice\":{},\"twice_after_repeat\":{}",
      proof.acknowledged, proof.found, proof.missing, proof.twice, proof.twice_after_repeat);
  json += fmt::format(",\"unacknowledged\":{},\"damaged\":{},\"malformed\":{},\"foreign\":{}",
                      proof.unacknowledged, proof.damaged, proof.malformed, proof.foreign);
  json += fmt::format(",\"objects\":{},\"objects_unreadable\":{},\"first_missing\":[",
                      proof.objects, proof.objects_unreadable);
  for (std::size_t i = 0; i < proof.first_missing.size(); i++) {
    const Missing& missing = proof.first_missing[i];
    json += fmt::format("{}{{\"run\":\"{}\",\"n\":{},\"id\":", i == 0 ? "" : ",", missing.run,
                        missing.number);
    append_json_string(json, missing.id);
    json += '}';
  }
  return json + "]}";
}

}  // namespace

std::string time_text(Microseconds time_us) {
  const double time_ms = static_cast<double>(time_us) / 1000;
  if (time_us < 10'000) return fmt::format("{:.3f} ms", time_ms);
  if (time_us < 1'000'000) return fmt::format("{:.1f} ms", time_ms);
  return fmt::format("{:.3f} s", time_ms / 1000);
}

std::string figures_text(const Report& report) {
  const Figures& figures = report.figures;
  const Driver::Options& options = report.options;
  const std::string pace = options.rate_per_s == 0
                               ? std::string("as fast as answered")
                               : fmt::format("{:.10g} a second ({})", options.rate_per_s,
                                             options.pacing == Pacing::even ? "even" : "poisson");
  const std::string size =
      report.body_bytes == 0 ? std::string("lines") : grouped(report.body_bytes) + " bytes";
  const auto seconds = static_cast<double>(figures.measured_us) / 1e6;
  const auto cpu_us = static_cast<double>(figures.cpu_us);
  std::string text = fmt::format("run {}: {}, {}, {}, {} connections, {:.1f} s\n", report.run,
                                 report.url, pace, size, grouped(options.connections), seconds);
  const auto row = [&](const char* name, const std::string& value) {
    text += fmt::format("  {:<10} {}\n", name, value);
  };
  row("sent",
      grouped(figures.sent) +
          (figures.repeats > 0 ? fmt::format(" ({} again)", grouped(figures.repeats)) : ""));
  row("accepted",
      fmt::format("{}, {:.1f} a second, {:.2f} MB/s", grouped(figures.accepted),
                  per_second(figures.accepted, figures.measured_us),
                  megabytes_per_second(figures.body_bytes_accepted, figures.measured_us)));
  row("2xx", statuses_text(figures, 2));
  if (figures.answered(3) > 0) row("3xx", statuses_text(figures, 3));
  row("4xx", statuses_text(figures, 4));
  row("5xx", statuses_text(figures, 5));
  row("timeouts", grouped(figures.timeouts));
  row("lost",
      fmt::format("{} connections refused, {} broken, {} malformed answers",
                  grouped(figures.refused), grouped(figures.broken), grouped(figures.malformed)));
  if (figures.unsent > 0) {
    row("unsent", grouped(figures.unsent) + " were due while no connection was free");
  }
  if (figures.given_up > 0) row("given up", grouped(figures.given_up));
  row("latency", percentiles_text(figures.latency));
  if (options.rate_per_s > 0) {
    row("waiting", fmt::format("p99 {}, max {} of the latency passed before the request left",
                               time_text(figures.lateness.percentile_us(99)),
                               time_text(figures.lateness.max_us())));
  }
  row("loader", fmt::format("{:.2f} s of CPU, {:.0f} % of one core, {:.1f} us a request",
                            cpu_us / 1e6, seconds > 0 ? cpu_us / 1e4 / seconds : 0.0,
                            cpu_us / std::max(1.0, static_cast<double>(figures.sent))));
  return text;
}

std::string proof_text(const Proof& proof) {
  std::string text = fmt::format(
      "proof: {} acknowledged, {} found, {} missing, {} twice, {} never acknowledged but arrived\n",
      grouped(proof.acknowledged), grouped(proof.found), grouped(proof.missing),
      grouped(proof.twice), grouped(proof.unacknowledged));
  if (proof.twice_after_repeat > 0) {
    text += fmt::format("  {} of those twice had been sent again by a loader\n",
                        grouped(proof.twice_after_repeat));
  }
  if (proof.damaged + proof.malformed > 0) {
    text += fmt::format("  {} bodies are not what was sent, {} lines are not JSON\n",
                        grouped(proof.damaged), grouped(proof.malformed));
  }
  for (const Missing& missing : proof.first_missing) {
    text += fmt::format("  missing: run {} number {} id {}\n", missing.run, missing.number,
                        missing.id.empty() ? "unknown" : missing.id);
  }
  if (proof.missing > proof.first_missing.size()) {
    text += fmt::format("  and {} more\n", grouped(proof.missing - proof.first_missing.size()));
  }
  for (const std::string& problem : proof.problems) text += "  unreadable: " + problem + "\n";
  return text;
}

std::string report_json(const Report& report, bool with_load) {
  std::string json = with_load ? load_json(report) : std::string();
  if (report.proof) {
    json.append(json.empty() ? "" : ",").append("\"proof\":").append(proof_json(*report.proof));
  }
  return "{" + json + "}";
}

std::string second_line(const Second& second) {
  std::string line = fmt::format("{:>5.0f} s  {:>9.0f}/s  p50 {}, p99 {}, {} in flight",
                                 static_cast<double>(second.since_start_us) / 1e6,
                                 per_second(second.accepted, second.length_us),
                                 time_text(second.latency.percentile_us(50)),
                                 time_text(second.latency.percentile_us(99)), second.in_flight);
  const auto add = [&](const char* what, std::uint64_t count) {
    if (count > 0) line += fmt::format(", {} {}", grouped(count), what);
  };
  add("x 4xx", second.refused_4xx);
  add("x 5xx", second.failed_5xx);
  add("timeouts", second.timeouts);
  add("lost", second.lost);
  return second.warming_up ? line + " (warming up)" : line;
}

std::string verify_line(std::uint64_t found, std::uint64_t acknowledged) {
  constexpr std::uint64_t bar_chars = 30;
  const std::uint64_t full = acknowledged == 0 ? bar_chars : found * bar_chars / acknowledged;
  return fmt::format("[{:<30}] {} of {} found", std::string(full, '#'), grouped(found),
                     grouped(acknowledged));
}

}  // namespace inlet::loader
