// The command `inlet adopt`: what another node's data directory still holds goes to the sinks of
// this configuration.
//
// It takes that directory's lock, recovers the journal as `serve` would (what was acknowledged last
// may be known to the frames alone), and runs a ship for each sink until all is delivered. Cursors
// move as always, so it can be stopped and called again, and nothing is delivered twice.

#include <fmt/format.h>
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <map>
#include <string>

#include "base/log.h"
#include "base/memory.h"
#include "base/names.h"
#include "base/posix_file.h"
#include "journal/journal.h"
#include "main/adoption.h"
#include "main/cli.h"
#include "main/data_lock.h"
#include "main/leftover.h"
#include "main/process.h"
#include "main/progress.h"

namespace inlet::main {
namespace {

constexpr Microseconds look_us = 100'000;
constexpr Microseconds end_grace_us = 10'000'000;  // For ships that were told to stop.
constexpr std::size_t memory_bytes = 64U << 20;
constexpr std::string_view cursor_suffix = ".cursor";

struct AdoptFlags {
  std::string directory;
  std::vector<std::string> without;
  std::uint32_t timeout_s = 0;  // 0: as long as it takes.
  bool progress = false;
};

class NoListener final : public journal::CommitListener {
  void on_commits(unsigned, journal::Ticket*) override {}
};

std::vector<std::string> sinks_with_cursors(FileSystem& files, const std::string& journal) {
  std::vector<std::string> sinks;
  const auto names = files.list(fmt::format("{}/{}", journal, journal::cursors_directory_name));
  if (!names) return sinks;
  for (const std::string& name : *names) {
    if (!name.ends_with(cursor_suffix)) continue;
    sinks.push_back(name.substr(0, name.size() - cursor_suffix.size()));
  }
  return sinks;
}

// That no sink of the other node's is forgotten: its name is not in this configuration, and it has
// not got everything.
Status refuse_unknown_sinks(FileSystem& files, const Config& config, const AdoptFlags& flags) {
  for (const std::string& sink : sinks_with_cursors(files, config.journal.path)) {
    const bool known =
        std::ranges::find(config.sinks, sink, &SinkConfig::name) != config.sinks.end() ||
        std::ranges::find(flags.without, sink) != flags.without.end();
    if (known) continue;
    const auto backlog = read_backlog(files, config.journal.path, sink);
    if (!backlog) return fail(backlog);
    if (backlog->records() == 0) continue;
    return fail(ErrorKind::reject,
                fmt::format("sink {} has not got {} records of {} and is not in this "
                            "configuration; add it, or leave it out by --without {}",
                            sink, backlog->records(), flags.directory, sink));
  }
  return {};
}

// Finds the journal's end, as after a crash, and holds the lock while it lives. Nothing is made,
// reused or removed: there is room for no file, and the floor is below every record.
Result<std::unique_ptr<journal::Journal>> recover(FileSystem& files, Clock& clock,
                                                  journal::BufferPool& pool,
                                                  journal::CommitListener& listener,
                                                  const std::string& directory) {
  journal::JournalOptions options;
  options.store.directory = directory;
  options.store.segment_bytes = limits::segment_bytes_min;
  options.store.bytes_max = 0;
  options.store.sinks = sinks_with_cursors(files, directory);
  options.store.floor = 1;
  return journal::Journal::open(files, clock, pool, listener, std::move(options));
}

bool was_told_to_end() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  const timespec at_once{};
  return ::sigtimedwait(&signals, nullptr, &at_once) > 0;
}

// The ships of one adoption, by pid.
class Ships {
 public:
  Status start(const std::vector<std::string>& sinks, const CommonFlags& common,
               const std::string& directory) {
    for (const std::string& sink : sinks) {
      Command ship{sibling_program("inlet-ship"),
                   "inlet-ship",
                   {sink, "--drain", "--adopt", directory},
                   -1,
                   true};
      const std::vector<std::string> words = common.arguments();
      ship.arguments.insert(ship.arguments.end(), words.begin(), words.end());
      const auto pid = spawn(ship, {});
      if (!pid) return fail(pid);
      sinks_.emplace(*pid, sink);
    }
    return {};
  }

  void reap_ended() {
    for (Ended ended = reap(); ended.pid != 0; ended = reap()) {
      const auto found = sinks_.find(ended.pid);
      if (found == sinks_.end()) continue;
      const bool in_order =
          WIFEXITED(ended.status) &&
          (WEXITSTATUS(ended.status) == exit_fine || WEXITSTATUS(ended.status) == exit_left_behind);
      if (!in_order) {
        fmt::print(stderr, "inlet: the ship of sink {} ended with {}\n", found->second,
                   describe_status(ended.status));
        failed_ = true;
      }
      sinks_.erase(found);
    }
  }

  void tell_to_end(int signal) {
    for (const auto& [pid, sink] : sinks_) ::kill(pid, signal);
  }

  [[nodiscard]] bool running() const { return !sinks_.empty(); }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  std::map<pid_t, std::string> sinks_;
  bool failed_ = false;
};

// Until they have ended by themselves, or were told to.
Status wait_for(Ships& ships, FileSystem& files, Clock& clock, const std::string& journal,
                const std::vector<std::string>& sinks, const AdoptFlags& flags) {
  ProgressBar bar(clock, "adopt", "records", flags.progress);
  const auto first = read_leftovers(files, journal, sinks);
  if (!first) return fail(first);
  const std::uint64_t all = records_left(*first);
  Microseconds kill_at_us = INT64_MAX;
  const Microseconds until_us = flags.timeout_s == 0
                                    ? INT64_MAX
                                    : clock.steady_us() + Microseconds{flags.timeout_s} * 1'000'000;
  while (ships.running()) {
    const Microseconds now_us = clock.steady_us();
    if (kill_at_us == INT64_MAX && (was_told_to_end() || now_us >= until_us)) {
      ships.tell_to_end(SIGINT);
      kill_at_us = now_us + end_grace_us;
    }
    if (now_us >= kill_at_us) ships.tell_to_end(SIGKILL);
    const auto left = read_leftovers(files, journal, sinks);
    if (left) bar.update(all - std::min(all, records_left(*left)), all);
    clock.sleep(look_us);
    ships.reap_ended();
  }
  return {};
}

// For people who find the directory: nothing depends on it.
Status leave_marker(FileSystem& files, const std::string& directory, const std::string& sentence) {
  auto file = files.open(directory + "/ADOPTED", {.write = true, .create = true, .truncate = true});
  if (!file) return fail(file);
  return write_all(**file, as_bytes(sentence + "\n"), 0, Flush::yes);
}

int conclude(FileSystem& files, const Config& config, const std::vector<std::string>& sinks,
             const std::string& own_name, std::uint64_t journal_id, bool failed) {
  const auto left = read_leftovers(files, config.journal.path, sinks);
  if (!left) return report_fault(left.error());
  for (const std::string& sentence : leftover_sentences(*left)) {
    fmt::print(stderr, "inlet: {}; call it again to go on\n", sentence);
  }
  if (records_left(*left) > 0) return failed ? exit_fault : exit_left_behind;
  const std::string sentence =
      fmt::format("everything of journal {} of node {} is delivered; {} may be removed",
                  record_id(journal_id, 0).substr(0, 12), config.node.name, config.data);
  const Status marked =
      leave_marker(files, config.data, fmt::format("{} (adopted by {})", sentence, own_name));
  if (!marked) log_warn("adopt", marked.error().what);
  fmt::print("{}\n", sentence);
  const auto dead = files.list(config.data + "/dead");
  if (dead && !dead->empty()) {
    fmt::print("first look at its dead letters: inlet dead ls --data {}\n", config.data);
  }
  return failed ? exit_fault : exit_fine;
}

int adopt(FileSystem& files, const CommonFlags& common, const Config& own,
          const AdoptFlags& flags) {
  std::error_code error;
  if (std::filesystem::equivalent(flags.directory, own.data, error)) {
    return report_mistake(flags.directory + " is this node's own; inlet run delivers it");
  }
  const auto config = config_for(files, flags.directory, own);
  if (!config) return report_mistake(config.error().what);
  const auto lock = lock_data(flags.directory);
  if (!lock) return report_fault(lock.error());
  SystemClock clock;
  MemoryBudget memory(memory_bytes);
  journal::BufferPool pool(memory);
  NoListener listener;
  const auto journal = recover(files, clock, pool, listener, config->journal.path);
  if (!journal) return report_fault(journal.error());
  if (const Status known = refuse_unknown_sinks(files, *config, flags); !known) {
    return report_mistake(known.error().what);
  }
  std::vector<std::string> sinks;
  for (const SinkConfig& sink : config->sinks) {
    if (std::ranges::find(flags.without, sink.name) == flags.without.end()) {
      sinks.push_back(sink.name);
    }
  }
  Ships ships;
  if (const Status started = ships.start(sinks, common, flags.directory); !started) {
    return report_fault(started.error());
  }
  const Status waited = wait_for(ships, files, clock, config->journal.path, sinks, flags);
  if (!waited) return report_fault(waited.error());
  return conclude(files, *config, sinks, own.node.name, (*journal)->journal_id(), ships.failed());
}

}  // namespace

int adopt_command(int argc, char** argv) {
  CLI::App app(
      "Delivers what the data directory of a node that is gone still holds, to the sinks of this "
      "configuration, each from where it had got; a sink it did not have gets all of it. Ids and "
      "object names stay that node's. Exit 0: all is delivered; 3: something is left, call it "
      "again.",
      "inlet adopt");
  CommonFlags common;
  AdoptFlags flags;
  app.add_option("DIRECTORY", flags.directory, "The other node's data directory")->required();
  add_common_flags(app, common);
  app.add_option("--without", flags.without, "Not to this sink")->type_name("SINK");
  app.add_option("--timeout", flags.timeout_s, "Seconds, then stop (default: none)")
      ->type_name("S");
  app.add_flag("--progress", flags.progress, "A line a second, even if not on a terminal");
  if (const auto code = parse(app, argc, argv)) return *code;
  PosixFileSystem files;
  const auto config = require_config(files, common);
  if (!config) return exit_mistake;
  hold_signals();
  return adopt(files, common, *config, flags);
}

}  // namespace inlet::main
