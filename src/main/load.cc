// The command `inlet load`: drives a deployment, reports latencies, and proves that nothing
// acknowledged is missing from an archive.

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/posix_file.h"
#include "load/driver.h"
#include "load/report.h"
#include "load/verifier.h"
#include "main/cli.h"
#include "main/load_tls.h"
#include "main/process.h"
#include "main/progress.h"
#include "main/values.h"

namespace inlet::main {
namespace {

constexpr std::uint64_t body_file_bytes_max = 1U << 30;
constexpr rlim_t descriptors_kept = 32;  // For everything that is not a connection.
constexpr Microseconds retry_drain_us = 30'000'000;

// How often the user asked to stop. The first ends the load, each further one the step after it.
std::atomic<int> interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free);
extern "C" void count_interrupt(int) { interrupts++; }

struct LoadFlags {
  std::string url;
  double rate = 0;
  std::string pacing = "poisson";
  std::size_t connections = 64;
  std::string size = "256";
  std::string entropy = "text";
  std::string body;
  std::vector<std::string> headers;
  bool insecure = false;
  std::string ca_file;
  std::size_t stream_count = 1;
  std::string duration = "10s";
  std::string warmup = "0s";
  std::string timeout = "10s";
  std::string drain;
  bool retry = false;
  std::uint64_t seed = 0;
  bool progress = false;
  std::string json;
  std::string verify;
  std::string verify_only;
  std::string verify_timeout = "60s";
  bool no_duplicates = false;
  std::vector<std::string> acked;
};

void add_flags(CLI::App& app, LoadFlags& flags) {
  const auto option = [&](const char* name, auto& value, const char* type, const char* what) {
    return app.add_option(name, value, what)->type_name(type);
  };
  option("url", flags.url, "URL", "where to POST, as in http://127.0.0.1:8080/ingest/demo");
  option("--rate", flags.rate, "N", "requests a second; 0: as fast as answered (default)")
      ->check(CLI::Range(0.0, 1e7));
  option("--pacing", flags.pacing, "KIND", "poisson (default) or even")
      ->check(CLI::IsMember({"poisson", "even"}));
  option("--connections,-c", flags.connections, "C", "connections (default 64)")
      ->check(CLI::Range(std::size_t{1}, loader::connections_max));
  option("--size", flags.size, "BYTES", "of a body, as in 256 or 16KiB (default 256, least 64)");
  option("--entropy", flags.entropy, "KIND", "of a body: none, text (default) or random")
      ->check(CLI::IsMember({"none", "text", "random"}));
  option("--body", flags.body, "FILE", "send the lines of this file instead of numbered bodies");
  option("--header,-H", flags.headers, "'K: V'", "add a header; may be repeated")
      ->allow_extra_args(false);
  app.add_flag("--insecure", flags.insecure, "take any certificate of an https server");
  option("--ca-file", flags.ca_file, "FILE",
         "who must have signed it, in PEM (default: whom the system trusts)");
  option("--stream-count", flags.stream_count, "N", "spread over N streams, URL-0, URL-1, ...")
      ->check(CLI::Range(std::size_t{1}, loader::streams_max));
  option("--duration", flags.duration, "TIME", "seconds, or as in 5m (default 10s)");
  option("--warmup", flags.warmup, "TIME", "at the start, left out of the figures (default 0)");
  option("--timeout", flags.timeout, "TIME", "of one request (default 10s)");
  option("--drain", flags.drain, "TIME",
         "for what is under way at the end (default: the timeout; with --retry 30s)");
  app.add_flag("--retry", flags.retry, "send what failed again until it is accepted");
  option("--seed", flags.seed, "N", "of pacing and bodies (default 0)");
  app.add_flag("--progress", flags.progress, "a line a second, even if not on a terminal");
  option("--json", flags.json, "FILE", "write the figures as JSON; - for standard output");
  option("--verify", flags.verify, "ARCHIVE",
         "afterwards wait until all that was acknowledged is in this directory");
  option("--verify-only", flags.verify_only, "ARCHIVE",
         "send nothing: look for what the --acked files acknowledge");
  option("--verify-timeout", flags.verify_timeout, "TIME",
         "stop waiting after so long without progress (default 60s)");
  app.add_flag("--no-duplicates", flags.no_duplicates, "a number found twice is a failure too");
  option("--acked", flags.acked, "FILE",
         "add what is acknowledged to this file; with --verify-only read it, may be repeated")
      ->allow_extra_args(false);
}

// The flags, understood.
struct Plan {
  loader::Target target;
  loader::Driver::Options driver;
  loader::BodyMaker::Options bodies;
  std::vector<std::string> lines;  // Instead of numbered bodies, if any.
  loader::Patience patience;
};

std::unexpected<Error> mistake(std::string what) {
  return fail(ErrorKind::reject, std::move(what));
}

// "30", "0.5", "30s", "5m".
Status read_time(const char* flag, const std::string& text, Microseconds& out) {
  constexpr double seconds_max = 1e9;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size()) {
    if (!(seconds >= 0 && seconds <= seconds_max)) {
      return mistake(fmt::format("{} {} is out of range", flag, text));
    }
    out = static_cast<Microseconds>(seconds * 1e6);
    return {};
  }
  if (const Problem problem = read_value(text, {}, out)) {
    return mistake(fmt::format("{} {} {}", flag, text, *problem));
  }
  return {};
}

Status read_times(const LoadFlags& flags, Plan& plan) {
  loader::Driver::Options& driver = plan.driver;
  for (const Status& read :
       {read_time("--duration", flags.duration, driver.duration_us),
        read_time("--warmup", flags.warmup, driver.warmup_us),
        read_time("--timeout", flags.timeout, driver.timeout_us),
        read_time("--verify-timeout", flags.verify_timeout, plan.patience.timeout_us)}) {
    if (!read) return read;
  }
  driver.drain_us = flags.retry ? std::max(retry_drain_us, driver.timeout_us) : driver.timeout_us;
  if (!flags.drain.empty()) {
    if (const Status read = read_time("--drain", flags.drain, driver.drain_us); !read) return read;
  }
  if (driver.timeout_us <= 0) return mistake("--timeout must be more than 0");
  if (driver.duration_us <= driver.warmup_us) {
    return mistake("--duration includes the warm-up and must be longer than --warmup");
  }
  return {};
}

Result<std::vector<std::string>> read_lines(FileSystem& files, const std::string& path) {
  const auto file = files.open(path, {});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  if (*bytes > body_file_bytes_max) {
    return mistake(
        fmt::format("--body {} is larger than {}", path, format_size(body_file_bytes_max)));
  }
  std::string text(*bytes, '\0');
  const MutableBytes room(reinterpret_cast<std::byte*>(text.data()), text.size());
  if (const Status read = read_all(**file, room, 0); !read) return fail(read);
  std::vector<std::string> lines;
  std::string_view left = text;
  while (!left.empty()) {
    const std::size_t end = std::min(left.find('\n'), left.size());
    if (end > 0) lines.emplace_back(left.substr(0, end));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  if (lines.empty()) return mistake(fmt::format("--body {} has no lines", path));
  return lines;
}

Status check_combination(const LoadFlags& flags) {
  if (!flags.verify_only.empty()) {
    if (!flags.url.empty()) return mistake("--verify-only sends nothing: leave out the URL");
    if (!flags.verify.empty()) return mistake("--verify-only and --verify exclude each other");
    if (flags.acked.empty())
      return mistake("--verify-only needs --acked FILE to know what to find");
    return {};
  }
  if (flags.url.empty())
    return mistake("load needs a URL, as in http://127.0.0.1:8080/ingest/demo");
  if (flags.acked.size() > 1) return mistake("a load writes one --acked file");
  if (!flags.body.empty() && !(flags.verify.empty() && flags.acked.empty())) {
    return mistake("--body sends bodies without numbers, which --verify and --acked cannot find");
  }
  return {};
}

std::string random_run() {
  std::random_device random;
  const std::uint64_t high = random();
  return fmt::format("{:016x}", high << 32 | random());
}

Result<Plan> make_plan(FileSystem& files, const LoadFlags& flags) {
  Plan plan;
  if (const Status times = read_times(flags, plan); !times) return fail(times);
  if (!flags.verify_only.empty()) return plan;
  auto target = loader::parse_target(flags.url);
  if (!target) return fail(target);
  plan.target = std::move(*target);
  for (const std::string& header : flags.headers) {
    if (const Status good = loader::check_header(header); !good) return fail(good);
  }
  if (!flags.body.empty()) {
    auto lines = read_lines(files, flags.body);
    if (!lines) return fail(lines);
    plan.lines = std::move(*lines);
  }
  std::uint64_t size = 0;
  const Range range{loader::body_bytes_min, loader::body_bytes_max};
  if (const Problem problem = read_value(flags.size, range, size)) {
    return mistake(fmt::format("--size {} {}", flags.size, *problem));
  }
  plan.bodies = {.run = random_run(), .bytes = size, .seed = flags.seed};
  if (flags.entropy == "none") plan.bodies.entropy = loader::Entropy::none;
  if (flags.entropy == "random") plan.bodies.entropy = loader::Entropy::random;
  plan.driver.rate_per_s = flags.rate;
  if (flags.pacing == "even") plan.driver.pacing = loader::Pacing::even;
  plan.driver.seed = flags.seed;
  plan.driver.connections = flags.connections;
  plan.driver.retry = flags.retry;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
      limit.rlim_cur < flags.connections + descriptors_kept) {
    return mistake(fmt::format("--connections {} is more than the limit of {} open files allows",
                               flags.connections, limit.rlim_cur));
  }
  return plan;
}

// Keeps what is acknowledged, in the ledger and in the file, and shows each second.
class Recorder final : public loader::Listener {
 public:
  Recorder(std::string run, loader::Ledger& ledger, loader::AckedLog* log, ProgressLine& line)
      : run_(std::move(run)), ledger_(ledger), log_(log), line_(line) {}

  void settled(const loader::Request& request, int status, std::string_view id) override {
    const bool accepted = status >= 200 && status < 300;
    if (log_ == nullptr || (!accepted && request.attempts < 2)) return;
    const loader::AckedLine line{.run = run_,
                                 .number = request.number,
                                 .status = accepted ? status : 0,
                                 .id = id,
                                 .attempts = request.attempts};
    ledger_.take(line);
    log_->add(line);
    if (log_->wants_flush()) tick();
  }
  void second(const loader::Second& second) override { line_.show(second_line(second)); }
  void tick() override {
    if (log_ != nullptr && written_) written_ = log_->flush();
  }
  [[nodiscard]] const Status& written() const { return written_; }

 private:
  const std::string run_;
  loader::Ledger& ledger_;
  loader::AckedLog* const log_;  // Empty: nobody will ask.
  ProgressLine& line_;
  Status written_;
};

// The file that the ids of missing numbers are looked up in; nameless unless asked for.
Result<std::unique_ptr<loader::AckedLog>> open_acked(FileSystem& files, const LoadFlags& flags,
                                                     const std::string& run) {
  if (!flags.acked.empty()) return loader::AckedLog::open(files, flags.acked.front());
  if (flags.verify.empty()) return nullptr;
  const char* const directory = std::getenv("TMPDIR");
  const std::string path =
      fmt::format("{}/inlet-load-{}.acked", directory == nullptr ? "/tmp" : directory, run);
  auto log = loader::AckedLog::open(files, path);
  if (log) {
    if (const Status removed = files.remove(path); !removed) return fail(removed);
  }
  return log;
}

Result<loader::Figures> drive(const LoadFlags& flags, const Plan& plan, Recorder& recorder) {
  SystemClock clock;
  const loader::RequestMaker::Options options{plan.target, flags.headers, flags.stream_count};
  const auto security = open_security(plan.target, flags.ca_file, flags.insecure);
  if (!security) return fail(security);
  loader::Driver::Options driver_options = plan.driver;
  driver_options.security = security->get();
  loader::RequestMaker requests =
      plan.lines.empty() ? loader::RequestMaker(options, loader::BodyMaker(plan.bodies))
                         : loader::RequestMaker(options, plan.lines);
  loader::Driver driver(driver_options, clock, requests, recorder);
  if (const Status started = driver.start(); !started) {
    return fail(started.error().kind, fmt::format("cannot connect to {}:{}: {}", plan.target.host,
                                                  plan.target.port, started.error().what));
  }
  int heeded = 0;
  while (driver.run_once()) {
    while (heeded < interrupts) {
      driver.stop();
      heeded++;
    }
  }
  return driver.figures();
}

Result<loader::Proof> verify(FileSystem& files, const std::string& directory,
                             loader::Ledger& ledger, const Plan& plan, ProgressLine& line) {
  constexpr Microseconds redraw_us = 250'000;
  SystemClock clock;
  loader::Archive archive(files, directory);
  loader::Verifier verifier(archive, ledger);
  const int interrupts_before = interrupts;
  Microseconds drawn_us = 0;
  const auto keep_going = [&] {
    if (clock.steady_us() - drawn_us >= redraw_us) {
      line.show(loader::verify_line(verifier.found(), verifier.acknowledged()));
      drawn_us = clock.steady_us();
    }
    return interrupts == interrupts_before;
  };
  const Status read = loader::verify_until(verifier, clock, plan.patience, keep_going);
  line.clear();
  if (!read) return fail(read);
  return verifier.proof();
}

Status write_json(FileSystem& files, const std::string& path, const std::string& json) {
  if (path == "-") {
    fmt::print("{}\n", json);
    return {};
  }
  const auto file = files.open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return fail(file);
  return write_all(**file, as_bytes(json + "\n"), 0, Flush::no);
}

// Prints the proof and says whether it holds.
int conclude(const LoadFlags& flags, const loader::Proof& proof, std::FILE* out) {
  fmt::print(out, "{}", loader::proof_text(proof));
  if (proof.missing > 0) return exit_fault;
  if (flags.no_duplicates && proof.duplicates() > 0) return exit_fault;
  return exit_fine;
}

int verify_only(FileSystem& files, const LoadFlags& flags, const Plan& plan) {
  loader::Ledger ledger;
  std::vector<std::unique_ptr<File>> acked;
  for (const std::string& path : flags.acked) {
    auto file = files.open(path, {});
    if (!file) return report_fault(file.error());
    const auto skipped = loader::read_acked(
        **file, [&](const loader::AckedLine& line) { return ledger.take(line); });
    if (!skipped) return report_fault(skipped.error());
    if (*skipped > 0) fmt::print(stderr, "inlet: {}: {} lines skipped\n", path, *skipped);
    acked.push_back(std::move(*file));
  }
  // A mistyped name must not look like an archive without records.
  if (const auto names = files.list(flags.verify_only); !names) return report_fault(names.error());
  ProgressLine line(flags.progress);
  loader::Report report;
  auto proof = verify(files, flags.verify_only, ledger, plan, line);
  if (!proof) return report_fault(proof.error());
  for (const auto& file : acked) {
    if (proof->missing == 0) break;
    if (const Status found = loader::look_up_ids(*file, proof->first_missing); !found) {
      return report_fault(found.error());
    }
  }
  report.proof = std::move(*proof);
  const int code = conclude(flags, *report.proof, flags.json == "-" ? stderr : stdout);
  if (flags.json.empty()) return code;
  const Status written = write_json(files, flags.json, loader::report_json(report, false));
  return written ? code : report_fault(written.error());
}

int load_and_verify(FileSystem& files, const LoadFlags& flags, Plan& plan) {
  const auto address = loader::resolve(plan.target);
  if (!address) return report_fault(address.error());
  plan.driver.address = *address;
  loader::Ledger ledger;
  auto log = open_acked(files, flags, plan.bodies.run);
  if (!log) return report_fault(log.error());
  ProgressLine line(flags.progress);
  Recorder recorder(plan.bodies.run, ledger, log->get(), line);
  const auto figures = drive(flags, plan, recorder);
  line.clear();
  if (!figures) return report_fault(figures.error());

  std::FILE* const out = flags.json == "-" ? stderr : stdout;
  loader::Report report{.url = flags.url,
                        .run = plan.bodies.run,
                        .options = plan.driver,
                        .body_bytes = plan.lines.empty() ? plan.bodies.bytes : 0,
                        .figures = *figures,
                        .proof = std::nullopt};
  fmt::print(out, "{}", loader::figures_text(report));
  std::fflush(out);
  int code = exit_fine;
  if (!recorder.written()) code = report_fault(recorder.written().error());
  if (!flags.verify.empty()) {
    auto proof = verify(files, flags.verify, ledger, plan, line);
    if (!proof) return report_fault(proof.error());
    if (proof->missing > 0) {
      const Status found = loader::look_up_ids((*log)->file(), proof->first_missing);
      if (!found) code = report_fault(found.error());
    }
    report.proof = std::move(*proof);
    code = std::max(code, conclude(flags, *report.proof, out));
  }
  if (!flags.json.empty()) {
    const Status written = write_json(files, flags.json, loader::report_json(report, true));
    if (!written) code = report_fault(written.error());
  }
  if (figures->accepted == 0 && code == exit_fine) {
    code = report_fault({ErrorKind::retry, "load: nothing was accepted"});
  }
  return code;
}

}  // namespace

int load_command(int argc, char** argv) {
  CLI::App app(
      "Sends requests at a given rate, reports latencies counted from when each request was due, "
      "and "
      "can prove that everything acknowledged arrived in the archive.",
      "inlet load");
  LoadFlags flags;
  add_flags(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  PosixFileSystem files;
  raise_descriptor_limit();
  if (const Status good = check_combination(flags); !good) return report_mistake(good.error().what);
  auto plan = make_plan(files, flags);
  if (!plan) return report_mistake(plan.error().what);
  struct sigaction action{};
  action.sa_handler = count_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  return flags.verify_only.empty() ? load_and_verify(files, flags, *plan)
                                   : verify_only(files, flags, *plan);
}

}  // namespace inlet::main
