#include "serve/tenant_status.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "serve/key_table.h"

namespace inlet::serve {
namespace {

std::string counts_json(const Counts& counts) {
  const auto of = [&](Count count) { return counts[static_cast<std::size_t>(count)]; };
  std::uint64_t refused = 0;
  std::string reasons;
  for (std::size_t i = static_cast<std::size_t>(first_refusal); i < serve::counts; i++) {
    refused += counts[i];
    reasons += fmt::format("{}\"{}\":{}", reasons.empty() ? "" : ",", count_names[i], counts[i]);
  }
  return fmt::format(R"({{"records":{},"bytes":{},"duplicates":{},"unfinished":{},"refused":{},)"
                     R"("refused_by_reason":{{{}}}}})",
                     of(Count::records), of(Count::bytes), of(Count::duplicates),
                     of(Count::unfinished), refused, reasons);
}

std::string limit(std::uint64_t value) { return value == 0 ? "null" : std::to_string(value); }

std::string limits_json(const TenantLimits& limits) {
  return fmt::format(R"({{"requests_per_s":{},"requests_burst":{},"bytes_per_s":{},)"
                     R"("bytes_burst":{},"max_body":{}}})",
                     limit(limits.requests_per_s), limit(limits.requests_burst),
                     limit(limits.bytes_per_s), limit(limits.bytes_burst),
                     limit(limits.body_bytes_max));
}

}  // namespace

std::string tenant_status_json(const Tenant& tenant, std::span<const SinkFigures> sinks,
                               std::uint64_t next_sequence, Microseconds wall_us) {
  const TenantFigures figures = tenant.figures();
  std::string name;
  append_json_string(name, figures.name);
  std::string last = "null";
  if (figures.last_stored_us != 0) last = '"' + rfc3339_seconds(figures.last_stored_us) + '"';
  Microseconds oldest_us = 0;
  for (const SinkFigures& sink : sinks) {
    oldest_us = std::max(oldest_us, lag_us(sink, next_sequence, wall_us));
  }
  std::string oldest = "null";
  if (figures.undelivered_bytes > 0) {
    oldest = fmt::format("{:.3f}", static_cast<double>(oldest_us) / 1e6);
  }
  return fmt::format(R"({{"schema":1,"tenant":{},"last_stored_at":{},"today":{},"total":{},)"
                     R"("limits":{},"undelivered":{{"journal_bytes":{},"oldest_s_at_most":{}}}}})"
                     "\n",
                     name, last, counts_json(figures.today), counts_json(figures.total),
                     limits_json(tenant.limits()), figures.undelivered_bytes, oldest);
}

}  // namespace inlet::serve
