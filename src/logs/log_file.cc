#include "logs/log_file.h"

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/log.h"

namespace inlet::logs {
namespace {

std::uint64_t lines_in(std::string_view text) {
  return static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
}

// Its size; 0 if it is not there.
Result<std::uint64_t> size_of(FileSystem& files, const std::string& path) {
  const auto file = files.open(path, {});
  if (!file) return file.error().os == ENOENT ? Result<std::uint64_t>(0) : fail(file);
  return (*file)->size();
}

}  // namespace

LogFile::LogFile(FileSystem& files, Clock& clock, LogFileOptions options)
    : files_(files),
      clock_(clock),
      options_(std::move(options)),
      path_(options_.directory + "/" + open_log_name(options_.process)) {
  CHECK(is_process_name(options_.process) && options_.bytes_max > 0);
}

void LogFile::write(std::string_view lines) {
  keep(lines);
  if (!busy_) work(false);
}

void LogFile::tick() { work(false); }

void LogFile::rotate() { work(true); }

Microseconds LogFile::tick_in_us() {
  const Microseconds now_us = clock_.steady_us();
  if (!pending_.empty()) return std::max<Microseconds>(0, retry_at_us_ - now_us);
  if (bytes_ == 0) return never;
  return std::max<Microseconds>(0, begun_us_ + options_.age_max_us - now_us);
}

std::string LogFile::close() {
  retry_at_us_ = 0;
  work(false);
  if (cut_) forget_cut_line();
  file_.reset();
  lock_.reset();
  return std::exchange(pending_, {});
}

// As many whole lines as there is room for.
void LogFile::keep(std::string_view lines) {
  const std::size_t room = pending_bytes_max - std::min(pending_.size(), pending_bytes_max);
  std::string_view kept = lines;
  if (kept.size() > room) kept = kept.substr(0, lines.substr(0, room).rfind('\n') + 1);
  pending_ += kept;
  dropped_.add(lines_in(lines.substr(kept.size())));
}

void LogFile::work(bool rotate_now) {
  if (clock_.steady_us() < retry_at_us_) return;
  busy_ = true;
  Status done = bring_to_disk(rotate_now);
  if (done && failing_.load()) recover();
  // What was said about it.
  if (done && !pending_.empty()) done = append();
  if (!done) give_up(done.error());
  busy_ = false;
}

Status LogFile::bring_to_disk(bool rotate_now) {
  if (const Status ready = get_ready(); !ready) return ready;
  if (const Status appended = append(); !appended) return appended;
  return is_due(rotate_now) ? open_file() : Status();
}

Status LogFile::append() {
  while (!pending_.empty()) {
    if (is_due(false)) {
      if (const Status opened = open_file(); !opened) return opened;
    }
    if (const Status appended = append_part(); !appended) return appended;
  }
  return {};
}

// The lock and the file, if they are to be had.
Status LogFile::get_ready() {
  see_that_it_is_there();
  if (!lock_) {
    if (const Status made = files_.make_directories(options_.directory); !made) return made;
    auto lock = files_.lock(options_.directory + "/" + lock_name(options_.process));
    if (!lock) return fail(lock);
    lock_ = std::move(*lock);
  }
  return file_ ? Status() : open_file();
}

// Somebody may have removed the file, or the directory and the lock with it.
void LogFile::see_that_it_is_there() {
  if (!file_ || clock_.steady_us() < look_at_us_) return;
  look_at_us_ = clock_.steady_us() + log_retry_us;
  const auto names = files_.list(options_.directory);
  if (names && std::ranges::binary_search(*names, open_log_name(options_.process))) return;
  if (!names && names.error().os != ENOENT) return;
  if (cut_) forget_cut_line();
  file_.reset();
  lock_.reset();
}

// What is there under its name is put aside.
Status LogFile::open_file() {
  file_.reset();
  const Status rotated = rotate_log(files_, clock_, options_.directory, options_.process);
  if (!rotated) return rotated;
  auto file = files_.open(path_, {.write = true, .create = true, .group = true});
  if (!file) return fail(file);
  file_ = std::move(*file);
  bytes_ = 0;
  look_at_us_ = clock_.steady_us() + log_retry_us;
  remove_old();
  return {};
}

// No line goes on in another file.
bool LogFile::is_due(bool rotate_now) {
  if (bytes_ == 0 || cut_) return false;
  return rotate_now || bytes_ + part_bytes() > options_.bytes_max ||
         clock_.steady_us() - begun_us_ >= options_.age_max_us;
}

// What goes into the file next: the lines there is room for, but at least one.
std::size_t LogFile::part_bytes() const {
  const std::uint64_t room = options_.bytes_max - std::min(bytes_, options_.bytes_max);
  if (pending_.size() <= room) return pending_.size();
  const std::size_t fitting = std::string_view(pending_).substr(0, room).rfind('\n') + 1;
  return fitting > 0 ? fitting : pending_.find('\n') + 1;
}

// At the end as it is now. What was written leaves pending_, also on failure.
Status LogFile::append_part() {
  const auto end = file_->size();
  if (!end) return fail(end);
  const iovec part{pending_.data(), part_bytes()};
  const auto put = file_->write_at({&part, 1}, *end, Flush::no);
  if (!put) return fail(put);
  if (*put == 0) return fail(ErrorKind::retry, "a log file takes no bytes");
  if (bytes_ == 0) begun_us_ = clock_.steady_us();
  bytes_ = *end + *put;
  lines_.add(lines_in(std::string_view(pending_).substr(0, *put)));
  cut_ = pending_[*put - 1] != '\n';
  pending_.erase(0, *put);
  return {};
}

// The rest of a line whose beginning is not where this would go.
void LogFile::forget_cut_line() {
  pending_.erase(0, pending_.find('\n') + 1);
  dropped_.add();
  cut_ = false;
}

void LogFile::remove_old() {
  const auto names = files_.list(options_.directory);
  if (!names) return;
  const std::vector<RotatedLog> logs = rotated_logs(*names);
  std::vector<std::uint64_t> sizes;
  std::uint64_t total_bytes = 0;
  for (const RotatedLog& log : logs) {
    sizes.push_back(size_of(files_, options_.directory + "/" + log.name()).value_or(0));
    total_bytes += sizes.back();
  }
  std::size_t removed = 0;
  while (removed < logs.size() &&
         (total_bytes > options_.total_bytes_max || logs.size() - removed > rotated_files_max)) {
    const Status done = files_.remove(options_.directory + "/" + logs[removed].name());
    if (!done && done.error().os != ENOENT) {
      log_warn("logs", "an old log cannot be removed", {{"why", done.error().what}});
      break;
    }
    total_bytes -= sizes[removed++];
  }
  if (removed == 0) return;
  removed_files_.add(removed);
  log_warn("logs", "the oldest rotated logs were removed to stay within log.max_total_bytes",
           {{"files", removed}, {"last", logs[removed - 1].name()}});
}

void LogFile::give_up(const Error& error) {
  retry_at_us_ = clock_.steady_us() + log_retry_us;
  if (failing_.exchange(true)) return;
  dropped_before_ = dropped_.get();
  log_warn("logs", "lines do not get into their file",
           {{"process", options_.process}, {"why", error.what}});
}

void LogFile::recover() {
  retry_at_us_ = 0;
  failing_ = false;
  log_warn("logs", "lines get into their file again",
           {{"process", options_.process}, {"lines_dropped", dropped_.get() - dropped_before_}});
}

Status rotate_log(FileSystem& files, Clock& clock, const std::string& directory,
                  std::string_view process) {
  const std::string path = directory + "/" + open_log_name(process);
  const auto bytes = size_of(files, path);
  if (!bytes) return fail(bytes);
  if (*bytes == 0) return {};
  const auto names = files.list(directory);
  if (!names) return fail(names);
  RotatedLog rotated{std::string(process), clock.wall_us()};
  // Later than those before it, whatever the clock says, so that names keep the order.
  for (const RotatedLog& log : rotated_logs(*names)) {
    if (log.process == process) rotated.at_us = std::max(rotated.at_us, log.at_us + 1);
  }
  if (const Status done = files.rename(path, directory + "/" + rotated.name()); !done) return done;
  // Not safe from a power cut otherwise; no reason to stop.
  static_cast<void>(files.sync_directory(directory));
  return {};
}

}  // namespace inlet::logs
