#include "main/leftover.h"

#include <fmt/format.h>

#include <span>

#include "base/json.h"
#include "journal/format.h"
#include "serve/sink_watch.h"

namespace inlet::main {
namespace {

constexpr std::size_t status_bytes_max = 64U << 10;

// Empty figures if there are none that can be read.
serve::SinkFigures read_figures(FileSystem& files, const std::string& journal,
                                const std::string& sink) {
  serve::SinkFigures figures;
  const auto file = files.open(
      fmt::format("{}/{}/{}.status", journal, journal::cursors_directory_name, sink), {});
  if (!file) return figures;
  std::string text(status_bytes_max, '\0');
  const auto got = (*file)->read_at(std::as_writable_bytes(std::span(text)), 0);
  text.resize(got ? *got : 0);
  if (!serve::read_status(text, figures)) return {};
  return figures;
}

}  // namespace

Result<std::vector<Leftover>> read_leftovers(FileSystem& files, const std::string& journal,
                                             const std::vector<std::string>& sinks) {
  std::vector<Leftover> leftovers;
  for (const std::string& sink : sinks) {
    const auto backlog = read_backlog(files, journal, sink);
    if (!backlog) return fail(backlog);
    Leftover leftover{.sink = sink, .backlog = *backlog, .bytes = 0, .last_error = ""};
    if (backlog->records() > 0) {
      serve::SinkFigures figures = read_figures(files, journal, sink);
      leftover.bytes = figures.pending_bytes;
      leftover.last_error = std::move(figures.last_error);
    }
    leftovers.push_back(std::move(leftover));
  }
  return leftovers;
}

std::uint64_t records_left(const std::vector<Leftover>& leftovers) {
  std::uint64_t records = 0;
  for (const Leftover& leftover : leftovers) records += leftover.backlog.records();
  return records;
}

std::string leftover_json(const std::vector<Leftover>& leftovers) {
  const std::uint64_t records = records_left(leftovers);
  std::string out =
      fmt::format("{{\"delivered\":{},\"records_left\":{},\"sinks\":[", records == 0, records);
  for (const Leftover& leftover : leftovers) {
    if (out.back() != '[') out += ',';
    out += "{\"sink\":";
    append_json_string(out, leftover.sink);
    out += fmt::format(",\"records\":{},\"bytes\":{},\"last_error\":", leftover.backlog.records(),
                       leftover.bytes);
    append_json_string(out, leftover.last_error);
    out += '}';
  }
  return out + "]}";
}

std::vector<std::string> leftover_sentences(const std::vector<Leftover>& leftovers) {
  std::vector<std::string> sentences;
  for (const Leftover& leftover : leftovers) {
    const Backlog& backlog = leftover.backlog;
    if (backlog.records() == 0) continue;
    std::string sentence =
        fmt::format("sink {} has not got {} {}, some {} bytes, sequence {} to {}", leftover.sink,
                    backlog.records(), backlog.records() == 1 ? "record" : "records",
                    leftover.bytes, backlog.next, backlog.end - 1);
    if (!leftover.last_error.empty()) sentence += ": " + leftover.last_error;
    sentences.push_back(std::move(sentence));
  }
  return sentences;
}

}  // namespace inlet::main
