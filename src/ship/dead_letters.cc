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
  if (!record.request_id.empty()) append_field(out, "request_id", record.request_id);
  append_field(out, "idempotency_key", record.idempotency_key);
  append_field(out, "sink", sink);
  append_field(out, "reason", why);
  out += ",\"body\":\"";
  sinks::append_base64(out, record.body);
  out += "\"}\n";
}

}  // namespace

Status write_dead_letters(FileSystem& files, const std::string& directory, const std::string& name,
                          const std::string& sink, const sinks::Batch& batch,
                          std::span<const sinks::Rejection> rejected) {
  const auto file = sinks::ObjectFile::open(files, directory, name);
  if (!file) return fail(file);
  std::string lines;
  for (const sinks::Rejection& each : rejected) {
    const auto record =
        std::ranges::lower_bound(batch.records, each.sequence, {}, &sinks::Record::sequence);
    CHECK(record != batch.records.end() && record->sequence == each.sequence);
    append_line(lines, *record, batch.journal_id, sink, each.why);
    if (lines.size() < write_bytes) continue;
    if (const Status written = (*file)->append(lines); !written) return written;
    lines.clear();
  }
  if (const Status written = (*file)->append(lines); !written) return written;
  return (*file)->commit();
}

DeadLetters::DeadLetters(FileSystem& files, std::string directory, std::string sink,
                         std::uint64_t bytes_max)
    : files_(files),
      directory_(std::move(directory)),
      sink_(std::move(sink)),
      bytes_max_(bytes_max) {}

Status DeadLetters::keep(const sinks::Batch& batch, std::span<const sinks::Rejection> rejected) {
  if (const Status made = make_directory(); !made) return made;
  if (bytes_max_ != UINT64_MAX) {
    const auto bytes = bytes_there();
    if (!bytes) return fail(bytes);
    if (*bytes >= bytes_max_) {
      return fail(ErrorKind::overload, "the dead letters in " + directory_ + " take " +
                                           std::to_string(*bytes) + " bytes, dead_bytes allows " +
                                           std::to_string(bytes_max_) + "; redrive or remove some");
    }
  }
  return write_dead_letters(files_, directory_, batch_name(batch.name) + ".ndjson", sink_, batch,
                            rejected);
}

// Asked of the directory each time: people remove files, and a rejection is rare.
Result<std::uint64_t> DeadLetters::bytes_there() const {
  const auto names = files_.list(directory_);
  if (!names) return fail(names);
  std::uint64_t sum = 0;
  for (const std::string& name : *names) {
    const auto file = files_.open(directory_ + "/" + name, {});
    if (file) sum += (*file)->size().value_or(0);
  }
  return sum;
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
