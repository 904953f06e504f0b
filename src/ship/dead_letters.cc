#include "ship/dead_letters.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "base/names.h"
#include "sinks/object_file.h"
#include "sinks/text.h"

namespace inlet::ship {
namespace {

constexpr std::size_t write_bytes = 1U << 20;  // Gathered for one write.

void append_field(std::string& out, std::string_view key, std::string_view value) {
  out += ",\"";
  out += key;
  out += "\":";
  append_json_string(out, value);
}

void append_line(std::string& out, const sinks::Record& record, std::uint64_t journal_id,
                 std::string_view sink, std::string_view why) {
  out += "{\"id\":\"";
  out += record_id(journal_id, record.sequence);
  out += '"';
  append_field(out, "tenant", record.tenant);
  append_field(out, "stream", record.stream);
  out += ",\"received_at\":\"";
  sinks::append_rfc3339(out, record.received_us);
  out += '"';
  append_field(out, "content_type", record.content_type);
  append_field(out, "content_encoding", record.content_encoding);
  append_field(out, "peer", record.peer);
  append_field(out, "trace_id", record.trace_id);
  append_field(out, "idempotency_key", record.idempotency_key);
  append_field(out, "sink", sink);
  append_field(out, "reason", why);
  out += ",\"body\":\"";
  sinks::append_base64(out, record.body);
  out += "\"}\n";
}

}  // namespace

DeadLetters::DeadLetters(FileSystem& files, std::string directory, std::string sink)
    : files_(files), directory_(std::move(directory)), sink_(std::move(sink)) {}

Status DeadLetters::keep(const sinks::Batch& batch, std::span<const sinks::Rejection> rejected) {
  if (const Status made = make_directory(); !made) return made;
  const auto file = sinks::ObjectFile::open(files_, directory_, batch_name(batch.name) + ".ndjson");
  if (!file) return fail(file);
  std::string lines;
  for (const sinks::Rejection& each : rejected) {
    const auto record =
        std::ranges::lower_bound(batch.records, each.sequence, {}, &sinks::Record::sequence);
    CHECK(record != batch.records.end() && record->sequence == each.sequence);
    append_line(lines, *record, batch.journal_id, sink_, each.why);
    if (lines.size() < write_bytes) continue;
    if (const Status written = (*file)->append(lines); !written) return written;
    lines.clear();
  }
  if (const Status written = (*file)->append(lines); !written) return written;
  return (*file)->commit();
}

Status DeadLetters::make_directory() {
  if (directory_made_) return {};
  if (const Status made = files_.make_directories(directory_); !made) return made;
  // It may have been made by a process that died before it flushed the parents.
  const std::string parent = parent_directory(directory_);
  if (const Status safe = files_.sync_directory(parent); !safe) return safe;
  const Status safe = files_.sync_directory(parent_directory(parent));
  directory_made_ = safe.has_value();
  return safe;
}

}  // namespace inlet::ship
