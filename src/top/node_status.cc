#include "top/node_status.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <utility>

namespace inlet::top {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t depth_max = 16;
constexpr std::size_t small_document_bytes = 1024;  // Tables for less are not worth it.

bool in_range(double value) { return value >= 0 && value <= gauge_max; }

// Members of one object of the document. What does not fit is written to `problem`, once; reading
// goes on, and the document is refused at the end.
class Fields {
 public:
  Fields(dom::object object, std::string path, std::string& problem)
      : object_(object), path_(std::move(path)), problem_(problem) {}

  [[nodiscard]] std::string text(std::string_view key) const {
    const auto found = find(key);
    std::string_view value;
    if (!found) return {};
    if (found->get(value) != simdjson::SUCCESS) note(key, "is no text");
    return std::string(value);
  }

  [[nodiscard]] bool flag(std::string_view key) const {
    const auto found = find(key);
    bool value = false;
    if (found && found->get(value) != simdjson::SUCCESS) note(key, "is neither true nor false");
    return value;
  }

  [[nodiscard]] Gauge gauge(std::string_view key) const {
    const auto found = find(key);
    if (!found) return std::nullopt;
    double value = 0;
    if (found->get(value) != simdjson::SUCCESS) {
      note(key, "is not a number");
      return std::nullopt;
    }
    return in_range(value) ? Gauge(value) : std::nullopt;
  }

  [[nodiscard]] double figure(std::string_view key) const { return gauge(key).value_or(0); }

  // The member, which must be there.
  [[nodiscard]] std::optional<Fields> need(std::string_view key) const {
    auto found = object(key);
    if (!found) note(key, "is missing");
    return found;
  }
  [[nodiscard]] std::optional<Fields> object(std::string_view key) const {
    const auto found = find(key);
    dom::object value;
    if (!found) return std::nullopt;
    if (found->get(value) != simdjson::SUCCESS) {
      note(key, "is not an object");
      return std::nullopt;
    }
    return Fields(value, path_ + std::string(key) + ".", problem_);
  }

  // Calls `each` with every element of a list, if there is one.
  template <typename Each>
  void list(std::string_view key, std::size_t entries_max, Each each) const {
    const auto found = find(key);
    dom::array value;
    if (!found) return;
    if (found->get(value) != simdjson::SUCCESS) return note(key, "is not a list");
    std::size_t index = 0;
    for (const dom::element element : value) {
      if (index == entries_max) return note(key, "is too long");
      each(element, fmt::format("{}[{}].", key, index));
      index++;
    }
  }
  template <typename Each>
  void objects(std::string_view key, Each each) const {
    list(key, list_entries_max, [&](dom::element element, const std::string& place) {
      dom::object value;
      if (element.get(value) != simdjson::SUCCESS) return note(key, "holds no objects");
      each(Fields(value, path_ + place, problem_));
    });
  }

  void note(std::string_view key, std::string_view what) const {
    if (problem_.empty()) problem_ = fmt::format("{}{} {}", path_, key, what);
  }

 private:
  // Null is as good as missing.
  [[nodiscard]] std::optional<dom::element> find(std::string_view key) const {
    dom::element element;
    if (object_[key].get(element) != simdjson::SUCCESS || element.is_null()) return std::nullopt;
    return element;
  }

  dom::object object_;
  std::string path_;
  std::string& problem_;
};

std::optional<std::uint64_t> number_at(dom::array pair, std::size_t index) {
  std::uint64_t value = 0;
  if (pair.at(index).get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

// The buckets decide; the percentiles written beside them are not needed.
health::LatencyHistogram read_histogram(const Fields& parent, std::string_view key) {
  using Histogram = health::LatencyHistogram;
  const auto fields = parent.object(key);
  if (!fields) return {};
  Histogram::Counts counts{};
  std::size_t next = 0;
  fields->list("buckets", Histogram::buckets, [&](dom::element element, const std::string&) {
    dom::array pair;
    if (element.get(pair) != simdjson::SUCCESS || pair.size() != 2) {
      return fields->note("buckets", "holds no pairs");
    }
    const auto bucket = number_at(pair, 0);
    const auto count = number_at(pair, 1);
    if (!bucket || !count || *bucket < next || *bucket >= Histogram::buckets ||
        *count > bucket_count_max) {
      return fields->note("buckets", "is no histogram of ours");
    }
    counts[*bucket] = *count;
    next = *bucket + 1;
  });
  const double sum_us = fields->figure("sum_us");
  if (sum_us > static_cast<double>(sum_us_max)) fields->note("sum_us", "is out of range");
  const double sum_bounded_us = std::min(sum_us, static_cast<double>(sum_us_max));
  return {counts, static_cast<std::uint64_t>(sum_bounded_us)};
}

Flows read_flows(const std::optional<Fields>& fields) {
  Flows out;
  if (!fields) return out;
  out.length_s = fields->figure("length_s");
  out.requests = fields->figure("requests");
  constexpr std::array<std::string_view, 4> answers = {"2xx", "3xx", "4xx", "5xx"};
  for (std::size_t i = 0; i < answers.size(); i++) out.answers[i] = fields->figure(answers[i]);
  out.requests_per_s = fields->figure("requests_per_s");
  out.records_per_s = fields->figure("records_per_s");
  out.body_bytes_per_s = fields->figure("body_bytes_per_s");
  out.received_bytes_per_s = fields->figure("received_bytes_per_s");
  out.commits_per_s = fields->figure("commits_per_s");
  out.commits_failed = fields->figure("commits_failed");
  out.dead_records = fields->figure("dead_records");
  out.network_in_bytes_per_s = fields->figure("network_in_bytes_per_s");
  out.network_out_bytes_per_s = fields->figure("network_out_bytes_per_s");
  out.latency = read_histogram(*fields, "latency_us");
  out.commit_latency = read_histogram(*fields, "commit_latency_us");
  return out;
}

health::Level read_level(const Fields& fields) {
  const std::string name = fields.text("level");
  for (const auto level : {health::Level::ok, health::Level::info, health::Level::warning,
                           health::Level::degraded, health::Level::severe}) {
    if (health::name_of(level) == name) return level;
  }
  fields.note("level", "is not a level");
  return health::Level::severe;
}

void read_health(const Fields& root, NodeStatus& out) {
  const auto fields = root.need("health");
  if (!fields) return;
  out.level = read_level(*fields);
  fields->objects("causes", [&](const Fields& cause) {
    out.causes.push_back({read_level(cause), cause.text("text")});
  });
}

void read_host(const Fields& root, HostStatus& out) {
  if (const auto host = root.object("host")) {
    out.cpus = host->gauge("cpus");
    std::array<Gauge*, 3> loads = {&out.load1, &out.load5, &out.load15};
    std::size_t next = 0;
    host->list("load", loads.size(), [&](dom::element element, const std::string&) {
      double value = 0;
      if (element.get(value) != simdjson::SUCCESS || !in_range(value)) {
        return host->note("load", "holds no numbers");
      }
      *loads[next++] = value;
    });
    if (const auto cpu = host->object("cpu")) {
      out.cpu_user = cpu->gauge("user");
      out.cpu_nice = cpu->gauge("nice");
      out.cpu_system = cpu->gauge("system");
      out.cpu_idle = cpu->gauge("idle");
      out.cpu_iowait = cpu->gauge("iowait");
      out.cpu_steal = cpu->gauge("steal");
    }
    out.memory_bytes = host->gauge("memory_bytes");
    out.memory_available_bytes = host->gauge("memory_available_bytes");
    out.memory_used_percent = host->gauge("memory_used_percent");
    out.disk_bytes = host->gauge("disk_bytes");
    out.disk_free_bytes = host->gauge("disk_free_bytes");
    out.disk_used_percent = host->gauge("disk_used_percent");
  }
  if (const auto process = root.object("process")) {
    out.process_cpu_s = process->gauge("cpu_s");
    out.resident_bytes = process->gauge("resident_bytes");
    out.threads = process->gauge("threads");
    out.open_fds = process->gauge("open_fds");
    out.max_fds = process->gauge("max_fds");
  }
}

void read_journal(const Fields& root, JournalStatus& out) {
  const auto fields = root.object("journal");
  if (!fields) return;
  out.next_sequence = fields->gauge("next_sequence");
  out.undelivered_bytes = fields->gauge("undelivered_bytes");
  out.capacity_bytes = fields->gauge("capacity_bytes");
  out.used_percent = fields->gauge("used_percent");
  out.drain_bytes_per_s = fields->gauge("drain_bytes_per_s");
  out.fill_bytes_per_s = fields->gauge("fill_bytes_per_s");
  out.commits = fields->gauge("commits");
  out.commits_failed = fields->gauge("commits_failed");
  out.commit_us_mean = fields->gauge("commit_us_mean");
  out.records_lost = fields->gauge("records_lost");
  out.segments_quarantined = fields->gauge("segments_quarantined");
  out.full_in_s = fields->gauge("full_in_s");
}

SinkStatus read_sink(const Fields& fields) {
  return {.name = fields.text("name"),
          .last_error = fields.text("last_error"),
          .last_error_at = fields.text("last_error_at"),
          .lag_s = fields.gauge("lag_s"),
          .lag_records = fields.gauge("lag_records"),
          .lag_bytes = fields.gauge("lag_bytes"),
          .delivered_records = fields.gauge("delivered_records"),
          .delivered_bytes = fields.gauge("delivered_bytes"),
          .dead_records = fields.gauge("dead_records"),
          .lost_records = fields.gauge("lost_records"),
          .skipped_records = fields.gauge("skipped_records"),
          .retries = fields.gauge("retries"),
          .status_age_s = fields.gauge("status_age_s")};
}

void read_node(const Fields& root, NodeStatus& out) {
  out.node = root.text("node");
  out.version = root.text("version");
  out.at = root.text("at");
  out.admission = root.text("admission");
  out.draining = root.flag("draining");
  out.uptime_s = root.gauge("uptime_s");
  out.connections = root.gauge("connections");
  out.requests = root.gauge("requests");
  out.records_stored = root.gauge("records_stored");
  out.bytes_stored = root.gauge("bytes_stored");
  out.refused_4xx = root.gauge("refused_4xx");
  out.refused_5xx = root.gauge("refused_5xx");
  out.framing_errors = root.gauge("framing_errors");
  out.memory_bytes = root.gauge("memory_bytes");
  out.memory_max_bytes = root.gauge("memory_max_bytes");
  read_health(root, out);
  out.last_10s = read_flows(root.need("last_10s"));
  out.last_minute = read_flows(root.need("last_minute"));
  read_host(root, out.host);
  read_journal(root, out.journal);
  root.objects("sinks", [&](const Fields& sink) { out.sinks.push_back(read_sink(sink)); });
  root.objects("tenants", [&](const Fields& tenant) {
    out.tenants.push_back({.name = tenant.text("name"),
                           .records = tenant.gauge("records"),
                           .bytes = tenant.gauge("bytes"),
                           .refused = tenant.gauge("refused"),
                           .undelivered_bytes = tenant.gauge("undelivered_bytes")});
  });
  if (const auto keys = root.object("keys")) {
    out.keys_stale = keys->flag("stale") ? 1 : 0;
    out.keys_reason = keys->text("reason");
  }
}

std::unexpected<Error> refused(std::string what) {
  return fail(ErrorKind::corrupt, std::move(what));
}

}  // namespace

void Flows::merge(const Flows& other) {
  length_s = std::max(length_s, other.length_s);
  for (std::size_t i = 0; i < answers.size(); i++) answers[i] += other.answers[i];
  for (const auto member :
       {&Flows::requests, &Flows::requests_per_s, &Flows::records_per_s, &Flows::body_bytes_per_s,
        &Flows::received_bytes_per_s, &Flows::commits_per_s, &Flows::commits_failed,
        &Flows::dead_records, &Flows::network_in_bytes_per_s, &Flows::network_out_bytes_per_s}) {
    this->*member += other.*member;
  }
  latency.merge(other.latency);
  commit_latency.merge(other.commit_latency);
}

Gauge Flows::answered_percent(std::size_t hundreds) const {
  if (requests <= 0) return std::nullopt;
  return 100.0 * answers.at(hundreds - 2) / requests;
}

Result<NodeStatus> parse_status(std::string_view json) {
  if (json.size() > status_bytes_max) return refused("the document is too large");
  dom::parser parser(status_bytes_max);
  if (parser.allocate(std::max(json.size(), small_document_bytes), depth_max) !=
      simdjson::SUCCESS) {
    return refused("there is no memory for the document");
  }
  dom::object object;
  const simdjson::padded_string padded(json);
  dom::element element;
  if (parser.parse(padded).get(element) != simdjson::SUCCESS) return refused("it is not JSON");
  if (element.get(object) != simdjson::SUCCESS) return refused("it is not a JSON object");
  std::string problem;
  const Fields root(object, "", problem);
  const Gauge schema = root.gauge("schema");
  if (!schema) return refused("it has no schema: this is no status of Inlet");
  if (*schema != static_cast<double>(status_schema)) {
    return refused(fmt::format("its schema is {}, ours is {}: another version of Inlet", *schema,
                               status_schema));
  }
  NodeStatus out;
  read_node(root, out);
  if (!problem.empty()) return refused(std::move(problem));
  return out;
}

}  // namespace inlet::top
