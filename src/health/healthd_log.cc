#include "health/healthd_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "base/log.h"

namespace inlet::health {
namespace {

constexpr Microseconds hour_us = Microseconds{3600} * 1'000'000;
constexpr std::string_view lock_suffix = ".lock";

std::int64_t hour_of(Microseconds wall_us) { return wall_us / hour_us; }

// As nginx escapes its log's fields: what could end one, and what is no ASCII.
void append_escaped(std::string& out, std::string_view field) {
  if (field.empty()) out += '-';  // An empty last field makes the line "partial".
  for (const char c : field) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\' || byte < 0x20 || byte > 0x7E) {
      fmt::format_to(std::back_inserter(out), "\\x{:02X}", byte);
    } else {
      out += c;
    }
  }
}

std::string_view file_part(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // Of a path without '/': all of it.
}

}  // namespace

void append_healthd_line(std::string& out, const HealthdEntry& entry) {
  constexpr std::uint32_t half_ms = 500;
  const std::uint64_t took_ms = (std::uint64_t{entry.took_us} + half_ms) / 1000;
  const std::string took = fmt::format("{}.{:03}", took_ms / 1000, took_ms % 1000);
  fmt::format_to(std::back_inserter(out), "{}.{:03}\"", entry.at_us / 1'000'000,
                 entry.at_us / 1000 % 1000);
  append_escaped(out, entry.path());
  fmt::format_to(std::back_inserter(out), "\"{}\"{}\"{}\"", entry.status, took, took);
  append_escaped(out, entry.client());
  out += '\n';
}

std::string healthd_file_name(std::string_view base, std::int64_t hour) {
  const auto since_1970 = std::chrono::hours(hour);
  const auto days = std::chrono::floor<std::chrono::days>(since_1970);
  const std::chrono::year_month_day date{std::chrono::sys_days(days)};
  return fmt::format("{}.{:04}-{:02}-{:02}-{:02}", base, static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     (since_1970 - days).count());
}

std::int64_t healthd_hour_of(std::string_view base, std::string_view name) {
  const std::string_view stem = file_part(base);
  if (!name.starts_with(stem)) return -1;
  const std::string_view rest = name.substr(stem.size());
  std::array<int, 4> parts{};  // .YYYY-MM-DD-HH
  constexpr std::array<std::size_t, 4> begins = {1, 6, 9, 12};
  constexpr std::array<std::size_t, 4> lengths = {4, 2, 2, 2};
  for (std::size_t i = 0; i < parts.size(); i++) {
    if (rest.size() < begins[i] + lengths[i]) return -1;
    const char* const first = rest.data() + begins[i];
    std::from_chars(first, first + lengths[i], parts[i]);
  }
  const std::chrono::sys_days day{std::chrono::year(parts[0]) /
                                  std::chrono::month(static_cast<unsigned>(parts[1])) /
                                  std::chrono::day(static_cast<unsigned>(parts[2]))};
  const std::int64_t hour = std::chrono::hours(day.time_since_epoch()).count() + parts[3];
  // Whatever else was there would not be written the same.
  return hour >= 0 && healthd_file_name(stem, hour) == name ? hour : -1;
}

HealthdLog::HealthdLog(FileSystem& files, Clock& clock, HealthdOptions options)
    : files_(files), clock_(clock), options_(std::move(options)) {
  for (std::size_t i = 0; i < options_.loops; i++) {
    rings_.push_back(std::make_unique<HealthdRing>(options_.ring_entries));
  }
}

HealthdLog::~HealthdLog() { stop(); }

void HealthdLog::start() {
  thread_ = std::thread([this] { run(); });
}

void HealthdLog::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  write_once();
}

void HealthdLog::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    write_once();
    lock.lock();
    if (!stopping_) wake_.wait_for(lock, std::chrono::microseconds(healthd_write_us));
  }
}

void HealthdLog::write_once() {
  const Microseconds now_us = clock_.wall_us();
  get_ready(now_us);
  for (const auto& ring : rings_) {
    ring->drain([this](const HealthdEntry& entry) { add(entry); });
    add_crowded(*ring, now_us);
  }
  flush();
}

// The lock and the file of this hour, if they are to be had.
void HealthdLog::get_ready(Microseconds now_us) {
  const bool look = clock_.steady_us() >= look_us_;
  if (look) look_us_ = clock_.steady_us() + healthd_retry_us;
  if (lock_ && look && !file_is_there()) {
    // Somebody removed the directory, and the lock with it.
    cut_ = false;
    forget_text();
    file_.reset();
    hour_ = -1;
    lock_.reset();
  }
  if (!lock_) {
    if (!look) return;
    if (const Status taken = take_lock(); !taken) return give_up(taken.error());
  }
  if (const Status used = use_hour(hour_of(now_us)); !used) return give_up(used.error());
  if (hour_cleaned_ != hour_of(now_us)) remove_old(now_us);
}

Status HealthdLog::take_lock() {
  auto lock = files_.lock(options_.base + std::string(lock_suffix));
  if (!lock) return fail(lock);
  lock_ = std::move(*lock);
  return {};
}

Status HealthdLog::use_hour(std::int64_t hour) {
  if (hour_ == hour) return {};
  const std::string path = healthd_file_name(options_.base, hour);
  auto file = files_.open(path, {.write = true, .create = true, .shared = true});
  if (!file) return fail(file);
  file_ = std::move(*file);
  hour_ = hour;
  if (warned_) log_info("health", "the healthd log is written again", {{"path", path}});
  warned_ = false;
  return {};
}

bool HealthdLog::file_is_there() {
  if (!file_) return true;
  const auto names = files_.list(parent_directory(options_.base));
  const std::string name = healthd_file_name(file_part(options_.base), hour_);
  return names && std::ranges::binary_search(*names, name);
}

void HealthdLog::remove_old(Microseconds now_us) {
  hour_cleaned_ = hour_of(now_us);
  const std::string directory = parent_directory(options_.base);
  const auto names = files_.list(directory);
  if (!names) return;
  for (const std::string& name : *names) {
    const std::int64_t hour = healthd_hour_of(options_.base, name);
    if (hour < 0 || now_us - (hour + 1) * hour_us < healthd_keep_us) continue;
    const Status removed = files_.remove(directory + "/" + name);
    if (!removed) log_warn("health", "remove old healthd log", {{"why", removed.error().what}});
  }
}

void HealthdLog::add(const HealthdEntry& entry) {
  const std::int64_t hour = hour_of(entry.at_us);
  if (text_hour_ != hour || text_.size() >= healthd_piece_bytes) flush();
  if (!lock_) return dropped_.add();
  text_hour_ = hour;
  append_healthd_line(text_, entry);
}

void HealthdLog::add_crowded(HealthdRing& ring, Microseconds now_us) {
  for (int status = HealthdRing::status_min; status <= HealthdRing::status_max; status++) {
    const Crowded crowded = ring.take_crowded(status);
    if (crowded.count == 0) continue;
    const auto mean_us = static_cast<Microseconds>(crowded.took_us / crowded.count);
    const HealthdEntry entry = HealthdEntry::of(now_us, mean_us, status, {}, {});
    for (std::uint64_t i = 0; i < crowded.count; i++) add(entry);
    coarse_lines_.add(crowded.count);
  }
}

void HealthdLog::flush() {
  if (text_.empty() || !lock_) return;
  Status done = use_hour(text_hour_);
  if (done) done = append();
  if (!done) give_up(done.error());
}

// At the end as it is now, whoever else was there. What was written leaves text_, also on failure.
Status HealthdLog::append() {
  const auto end = file_->size();
  if (!end) return fail(end);
  std::size_t written = 0;
  Status status;
  while (written < text_.size() && status) {
    const iovec part{text_.data() + written, text_.size() - written};
    const auto put = file_->write_at({&part, 1}, *end + written, Flush::no);
    if (!put) status = fail(put);
    if (put && *put == 0) status = fail(ErrorKind::retry, "the healthd log takes no bytes");
    if (put) written += *put;
  }
  if (written == 0) return status;
  const std::string_view done(text_.data(), written);
  lines_.add(static_cast<std::uint64_t>(std::ranges::count(done, '\n')));
  cut_ = done.back() != '\n';
  text_.erase(0, written);
  return status;
}

// Drops what is not written, but for the rest of a line that was begun: it goes first when there is
// room again, so that no line is ever half one request and half another.
void HealthdLog::forget_text() {
  const std::size_t kept = cut_ ? text_.find('\n') + 1 : 0;
  dropped_.add(static_cast<std::uint64_t>(std::ranges::count(text_.substr(kept), '\n')));
  text_.resize(kept);
}

void HealthdLog::give_up(const Error& error) {
  forget_text();
  lock_.reset();
  file_.reset();
  hour_ = -1;
  if (!warned_) log_warn("health", "cannot write the healthd log", {{"why", error.what}});
  warned_ = true;
}

}  // namespace inlet::health
