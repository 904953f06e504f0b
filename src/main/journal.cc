// journal: `inlet journal ls | cat | verify`: what is in a journal, for people and scripts.
//
// Reads only, also while the journal is being written. cat and verify look at what is committed.

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/json.h"
#include "base/names.h"
#include "base/posix_file.h"
#include "journal/catalog.h"
#include "journal/reader.h"
#include "journal/verify.h"
#include "main/cli.h"

namespace inlet::main {
namespace {

std::string utc(Microseconds wall_us) {
  const std::time_t seconds = wall_us / 1'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     wall_us % 1'000'000);
}

int list_segments(FileSystem& files, const std::string& directory) {
  const auto catalog = journal::read_catalog(files, directory, journal::Look::thorough);
  if (!catalog) return report_fault(catalog.error());
  const auto mark = journal::read_commit_mark(files, directory);
  fmt::print("journal {:012x}  committed up to {}\n", catalog->journal_id,
             mark ? std::to_string(mark->next_sequence - 1) : "(no commit mark)");
  fmt::print("{:>8}  {:>14}  {:>14}  {:<27}  {}\n", "segment", "first", "last", "created", "file");
  for (std::size_t i = 0; i < catalog->segments.size(); i++) {
    const journal::CatalogEntry& entry = catalog->segments[i];
    std::uint64_t end = mark ? mark->next_sequence : entry.header.first_sequence;
    if (i + 1 < catalog->segments.size()) end = catalog->segments[i + 1].header.first_sequence;
    const bool empty = end <= entry.header.first_sequence;
    fmt::print("{:>8}  {:>14}  {:>14}  {:<27}  {}{}\n", entry.header.number,
               entry.header.first_sequence, empty ? std::string("-") : std::to_string(end - 1),
               entry.header_damaged ? "?" : utc(entry.header.created_us), entry.path,
               entry.header_damaged ? "  (header damaged)" : "");
  }
  for (const std::uint64_t slot : catalog->blank_slots) {
    fmt::print("{:>8}  {:>14}  {:>14}  {:<27}  {}/{}\n", "-", "-", "-", "(ready to be used)",
               directory, journal::segment_file_name(slot));
  }
  for (const std::string& path : catalog->unreadable) fmt::print("unreadable: {}\n", path);
  return exit_fine;
}

void print_record(const journal::Record& record, std::uint64_t journal_id, bool bodies) {
  if (bodies) {
    std::fwrite(record.body.data(), 1, record.body.size(), stdout);
    return;
  }
  const journal::Metadata& metadata = record.metadata;
  std::string line = "{\"id\":";
  const auto add = [&](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    line += ',';
    append_json_string(line, key);
    line += ':';
    append_json_string(line, value);
  };
  append_json_string(line, record_id(journal_id, record.sequence));
  line += fmt::format(",\"sequence\":{},\"bytes\":{}", record.sequence, record.body.size());
  add("received_at", utc(record.received_us));
  add("tenant", metadata.tenant);
  add("stream", metadata.stream);
  add("content_type", metadata.content_type);
  add("content_encoding", metadata.content_encoding);
  add("peer", metadata.peer);
  add("trace_id", metadata.trace_id);
  add("request_id", metadata.request_id);
  add("idempotency_key", metadata.idempotency_key);
  if (is_utf8(as_text(record.body))) add("text", as_text(record.body));
  line += "}\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
}

struct Range {
  std::uint64_t from = 1;
  std::uint64_t to = UINT64_MAX;
  std::string stream;
  bool bodies = false;
};

int print_records(FileSystem& files, const std::string& directory, const Range& range) {
  journal::Reader reader(files, directory);
  reader.seek({.sequence = range.from});
  while (true) {
    const auto record = reader.next();
    if (!record) return report_fault(record.error());
    if (!*record || (*record)->sequence > range.to) break;
    if (range.stream.empty() || (*record)->metadata.stream == range.stream) {
      print_record(**record, reader.journal_id(), range.bodies);
    }
  }
  int code = exit_fine;
  for (const journal::Damage& damage : reader.take_damage()) {
    fmt::print(stderr, "inlet: records {} to {} cannot be read: segment {}, offset {}: {}\n",
               damage.first_sequence, damage.end_sequence - 1, damage.segment, damage.offset,
               damage.why);
    code = exit_fault;
  }
  return code;
}

int verify(FileSystem& files, const std::string& directory) {
  const auto report = journal::verify(files, directory);
  if (!report) return report_fault(report.error());
  for (const std::string& finding : report->findings) fmt::print("{}\n", finding);
  fmt::print("{} segments, {} commits, {} records, {} bytes of bodies; ", report->segments,
             report->commits, report->records, report->body_bytes);
  fmt::print("{} records lost, {} findings\n", report->records_lost, report->findings.size());
  return report->findings.empty() ? exit_fine : exit_fault;
}

}  // namespace

int journal_command(int argc, char** argv) {
  CLI::App app("Look into a journal. Reads only, also while it is being written.");
  CommonFlags flags;
  Range range;
  app.require_subcommand(1);
  CLI::App& ls = *app.add_subcommand("ls", "List the segments.");
  CLI::App& cat = *app.add_subcommand("cat", "Print the committed records, one JSON line each.");
  CLI::App& check = *app.add_subcommand("verify", "Check every committed byte; exit 1 on damage.");
  for (CLI::App* command : {&ls, &cat, &check}) add_common_flags(*command, flags);
  cat.add_option("--from", range.from, "First sequence (default 1)");
  cat.add_option("--to", range.to, "Last sequence");
  cat.add_option("--stream", range.stream, "Only this stream");
  cat.add_flag("--bodies", range.bodies, "Print the bodies as they are, nothing else");
  if (const auto code = parse(app, argc, argv)) return *code;
  PosixFileSystem files;
  const auto config = require_config(files, flags);
  if (!config) return exit_mistake;
  const std::string& directory = config->journal.path;
  if (const auto there = files.list(directory); !there) return report_fault(there.error());
  if (ls.parsed()) return list_segments(files, directory);
  return cat.parsed() ? print_records(files, directory, range) : verify(files, directory);
}

}  // namespace inlet::main
