#include "serve/sink_watch.h"

#include <simdjson.h>

#include <algorithm>
#include <chrono>

#include "base/calendar.h"
#include "journal/cursor.h"

namespace inlet::serve {
namespace {

constexpr std::chrono::seconds interval{1};
constexpr std::uint64_t status_bytes_max = 64U << 10;

}  // namespace

bool read_status(std::string_view json, SinkFigures& out) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS) return false;
  std::string_view updated_at;
  std::string_view last_error;
  std::string_view last_error_at;
  std::string_view failing_since;
  double lag_s = 0;
  const bool whole = object["updated_at"].get(updated_at) == simdjson::SUCCESS &&
                     object["pending_bytes"].get(out.pending_bytes) == simdjson::SUCCESS &&
                     object["retries"].get(out.retries) == simdjson::SUCCESS &&
                     object["lag_seconds"].get(lag_s) == simdjson::SUCCESS &&
                     object["last_error"].get(last_error) == simdjson::SUCCESS &&
                     object["last_error_at"].get(last_error_at) == simdjson::SUCCESS &&
                     object["failing_since"].get(failing_since) == simdjson::SUCCESS;
  const auto updated_us = parse_rfc3339(updated_at);
  if (!whole || !updated_us) return false;
  out.updated_us = *updated_us;
  out.oldest_us = lag_s > 0 ? *updated_us - static_cast<Microseconds>(lag_s * 1e6) : 0;
  out.last_error = last_error;
  out.last_error_at = last_error_at;
  out.failing_since_us = parse_rfc3339(failing_since).value_or(0);
  return true;
}

Microseconds age_us(Microseconds then_us, Microseconds wall_us) {
  return std::max<Microseconds>(0, wall_us - then_us);
}

Microseconds lag_us(const SinkFigures& sink, std::uint64_t next_sequence, Microseconds wall_us) {
  if (sink.next_sequence >= next_sequence) return 0;
  // A record its shipper has not seen is at least as old as the shipper's last word.
  const Microseconds since_us = sink.oldest_us != 0 ? sink.oldest_us : sink.updated_us;
  return since_us == 0 ? 0 : age_us(since_us, wall_us);
}

SinkWatch::SinkWatch(FileSystem& files, std::string journal_directory,
                     std::vector<std::string> sinks)
    : files_(files), journal_directory_(std::move(journal_directory)), sinks_(std::move(sinks)) {
  for (const std::string& sink : sinks_) figures_.push_back(look(sink));
  if (!sinks_.empty()) thread_ = std::thread([this] { run(); });
}

SinkWatch::~SinkWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

std::vector<SinkFigures> SinkWatch::figures() const {
  const std::lock_guard lock(mutex_);
  return figures_;
}

void SinkWatch::run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval, [this] { return stopped_; })) {
    lock.unlock();
    std::vector<SinkFigures> seen;
    for (const std::string& sink : sinks_) seen.push_back(look(sink));
    lock.lock();
    figures_ = std::move(seen);
  }
}

SinkFigures SinkWatch::look(const std::string& sink) const {
  SinkFigures figures{.name = sink};
  const std::string path = journal_directory_ + "/" + std::string(journal::cursors_directory_name) +
                           "/" + sink + ".status";
  if (const auto file = files_.open(path, {})) {
    std::string text(std::min<std::uint64_t>((*file)->size().value_or(0), status_bytes_max), '\0');
    const MutableBytes room(reinterpret_cast<std::byte*>(text.data()), text.size());
    if (!read_all(**file, room, 0) || !read_status(text, figures)) figures = {.name = sink};
  }
  const auto cursor = journal::read_cursor(files_, journal_directory_, sink);
  if (!cursor || !*cursor) return figures;
  const journal::CursorState& state = (*cursor)->latest;
  figures.next_sequence = state.next.sequence;
  figures.delivered_records = state.records_delivered;
  figures.delivered_bytes = state.bytes_delivered;
  figures.dead_records = state.records_rejected;
  figures.lost_records = state.records_lost;
  figures.skipped_records = state.records_skipped;
  return figures;
}

}  // namespace inlet::serve
