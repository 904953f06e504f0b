#include "top/detail.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "top/text.h"

namespace inlet::top {
namespace {

constexpr std::string_view indent = "  ";

std::string count_or_dash(Gauge value) {
  return value ? count_text(static_cast<std::uint64_t>(std::llround(std::min(*value, gauge_max))))
               : "-";
}
std::string bytes_or_dash(Gauge value) { return value ? bytes_text(*value) : "-"; }
std::string percent_or_dash(Gauge value) { return value ? percent_text(*value) : "-"; }
std::string number_or_dash(Gauge value) { return value ? number_text(*value) : "-"; }
std::string duration_or_dash(Gauge value) { return value ? health::duration_text(*value) : "-"; }
std::string quantile_or_dash(const health::LatencyHistogram& histogram, double percent) {
  return histogram.count() == 0 ? "-" : latency_text(histogram.percentile_us(percent));
}

// Builds a page of a given width.
class Writer {
 public:
  explicit Writer(std::size_t width) : width_(width) {}

  void heading(std::string_view title) {
    blank();
    add({{cut(title, width_), Style::strong}});
  }
  void blank() { page_.emplace_back(); }

  // Parts that do not fit on one line go on the next; none is broken unless it is longer than a
  // line.
  void facts(const std::vector<std::string>& parts) {
    std::string line(indent);
    for (const std::string& part : parts) {
      if (part.empty()) continue;
      const bool first = line.size() == indent.size();
      const std::size_t more = part.size() + (first ? 0 : 2);
      if (!first && line.size() + more > width_) {
        add({{cut(line, width_)}});
        line = indent;
      }
      if (line.size() > indent.size()) line += "  ";
      line += part;
    }
    if (line.size() > indent.size()) add({{cut(line, width_)}});
  }

  void prose(std::string_view text, Style style, std::string_view before = indent) {
    const std::size_t room = width_ > before.size() ? width_ - before.size() : 1;
    for (const std::string& line : wrap(text, room)) {
      add({{std::string(before)}, {line, style}});
    }
  }

  // The first cell is left-aligned and takes `first_width`; what does not fit is cut.
  void cells(std::string_view first, std::size_t first_width, const std::vector<std::string>& rest,
             const std::vector<std::size_t>& widths, Style style = Style::plain) {
    std::string line = std::string(indent) + left(first, first_width);
    for (std::size_t i = 0; i < rest.size(); i++) {
      line += ' ';
      line += right(rest[i], widths[i]);
    }
    add({{line, style}});
  }

  void add(std::vector<Span> spans) {
    Line line{.spans = std::move(spans)};
    trim(line, width_);
    page_.push_back(std::move(line));
  }

  [[nodiscard]] Page take() { return std::move(page_); }

 private:
  const std::size_t width_;
  Page page_;
};

void write_causes(Writer& out, const NodeStatus& status) {
  out.heading("Causes");
  if (status.causes.empty()) out.facts({"none"});
  for (const Cause& cause : status.causes) {
    const std::string word = left(health::name_of(cause.level), 10);
    out.prose(word + cause.text, style_of(cause.level));
  }
}

void write_requests(Writer& out, const NodeStatus& status) {
  const std::vector<std::size_t> widths = {6, 5, 5, 5, 5, 9, 8, 8};
  out.heading("Requests");
  out.cells("", 11, {"req/s", "2xx%", "3xx%", "4xx%", "5xx%", "records/s", "bodies/s", "bytes/s"},
            widths, Style::faint);
  for (const auto& [title, flows] :
       {std::pair{"last 10 s", &status.last_10s}, {"last minute", &status.last_minute}}) {
    std::vector<std::string> cells = {number_text(flows->requests_per_s)};
    for (std::size_t hundreds = 2; hundreds <= 5; hundreds++) {
      cells.push_back(percent_or_dash(flows->answered_percent(hundreds)));
    }
    cells.push_back(number_text(flows->records_per_s));
    cells.push_back(bytes_text(flows->body_bytes_per_s));
    cells.push_back(bytes_text(flows->received_bytes_per_s));
    out.cells(title, 11, cells, widths);
  }
}

void write_latency(Writer& out, const NodeStatus& status) {
  const std::vector<std::size_t> widths(health::quantiles.size(), 6);
  std::vector<std::string> titles;
  for (const health::Quantile& quantile : health::quantiles) titles.emplace_back(quantile.name);
  out.heading("Latency");
  out.cells("", 17, titles, widths, Style::faint);
  for (const auto& [title, histogram] : {std::pair{"answers, 10 s", &status.last_10s.latency},
                                         {"answers, minute", &status.last_minute.latency},
                                         {"commits, 10 s", &status.last_10s.commit_latency},
                                         {"commits, minute", &status.last_minute.commit_latency}}) {
    std::vector<std::string> cells;
    for (const health::Quantile& quantile : health::quantiles) {
      cells.push_back(quantile_or_dash(*histogram, quantile.percent));
    }
    out.cells(title, 17, cells, widths);
  }
}

void write_journal(Writer& out, const NodeStatus& status) {
  const JournalStatus& journal = status.journal;
  out.heading("Journal");
  out.facts(
      {fmt::format("{} % of {} used", percent_or_dash(journal.used_percent),
                   bytes_or_dash(journal.capacity_bytes)),
       journal.full_in_s ? "full in " + duration_or_dash(journal.full_in_s) : "not filling up",
       "undelivered " + bytes_or_dash(journal.undelivered_bytes),
       fmt::format("fills {}/s", bytes_or_dash(journal.fill_bytes_per_s)),
       fmt::format("drains {}/s", bytes_or_dash(journal.drain_bytes_per_s))});
  out.facts({"commits " + count_or_dash(journal.commits),
             "failed " + count_or_dash(journal.commits_failed),
             "next record " + count_or_dash(journal.next_sequence),
             "records lost " + count_or_dash(journal.records_lost),
             "segments set aside " + count_or_dash(journal.segments_quarantined)});
}

void write_sinks(Writer& out, const NodeStatus& status) {
  if (status.sinks.empty()) return;
  const std::vector<std::size_t> widths = {7, 9, 8, 13, 6, 6, 7, 8};
  out.heading("Sinks");
  out.cells("", 14,
            {"behind", "records", "bytes", "delivered", "dead", "lost", "retries", "reported"},
            widths, Style::faint);
  for (const SinkStatus& sink : status.sinks) {
    out.cells(sink.name, 14,
              {duration_or_dash(sink.lag_s), number_or_dash(sink.lag_records),
               bytes_or_dash(sink.lag_bytes), count_or_dash(sink.delivered_records),
               number_or_dash(sink.dead_records), number_or_dash(sink.lost_records),
               number_or_dash(sink.retries),
               sink.status_age_s ? duration_or_dash(sink.status_age_s) : "never"},
              widths);
    if (sink.last_error.empty()) continue;
    const std::string at = sink.last_error_at.empty() ? "" : fmt::format("{} ", sink.last_error_at);
    out.prose(fmt::format("{}{}", at, sink.last_error), Style::faint, "    ");
  }
}

void write_tenants(Writer& out, const NodeStatus& status) {
  if (status.tenants.empty()) return;
  const std::vector<std::size_t> widths = {13, 8, 10, 11};
  out.heading("Tenants");
  out.cells("", 24, {"records", "bytes", "refused", "undelivered"}, widths, Style::faint);
  for (const TenantStatus& tenant : status.tenants) {
    out.cells(tenant.name, 24,
              {count_or_dash(tenant.records), bytes_or_dash(tenant.bytes),
               count_or_dash(tenant.refused), bytes_or_dash(tenant.undelivered_bytes)},
              widths);
  }
}

void write_host(Writer& out, const NodeStatus& status) {
  const HostStatus& host = status.host;
  out.heading("Host");
  out.facts({fmt::format("load {} {} {}", number_or_dash(host.load1), number_or_dash(host.load5),
                         number_or_dash(host.load15)),
             fmt::format("{} CPUs", count_or_dash(host.cpus)),
             "user " + percent_or_dash(host.cpu_user), "nice " + percent_or_dash(host.cpu_nice),
             "system " + percent_or_dash(host.cpu_system), "idle " + percent_or_dash(host.cpu_idle),
             "iowait " + percent_or_dash(host.cpu_iowait),
             "steal " + percent_or_dash(host.cpu_steal)});
  out.facts(
      {fmt::format("memory {} % of {}", percent_or_dash(host.memory_used_percent),
                   bytes_or_dash(host.memory_bytes)),
       fmt::format("disk {} % of {}, {} free", percent_or_dash(host.disk_used_percent),
                   bytes_or_dash(host.disk_bytes), bytes_or_dash(host.disk_free_bytes)),
       fmt::format("network in {}/s out {}/s", bytes_text(status.last_10s.network_in_bytes_per_s),
                   bytes_text(status.last_10s.network_out_bytes_per_s))});
  out.facts(
      {"process CPU " + duration_or_dash(host.process_cpu_s),
       "resident " + bytes_or_dash(host.resident_bytes), "threads " + count_or_dash(host.threads),
       fmt::format("files {} of {}", count_or_dash(host.open_fds), count_or_dash(host.max_fds))});
}

void write_counts(Writer& out, const NodeStatus& status) {
  out.facts({"version " + printable(status.version), "up " + duration_or_dash(status.uptime_s),
             "admission " + printable(status.admission), status.draining ? "draining" : "",
             "connections " + count_or_dash(status.connections),
             fmt::format("client data {} of {}", bytes_or_dash(status.memory_bytes),
                         bytes_or_dash(status.memory_max_bytes))});
  out.facts({"requests " + count_or_dash(status.requests),
             "records " + count_or_dash(status.records_stored),
             "bytes " + bytes_or_dash(status.bytes_stored),
             "refused 4xx " + count_or_dash(status.refused_4xx),
             "5xx " + count_or_dash(status.refused_5xx),
             "framing errors " + count_or_dash(status.framing_errors)});
  if (status.keys_stale && *status.keys_stale > 0) {
    out.prose("keys are stale: " + status.keys_reason, Style::warning);
  }
}

}  // namespace

Page detail_page(const Node& node, const Row& row, std::size_t width) {
  Writer out(width);
  out.add({{cut(row.label, width), Style::strong},
           {"  "},
           {std::string(status_word(row)), style_of(row)},
           {"  " + printable(node.url), Style::faint}});
  if (!node.status) {
    out.blank();
    out.prose(row.cause.empty() ? "waiting for the first answer" : row.cause, style_of(row));
    return out.take();
  }
  write_counts(out, *node.status);
  write_causes(out, *node.status);
  write_requests(out, *node.status);
  write_latency(out, *node.status);
  write_journal(out, *node.status);
  write_sinks(out, *node.status);
  write_tenants(out, *node.status);
  write_host(out, *node.status);
  return out.take();
}

}  // namespace inlet::top
