#include "logs/process_log.h"

#include <algorithm>
#include <chrono>

namespace inlet::logs {
namespace {

constexpr Microseconds wait_us_max = Microseconds{3600} * 1'000'000;

}  // namespace

ProcessLog::ProcessLog(FileSystem& files, Clock& clock, LogFileOptions options, Writer writer,
                       bool standard_error)
    : file_(files, clock, std::move(options)), writer_(writer), standard_error_(standard_error) {
  set_log_output(this, standard_error);
}

ProcessLog::~ProcessLog() {
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  writer_ = Writer::caller;  // What the file itself says while it is closed belongs into it.
  if (!queue_.empty()) file_.write(queue_);
  const std::string leftover = file_.close();
  set_log_output(nullptr, true);
  if (!standard_error_ && !leftover.empty()) write_standard_error(leftover);
}

void ProcessLog::start() {
  if (writer_ == Writer::own_thread) thread_ = std::thread([this] { run(); });
}

bool ProcessLog::write(std::string_view line) {
  if (writer_ == Writer::caller) {
    file_.write(line);
    return file_.healthy();
  }
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + line.size() > log_queue_bytes_max) {
      refused_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    queue_ += line;
  }
  wake_.notify_one();
  return file_.healthy();
}

void ProcessLog::run() {
  std::string text;
  std::unique_lock lock(mutex_);
  while (true) {
    if (queue_.empty() && stopping_) return;
    if (queue_.empty()) {
      const Microseconds wait_us = std::min(file_.tick_in_us(), wait_us_max);
      wake_.wait_for(lock, std::chrono::microseconds(wait_us),
                     [this] { return !queue_.empty() || stopping_; });
    }
    text.clear();
    text.swap(queue_);
    lock.unlock();
    text.empty() ? file_.tick() : file_.write(text);
    lock.lock();
  }
}

void ProcessLog::tick() { file_.tick(); }

void ProcessLog::rotate() { file_.rotate(); }

}  // namespace inlet::logs
