#include "ship/status_file.h"

#include <fmt/format.h>

#include "base/json.h"
#include "base/names.h"
#include "sinks/object_file.h"
#include "sinks/text.h"

namespace inlet::ship {
namespace {

constexpr Microseconds interval_us = 1'000'000;

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string time_text(Microseconds wall_us) {
  std::string out;
  if (wall_us != 0) sinks::append_rfc3339(out, wall_us);
  return out;
}

}  // namespace

std::string status_json(const std::string& sink, const Figures& figures, Microseconds wall_us) {
  const std::string journal = record_id(figures.journal_id & journal_id_mask, 0).substr(0, 12);
  return fmt::format(
      "{{\"sink\":{},\"updated_at\":\"{}\",\"journal_id\":\"{}\",\"next_sequence\":{},"
      "\"committed_sequence\":{},\"delivered_records\":{},\"delivered_bytes\":{},"
      "\"pending_records\":{},\"pending_bytes\":{},\"lag_seconds\":{:.3f},\"retries\":{},"
      "\"dead_records\":{},\"lost_records\":{},\"skipped_records\":{},\"last_error\":{},"
      "\"last_error_at\":\"{}\",\"failing_since\":\"{}\"}}\n",
      quoted(sink), time_text(wall_us), journal, figures.next_sequence, figures.committed_sequence,
      figures.delivered_records, figures.delivered_bytes, figures.pending_records,
      figures.pending_bytes, static_cast<double>(figures.lag_us) / 1e6, figures.retries,
      figures.dead_records, figures.lost_records, figures.skipped_records,
      quoted(figures.last_error), time_text(figures.last_error_us),
      time_text(figures.failing_since_us));
}

StatusFile::StatusFile(FileSystem& files, Clock& clock, std::string directory, std::string sink)
    : files_(files), clock_(clock), directory_(std::move(directory)), sink_(std::move(sink)) {}

bool StatusFile::is_due() const {
  return !written_ || clock_.steady_us() - written_us_ >= interval_us;
}

void StatusFile::write(const Figures& figures) {
  written_ = true;
  written_us_ = clock_.steady_us();
  const std::string name = sink_ + ".status";
  const std::string temporary = directory_ + "/" + sinks::ObjectFile::temporary_name(name);
  const auto file = files_.open(temporary, {.write = true, .create = true, .truncate = true});
  if (!file) return;
  const std::string text = status_json(sink_, figures, clock_.wall_us());
  if (!write_all(**file, as_bytes(text), 0, Flush::no)) return;
  static_cast<void>(files_.rename(temporary, directory_ + "/" + name));
}

}  // namespace inlet::ship
