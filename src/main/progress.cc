#include "main/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace inlet::main {
namespace {

constexpr std::uint64_t bar_chars = 20;
constexpr Microseconds terminal_interval_us = 100'000;
constexpr Microseconds line_interval_us = 1'000'000;

// 1234567 as "1,234,567".
std::string grouped(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); i++) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

}  // namespace

ProgressLine::ProgressLine(bool wanted)
    : terminal_(::isatty(STDERR_FILENO) == 1), wanted_(wanted || terminal_) {}

void ProgressLine::show(const std::string& line) {
  if (!wanted_) return;
  fmt::print(stderr, "{}{}{}", terminal_ ? "\r" : "", line, terminal_ ? "\x1b[K" : "\n");
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::clear() {
  if (terminal_ && shown_) fmt::print(stderr, "\r\x1b[K");
  shown_ = false;
}

ProgressBar::ProgressBar(Clock& clock, std::string title, std::string unit, bool wanted)
    : clock_(clock),
      title_(std::move(title)),
      unit_(std::move(unit)),
      line_(wanted),
      interval_us_(::isatty(STDERR_FILENO) == 1 ? terminal_interval_us : line_interval_us),
      started_us_(clock.steady_us()) {}

void ProgressBar::update(std::uint64_t done, std::uint64_t total) {
  const Microseconds now_us = clock_.steady_us();
  if (drawn_us_ != 0 && now_us - drawn_us_ < interval_us_ && done < total) return;
  drawn_us_ = now_us;
  line_.show(progress_text(title_, unit_, done, total, now_us - started_us_));
}

std::string progress_text(const std::string& title, const std::string& unit, std::uint64_t done,
                          std::uint64_t total, Microseconds elapsed_us) {
  done = std::min(done, total);
  const double part = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  const auto full = static_cast<std::size_t>(part * static_cast<double>(bar_chars));
  std::string text =
      fmt::format("{}  [{:<{}}] {:>3.0f} %  {} of {} {}", title, std::string(full, '#'), bar_chars,
                  part * 100, grouped(done), grouped(total), unit);
  if (elapsed_us < 1'000'000 || done == 0) return text;
  const double per_s = static_cast<double>(done) * 1e6 / static_cast<double>(elapsed_us);
  text += fmt::format("  {}/s", grouped(static_cast<std::uint64_t>(per_s)));
  if (done < total) {
    const double left_s = static_cast<double>(total - done) / per_s;
    text += fmt::format("  about {:.0f} s left", left_s);
  }
  return text;
}

}  // namespace inlet::main
