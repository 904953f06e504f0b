// ledger: which numbers were acknowledged and which were found, per run, in a few bits a number.
//
// The acknowledged numbers are also kept as lines in a file, so that a proof can be made later,
// over several loads, or after the loader itself died; and to look up the id of a missing number:
//
//   RUN NUMBER STATUS ID ATTEMPTS     0123456789abcdef 17 200 a1b2c3d4e5f6-000000000011 1
//
// STATUS is 0 for a number that was sent again and never accepted: it may have arrived, even twice.
// ID is "-" if the answer had none. A line that is not of this form is counted and skipped.
//
// One thread.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace inlet::loader {

inline constexpr std::uint64_t numbers_max = std::uint64_t{1} << 34;
inline constexpr std::size_t runs_max = 1000;
inline constexpr std::size_t acked_line_bytes_max = 256;

// A set of numbers below numbers_max: one bit for each up to the largest.
class NumberSet {
 public:
  bool insert(std::uint64_t number);  // False if it was there.
  [[nodiscard]] bool contains(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t count() const { return count_; }
  // The first number >= `from` that is here and not in `other`; empty if none.
  [[nodiscard]] std::optional<std::uint64_t> first_not_in(const NumberSet& other,
                                                          std::uint64_t from) const;

 private:
  std::vector<std::uint64_t> words_;
  std::uint64_t count_ = 0;
};

class RunLedger {
 public:
  void acknowledge(std::uint64_t number);
  void send_again(std::uint64_t number) { repeated_.insert(number); }
  void arrive(std::uint64_t number);

  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_.count(); }
  [[nodiscard]] std::uint64_t found() const { return found_; }  // Of the acknowledged.
  [[nodiscard]] std::uint64_t unacknowledged() const { return arrived_.count() - found_; }
  [[nodiscard]] std::uint64_t twice() const { return twice_.count(); }
  // Of `twice`, those the loader sent more than once itself.
  [[nodiscard]] std::uint64_t twice_after_repeat() const { return twice_after_repeat_; }
  [[nodiscard]] std::optional<std::uint64_t> first_missing(std::uint64_t from) const {
    return acknowledged_.first_not_in(arrived_, from);
  }

 private:
  NumberSet acknowledged_;
  NumberSet arrived_;
  NumberSet twice_;
  NumberSet repeated_;
  std::uint64_t found_ = 0;
  std::uint64_t twice_after_repeat_ = 0;
};

struct AckedLine {
  std::string_view run;
  std::uint64_t number = 0;
  int status = 0;
  std::string_view id;
  std::uint32_t attempts = 1;
};
void append_acked_line(std::string& out, const AckedLine& line);
[[nodiscard]] std::optional<AckedLine> parse_acked_line(std::string_view text);

// By run. Runs that nobody announced are unknown, and their records none of our business.
class Ledger {
 public:
  // Makes it known; empty if there are runs_max already.
  [[nodiscard]] RunLedger* add(std::string_view run);
  [[nodiscard]] RunLedger* find(std::string_view run);
  // False if it cannot be taken in: one run or one number too many.
  bool take(const AckedLine& line);

  [[nodiscard]] const std::map<std::string, RunLedger, std::less<>>& runs() const { return runs_; }

 private:
  std::map<std::string, RunLedger, std::less<>> runs_;
};

// The file, for writing. Lines are gathered until flush(); those of an earlier run are kept.
class AckedLog {
 public:
  [[nodiscard]] static Result<std::unique_ptr<AckedLog>> open(FileSystem& files,
                                                              const std::string& path);
  void add(const AckedLine& line) { append_acked_line(gathered_, line); }
  [[nodiscard]] bool wants_flush() const { return gathered_.size() >= gathered_bytes_max; }
  // Hands what was gathered to the operating system. After an error the log takes nothing more.
  [[nodiscard]] Status flush();
  [[nodiscard]] File& file() { return *file_; }

 private:
  static constexpr std::size_t gathered_bytes_max = 64U << 10;

  AckedLog(std::unique_ptr<File> file, std::uint64_t bytes)
      : file_(std::move(file)), bytes_(bytes) {}

  std::unique_ptr<File> file_;
  std::uint64_t bytes_;
  std::string gathered_;
  Status state_;
};

// Calls `take` for each line; returns how many lines were not of the form or not taken.
[[nodiscard]] Result<std::uint64_t> read_acked(File& file,
                                               const std::function<bool(const AckedLine&)>& take);

}  // namespace inlet::loader
