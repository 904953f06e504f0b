// verifier: proves that every acknowledged number stands in the archive.
//
// A line is one of ours if it holds the numbered body (body.h), bare, under "data", or as a string
// under "text". A body whose checksum is wrong does not count as found. The proof says how many
// acknowledged numbers were found and names the first that were not.
//
// Invariants:
//   - found + missing == acknowledged.
//   - a number counts as found only after its whole body was read from the archive.
//
// One thread.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "load/archive.h"
#include "load/ledger.h"

namespace inlet::loader {

inline constexpr std::size_t missing_named_max = 10;

struct Missing {
  std::string run;
  std::uint64_t number = 0;
  std::string id;  // Empty if not known.
};

struct Proof {
  std::uint64_t acknowledged = 0;
  std::uint64_t found = 0;
  std::uint64_t missing = 0;
  std::uint64_t twice = 0;               // Numbers that arrived more than once.
  std::uint64_t twice_after_repeat = 0;  // Of these: sent more than once by the loader.
  std::uint64_t unacknowledged = 0;      // Arrived, though no answer said so.
  std::uint64_t damaged = 0;             // Bodies that are not what was sent.
  std::uint64_t malformed = 0;           // Lines that are not JSON.
  std::uint64_t foreign = 0;             // Lines of other runs, or not of a load.
  std::size_t objects = 0;
  std::size_t objects_unreadable = 0;
  std::vector<std::string> problems;
  std::vector<Missing> first_missing;  // At most missing_named_max.

  [[nodiscard]] std::uint64_t duplicates() const { return twice - twice_after_repeat; }
};

class Verifier {
 public:
  // Both outlive the verifier.
  Verifier(Archive& archive, Ledger& ledger);
  ~Verifier();

  using KeepGoing = Archive::KeepGoing;
  // Reads what is new in the archive.
  [[nodiscard]] Status run_once(const KeepGoing& keep_going);

  [[nodiscard]] std::uint64_t acknowledged() const;
  [[nodiscard]] std::uint64_t found() const;
  [[nodiscard]] Proof proof() const;

 private:
  class Lines;

  Archive& archive_;
  Ledger& ledger_;
  std::unique_ptr<Lines> lines_;
};

struct Patience {
  Microseconds timeout_us = 60'000'000;  // Without any number found.
  Microseconds poll_us = 100'000;
};
// Reads until everything is found, patience is over or `keep_going` says no.
[[nodiscard]] Status verify_until(Verifier& verifier, Clock& clock, Patience patience,
                                  const Verifier::KeepGoing& keep_going);

// Fills in the ids of missing numbers from a file of acknowledged ones.
[[nodiscard]] Status look_up_ids(File& acked, std::vector<Missing>& missing);

}  // namespace inlet::loader
