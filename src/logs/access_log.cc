#include "logs/access_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/calendar.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "base/names.h"

namespace inlet::logs {
namespace {

constexpr int first_error = 400;
constexpr int first_fault = 500;

// By AccessSlot::Text.
constexpr std::array<std::string_view, access_text_bytes_max.size()> text_names = {
    "request_id", "trace_id", "amzn_trace_id", "client",    "method",
    "path",       "tenant",   "stream",        "user_agent"};

// Of 2^63.
std::uint64_t threshold_of(double sample) {
  return static_cast<std::uint64_t>(std::ldexp(std::clamp(sample, 0.0, 1.0), 63));
}

void append_text(std::string& out, const AccessSlot& slot, AccessSlot::Text which) {
  const std::string_view text = slot.get(which);
  if (text.empty()) return;
  out += ",\"";
  out += text_names[which];
  out += "\":";
  append_json_string(out, text);
}

void append_cut(std::string& out, const AccessSlot& slot) {
  if (slot.cut == 0) return;
  out += ",\"cut\":[";
  for (std::size_t i = 0; i < text_names.size(); i++) {
    if (slot.is_cut(i)) fmt::format_to(std::back_inserter(out), "\"{}\",", text_names[i]);
  }
  out.back() = ']';
}

}  // namespace

void append_access_line(std::string& out, const AccessSlot& slot, std::uint64_t journal_id,
                        double sample) {
  out += "{\"time\":\"";
  append_rfc3339(out, slot.at_us);
  out += "\",\"room\":\"access\"";
  for (const auto which : {AccessSlot::request_id, AccessSlot::trace_id, AccessSlot::amzn_root,
                           AccessSlot::client, AccessSlot::method, AccessSlot::path}) {
    append_text(out, slot, which);
  }
  fmt::format_to(std::back_inserter(out), ",\"status\":{},\"took_us\":{},\"bytes\":{}", slot.status,
                 slot.took_us, slot.request_bytes);
  append_text(out, slot, AccessSlot::tenant);
  append_text(out, slot, AccessSlot::stream);
  if (slot.sequence != 0) {
    std::array<char, record_id_chars> id;
    write_record_id(id.data(), journal_id, slot.sequence);
    out += ",\"id\":\"";
    out.append(id.data(), id.size());
    out += '"';
  }
  append_text(out, slot, AccessSlot::user_agent);
  append_cut(out, slot);
  if (sample < 1 && slot.status < first_fault) {
    fmt::format_to(std::back_inserter(out), ",\"sample\":{}", sample);
  }
  out += "}\n";
}

AccessLog::AccessLog(Clock& clock, AccessOptions options, std::unique_ptr<LogFile> file)
    : clock_(clock),
      options_(options),
      threshold_(threshold_of(options.sample)),
      file_(std::move(file)) {
  std::mt19937_64 random(options_.seed);
  for (std::size_t i = 0; i < options_.loops; i++) {
    loops_.push_back(std::make_unique<Loop>(options_.ring_entries));
    loops_.back()->random = random() | 1;  // Xorshift never leaves 0.
  }
}

AccessLog::~AccessLog() { stop(); }

void AccessLog::start() {
  thread_ = std::thread([this] { run(); });
}

void AccessLog::stop() {
  if (stopped_) return;
  stopped_ = true;
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  write_once();
  if (!file_) return;
  if (const std::string leftover = file_->close(); !leftover.empty()) {
    write_standard_error(leftover);
  }
}

void AccessLog::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    write_once();
    lock.lock();
    if (!stopping_) wake_.wait_for(lock, std::chrono::microseconds(access_write_us));
  }
}

bool AccessLog::wants(std::size_t loop, int status) {
  if (options_.access == Access::off) return false;
  if (status >= first_fault) return true;
  if (options_.access == Access::errors && status < first_error) return false;
  // Xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
  std::uint64_t& random = loops_[loop]->random;
  random ^= random >> 12;
  random ^= random << 25;
  random ^= random >> 27;
  return (random * 0x2545F4914F6CDD1D) >> 1 < threshold_;
}

void AccessLog::write_once() {
  for (const auto& loop : loops_) {
    loop->ring.drain([this](const AccessSlot& slot) {
      append_access_line(text_, slot, options_.journal_id, options_.sample);
      if (text_.size() >= access_piece_bytes) flush();
    });
  }
  flush();
  say_dropped();
  if (file_) file_->tick();
}

void AccessLog::flush() {
  if (text_.empty()) return;
  if (file_) {
    file_->write(text_);
  } else {
    write_standard_error(text_);
    lines_said_.add(static_cast<std::uint64_t>(std::ranges::count(text_, '\n')));
  }
  text_.clear();
}

std::uint64_t AccessLog::crowded_out() const {
  std::uint64_t count = 0;
  for (const auto& loop : loops_) count += loop->ring.dropped();
  return count;
}

std::uint64_t AccessLog::dropped() const { return crowded_out() + (file_ ? file_->dropped() : 0); }

void AccessLog::say_dropped() {
  const std::uint64_t count = crowded_out();
  if (count == dropped_said_ || clock_.steady_us() < say_at_us_) return;
  say_at_us_ = clock_.steady_us() + access_say_us;
  log_warn("logs", "requests are not in the access log: they came too fast",
           {{"requests", count - dropped_said_}});
  dropped_said_ = count;
}

}  // namespace inlet::logs
