#include "main/ship_again.h"

#include <fmt/format.h>

#include <csignal>
#include <ctime>
#include <optional>

#include "base/calendar.h"
#include "journal/cursor.h"
#include "main/cli.h"
#include "main/progress.h"
#include "main/sink_factory.h"
#include "main/values.h"
#include "ship/redrive.h"
#include "ship/replay.h"

namespace inlet::main {
namespace {

// The signals that end a program are blocked from its start (ship_main.cc): they wait to be asked
// for.
bool was_told_to_end() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  const timespec at_once{};
  return ::sigtimedwait(&signals, nullptr, &at_once) > 0;
}

ship::Courier::OnWait say_why(const std::string& sink, ProgressBar& bar) {
  return [&bar, sink](const std::string& why, Microseconds wait_us) {
    bar.clear();
    fmt::print(stderr, "inlet: sink {} waits {:.1f} s: {}\n", sink,
               static_cast<double>(wait_us) / 1e6, why);
  };
}

// Sets this run apart from the shipper and from other runs.
std::string run_name(Clock& clock, const std::string& what) {
  return fmt::format("{}-{:x}", what, clock.wall_us());
}

std::optional<Microseconds> read_time(const std::string& text, Microseconds now_us) {
  if (const auto time = parse_rfc3339(text)) return time;
  Microseconds ago_us = 0;
  if (read_value(text, Range{}, ago_us)) return std::nullopt;
  return now_us - ago_us;
}

std::string words_of(std::uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

int report_replay(const ship::ReplaySummary& summary, const std::string& sink,
                  Microseconds from_us) {
  fmt::print("{} delivered again to sink {}, in {}\n",
             words_of(summary.records, "record", "records"), sink,
             words_of(summary.batches, "batch", "batches"));
  if (summary.dead > 0) {
    fmt::print("{} refused and set aside\n", words_of(summary.dead, "record", "records"));
  }
  if (summary.oldest_us > from_us) {
    fmt::print(
        "the journal reaches back to sequence {} only; what came before is not in it "
        "(journal.retain)\n",
        summary.oldest_sequence);
  }
  if (summary.damaged > 0) {
    fmt::print(stderr, "inlet: {} damaged in the journal\n",
               words_of(summary.damaged, "record is", "records are"));
  }
  if (summary.stopped) {
    fmt::print(stderr, "inlet: stopped before the end\n");
    return exit_left_behind;
  }
  return summary.damaged > 0 ? exit_fault : exit_fine;
}

}  // namespace

int redrive_letters(FileSystem& files, const Config& config, const SinkConfig& sink,
                    bool progress) {
  SystemClock clock;
  auto destination = make_sink(files, clock, config, sink, run_name(clock, "redrive"));
  if (!destination) return report_mistake(destination.error().what);
  ProgressBar bar(clock, "redrive " + sink.name, "bytes", progress);
  ship::Courier courier(
      clock, **destination, {}, [] { return !was_told_to_end(); }, say_why(sink.name, bar));
  const auto summary =
      ship::redrive(files, config.data + "/dead/" + sink.name, sink.name, courier,
                    [&](std::uint64_t done, std::uint64_t total) { bar.update(done, total); });
  bar.clear();
  if (!summary) return report_fault(summary.error());
  fmt::print("{} delivered to sink {}, {} refused again\n",
             words_of(summary->delivered, "record", "records"), sink.name, summary->refused_again);
  for (const std::string& damaged : summary->damaged) fmt::print(stderr, "inlet: {}\n", damaged);
  if (summary->stopped) fmt::print(stderr, "inlet: stopped before the end\n");
  if (!summary->damaged.empty()) return exit_fault;
  return summary->stopped || summary->refused_again > 0 ? exit_left_behind : exit_fine;
}

int replay_range(FileSystem& files, const Config& config, const SinkConfig& sink,
                 const std::string& from, const std::string& to, bool progress) {
  SystemClock clock;
  const Microseconds now_us = clock.wall_us();
  const auto from_us = read_time(from, now_us);
  const auto to_us = to.empty() ? std::optional(now_us) : read_time(to, now_us);
  if (!from_us || !to_us) {
    return report_mistake(fmt::format(
        "\"{}\" is neither a time such as 2026-11-23T10:00:00Z nor how long ago, such as 2h",
        from_us ? to : from));
  }
  if (*from_us >= *to_us) return report_mistake("the range ends before it begins");
  const auto cursor = journal::read_cursor(files, config.journal.path, sink.name);
  if (!cursor) return report_fault(cursor.error());
  const auto ledger = journal::read_ledger(files, config.journal.path, sink.name);
  if (!ledger) return report_fault(ledger.error());
  auto destination = make_sink(files, clock, config, sink, run_name(clock, "replay"));
  if (!destination) return report_mistake(destination.error().what);
  ship::JournalSource source(files, config.journal.path);
  ship::DeadLetters dead_letters(files, config.data + "/dead/" + sink.name, sink.name,
                                 sink.dead_bytes_max);
  ProgressBar bar(clock, "replay " + sink.name, "records", progress);
  ship::Courier courier(
      clock, **destination, {}, [] { return !was_told_to_end(); }, say_why(sink.name, bar));
  const ship::ReplayOptions options{.node = config.node.name,
                                    .streams = sink.streams,
                                    .batch = {.batch_bytes = sink.batch_bytes,
                                              .batch_records = sink.batch_records,
                                              .batch_age_us = sink.batch_age_us},
                                    .from_us = *from_us,
                                    .to_us = *to_us,
                                    .replaces = (*destination)->replaces()};
  const auto summary = ship::replay(
      source, *cursor ? (*cursor)->latest.next.sequence : 1, ledger->lines, courier, dead_letters,
      options, [&](std::uint64_t done, std::uint64_t total) { bar.update(done, total); });
  bar.clear();
  if (!summary) return report_fault(summary.error());
  return report_replay(*summary, sink.name, *from_us);
}

}  // namespace inlet::main
