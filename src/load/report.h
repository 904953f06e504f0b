// report: what a load found out, in words for people and in JSON for programs.
//
// Pure; any thread.

#pragma once

#include <optional>
#include <string>

#include "load/driver.h"
#include "load/verifier.h"

namespace inlet::loader {

struct Report {
  std::string url;
  std::string run;
  Driver::Options options;
  std::size_t body_bytes = 0;  // 0: lines of a file.
  Figures figures;
  std::optional<Proof> proof;
};

// Several lines, each with its end.
[[nodiscard]] std::string figures_text(const Report& report);
[[nodiscard]] std::string proof_text(const Proof& proof);
// One object on one line. Times in microseconds; a report without a load has only "proof".
[[nodiscard]] std::string report_json(const Report& report, bool with_load);

// One line without its end.
[[nodiscard]] std::string second_line(const Second& second);
[[nodiscard]] std::string verify_line(std::uint64_t found, std::uint64_t acknowledged);

// "0.085 ms", "12.3 ms", "1.204 s".
[[nodiscard]] std::string time_text(Microseconds time_us);

}  // namespace inlet::loader
