#include "ship/log_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "logs/log_file.h"

namespace inlet::ship {
namespace {

constexpr std::size_t piece_bytes = 1U << 20;  // Read at once.
constexpr int gzip_level = 6;
constexpr Microseconds wait_us_max = 50'000;  // How long a wish may go unnoticed.

}  // namespace

std::string log_key(std::string_view node, const logs::RotatedLog& log) {
  return fmt::format("{}/{}/{}/{}{}", node, log.process, logs::day_path(log.at_us), log.name(),
                     sinks::compression_suffix(sinks::Compression::gzip));
}

Result<std::unique_ptr<LogArchive>> LogArchive::open(FileSystem& files, Clock& clock,
                                                     sinks::LogStore& store,
                                                     LogArchiveOptions options) {
  if (const Status made = files.make_directories(options.directory); !made) return fail(made);
  auto lock = files.lock(options.directory + "/" + std::string(log_archive_lock));
  if (!lock) return fail(lock);
  return std::unique_ptr<LogArchive>(
      new LogArchive(files, clock, store, std::move(options), std::move(*lock)));
}

LogArchive::LogArchive(FileSystem& files, Clock& clock, sinks::LogStore& store,
                       LogArchiveOptions options, std::unique_ptr<FileLock> lock)
    : files_(files),
      clock_(clock),
      store_(store),
      options_(std::move(options)),
      lock_(std::move(lock)),
      compressor_(sinks::Compression::gzip, gzip_level),
      random_(options_.seed) {}

LogArchiveFigures LogArchive::run() {
  bool flushing = false;
  Microseconds deadline_us = 0;
  while (wish_.load() != Wish::stop) {
    if (!flushing && wish_.load() == Wish::flush) {
      flushing = true;
      deadline_us = clock_.steady_us() + options_.flush_deadline_us;
      adopt_at_us_ = not_before_us_ = 0;  // What was just closed; and one try at once.
    }
    const Microseconds wait_us = run_once();
    const bool over = is_idle() || clock_.steady_us() >= deadline_us;
    if (flushing && over) break;
    if (wait_us > 0) clock_.sleep(std::min(wait_us, wait_us_max));
  }
  store_.abandon();
  log_info("logs", "the archive of logs ends",
           {{"files", figures_.files},
            {"bytes", figures_.bytes},
            {"files_waiting", figures_.waiting_files},
            {"last_error", figures_.last_error}});
  return figures_;
}

void LogArchive::flush() {
  // A stop asked for before stays one.
  Wish expected = Wish::run;
  wish_.compare_exchange_strong(expected, Wish::flush);
}

Microseconds LogArchive::run_once() {
  idle_ = false;
  if (sent_) {
    const auto delivery = store_.finish(wait_us_max);
    if (delivery) settle(*delivery);
    return 0;
  }
  const Microseconds now_us = clock_.steady_us();
  if (now_us < not_before_us_) return not_before_us_ - now_us;
  if (now_us >= adopt_at_us_) {
    adopt_at_us_ = now_us + log_adopt_us;
    adopt_orphans();
  }
  return start_oldest();
}

// Every process holds the lock of its log while it lives (logs/log_file.h).
void LogArchive::adopt_orphans() {
  const auto names = files_.list(options_.directory);
  if (!names) return;
  for (const std::string& name : *names) {
    const auto process = logs::parse_open_log(name);
    if (!process || *process == options_.own) continue;
    const auto lock = files_.lock(options_.directory + "/" + logs::lock_name(*process));
    if (!lock) continue;
    const Status rotated = logs::rotate_log(files_, clock_, options_.directory, *process);
    if (!rotated) complain(rotated.error().what);
  }
}

Microseconds LogArchive::start_oldest() {
  const auto names = files_.list(options_.directory);
  if (!names) {
    complain(names.error().what);
    return log_look_us;
  }
  const std::vector<logs::RotatedLog> logs = logs::rotated_logs(*names);
  idle_ = logs.empty();
  figures_.waiting_files = logs.size();
  figures_.oldest_us = logs.empty() ? 0 : logs.front().at_us;
  const Microseconds now_us = clock_.steady_us();
  std::erase_if(unreadable_, [&](const auto& entry) { return entry.second <= now_us; });
  for (const logs::RotatedLog& log : logs) {
    if (unreadable_.contains(log.name())) continue;
    if (start(log)) return 0;
    unreadable_[log.name()] = now_us + unreadable_log_retry_us;
  }
  return log_look_us;
}

bool LogArchive::start(const logs::RotatedLog& log) {
  std::string body;
  std::uint64_t bytes = 0;
  if (const Status done = read(log, body, bytes); !done) {
    // Otherwise it was removed for room, which its process has said.
    if (done.error().os != ENOENT) complain(done.error().what);
    return false;
  }
  sent_ = Sent{log, bytes};
  store_.start(log_key(options_.node, log), std::move(body));
  return true;
}

Status LogArchive::read(const logs::RotatedLog& log, std::string& body, std::uint64_t& bytes) {
  const auto file = files_.open(path_of(log), {});
  if (!file) return fail(file);
  compressor_.reset();
  std::string piece(piece_bytes, '\0');
  while (true) {
    const auto got = (*file)->read_at(std::as_writable_bytes(std::span(piece)), bytes);
    if (!got) return fail(got);
    if (*got == 0) break;
    bytes += *got;
    if (bytes > log_bytes_max) return fail(ErrorKind::reject, path_of(log) + " is too large");
    compressor_.append(std::string_view(piece).substr(0, *got), body);
  }
  compressor_.finish(body);
  return {};
}

void LogArchive::settle(const sinks::Delivery& delivery) {
  const Sent sent = *std::exchange(sent_, std::nullopt);
  if (delivery.outcome != sinks::Outcome::delivered) return note_failure(delivery);
  if (failures_ > 0) {
    log_info("logs", "the archive takes logs again", {{"after_failures", failures_}});
  }
  failures_ = 0;
  complain_at_us_ = 0;
  figures_.last_error.clear();
  figures_.files++;
  figures_.bytes += sent.bytes;
  log_debug("logs", "archived", {{"file", sent.log.name()}, {"bytes", sent.bytes}});
  const Status removed = files_.remove(path_of(sent.log));
  if (!removed && removed.error().os != ENOENT) {
    complain(removed.error().what);
    unreadable_[sent.log.name()] = clock_.steady_us() + unreadable_log_retry_us;
    return;
  }
  if (figures_.waiting_files > 0) figures_.waiting_files--;
  // If it comes back after a power cut, it is stored again, the same.
  static_cast<void>(files_.sync_directory(options_.directory));
}

void LogArchive::note_failure(const sinks::Delivery& delivery) {
  failures_++;
  figures_.retries++;
  figures_.last_error = delivery.why;
  not_before_us_ = clock_.steady_us() + retry_wait_us(options_.retry, delivery.outcome, failures_,
                                                      delivery.retry_after_us, random_());
  complain(delivery.why);
}

void LogArchive::complain(const std::string& why) {
  if (clock_.steady_us() < complain_at_us_) return;
  complain_at_us_ = clock_.steady_us() + log_complain_us;
  log_warn("logs", "logs are not archived",
           {{"why", why}, {"files_waiting", figures_.waiting_files}});
}

std::string LogArchive::path_of(const logs::RotatedLog& log) const {
  return options_.directory + "/" + log.name();
}

}  // namespace inlet::ship
