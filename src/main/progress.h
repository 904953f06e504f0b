// progress: what a person sees of long work: one line on standard error that is drawn anew, or a
// line a second where it is wanted though nobody watches a terminal.
//
//   redrive out  [########            ]  41 %  12,000 of 29,000 records  3,100/s  about 5 s left
//
// One thread.

#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"

namespace inlet::main {

class ProgressLine {
 public:
  explicit ProgressLine(bool wanted);
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const std::string& line);
  void clear();

 private:
  const bool terminal_;
  const bool wanted_;
  bool shown_ = false;
};

// A bar over work of known length, drawn at most ten times a second (once on no terminal).
class ProgressBar {
 public:
  // `clock` outlives the bar. `unit`: "records".
  ProgressBar(Clock& clock, std::string title, std::string unit, bool wanted);

  void update(std::uint64_t done, std::uint64_t total);
  void clear() { line_.clear(); }

 private:
  Clock& clock_;
  const std::string title_;
  const std::string unit_;
  ProgressLine line_;
  const Microseconds interval_us_;
  const Microseconds started_us_;
  Microseconds drawn_us_ = 0;
};

// The bar's text. Pure.
[[nodiscard]] std::string progress_text(const std::string& title, const std::string& unit,
                                        std::uint64_t done, std::uint64_t total,
                                        Microseconds elapsed_us);

}  // namespace inlet::main
