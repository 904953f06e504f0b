#include "load/verifier.h"

#include <simdjson.h>

#include <algorithm>

#include "load/body.h"

namespace inlet::loader {

// Recognises lines and enters them into the ledger.
class Verifier::Lines {
 public:
  explicit Lines(Ledger& ledger) : ledger_(ledger) {}

  // False if `line` is not JSON.
  bool take(std::string_view line, bool has_end) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return true;
    simdjson::dom::element root;
    if (parser_.parse(line.data(), line.size()).get(root) != simdjson::SUCCESS) {
      malformed += has_end;
      return false;
    }
    simdjson::dom::object body;
    std::string_view run;
    std::uint64_t number = 0;
    std::string_view pad;
    const bool numbered = find_body(root, body) && body["run"].get(run) == simdjson::SUCCESS &&
                          body["n"].get(number) == simdjson::SUCCESS &&
                          body["pad"].get(pad) == simdjson::SUCCESS;
    RunLedger* const entries = numbered ? ledger_.find(run) : nullptr;
    if (entries == nullptr) {
      foreign++;
    } else if (number >= numbers_max || !is_intact(run, number, pad)) {
      damaged++;
    } else {
      entries->arrive(number);
    }
    return true;
  }

  std::uint64_t malformed = 0;
  std::uint64_t foreign = 0;
  std::uint64_t damaged = 0;

 private:
  bool find_body(simdjson::dom::element root, simdjson::dom::object& body) {
    simdjson::dom::object envelope;
    if (root.get(envelope) != simdjson::SUCCESS) return false;
    if (envelope["data"].get(body) == simdjson::SUCCESS) return true;
    std::string_view text;
    if (envelope["text"].get(text) == simdjson::SUCCESS) {
      return text_parser_.parse(text.data(), text.size()).get(body) == simdjson::SUCCESS;
    }
    body = envelope;
    return true;
  }

  Ledger& ledger_;
  simdjson::dom::parser parser_;
  simdjson::dom::parser text_parser_;
};

Verifier::Verifier(Archive& archive, Ledger& ledger)
    : archive_(archive), ledger_(ledger), lines_(std::make_unique<Lines>(ledger)) {}

Verifier::~Verifier() = default;

Status Verifier::run_once(const KeepGoing& keep_going) {
  return archive_.read_new(
      [&](std::string_view line, bool has_end) { return lines_->take(line, has_end); }, keep_going);
}

std::uint64_t Verifier::acknowledged() const {
  std::uint64_t sum = 0;
  for (const auto& [name, run] : ledger_.runs()) sum += run.acknowledged();
  return sum;
}

std::uint64_t Verifier::found() const {
  std::uint64_t sum = 0;
  for (const auto& [name, run] : ledger_.runs()) sum += run.found();
  return sum;
}

Proof Verifier::proof() const {
  Proof proof;
  for (const auto& [name, run] : ledger_.runs()) {
    proof.acknowledged += run.acknowledged();
    proof.found += run.found();
    proof.twice += run.twice();
    proof.twice_after_repeat += run.twice_after_repeat();
    proof.unacknowledged += run.unacknowledged();
    for (auto number = run.first_missing(0);
         number && proof.first_missing.size() < missing_named_max;
         number = run.first_missing(*number + 1)) {
      proof.first_missing.push_back({.run = name, .number = *number, .id = {}});
    }
  }
  proof.missing = proof.acknowledged - proof.found;
  proof.damaged = lines_->damaged;
  proof.malformed = lines_->malformed;
  proof.foreign = lines_->foreign;
  proof.objects = archive_.objects();
  proof.objects_unreadable = archive_.problem_count();
  proof.problems = archive_.problems(missing_named_max);
  return proof;
}

Status verify_until(Verifier& verifier, Clock& clock, Patience patience,
                    const Verifier::KeepGoing& keep_going) {
  std::uint64_t found_before = 0;
  Microseconds progress_us = 0;
  for (bool first = true;; first = false) {
    const bool was_complete = !first && verifier.found() == verifier.acknowledged();
    if (const Status read = verifier.run_once(keep_going); !read) return read;
    // One reading more after the last number was found shows what follows at once: doubles.
    if (was_complete || !keep_going()) return {};
    const Microseconds now_us = clock.steady_us();
    if (first || verifier.found() != found_before) progress_us = now_us;
    found_before = verifier.found();
    if (now_us - progress_us >= patience.timeout_us) return {};
    clock.sleep(patience.poll_us);
  }
}

Status look_up_ids(File& acked, std::vector<Missing>& missing) {
  const auto read = read_acked(acked, [&](const AckedLine& line) {
    const auto found = std::find_if(missing.begin(), missing.end(), [&](const Missing& one) {
      return one.number == line.number && one.run == line.run;
    });
    if (found != missing.end() && line.id != "-") found->id = line.id;
    return true;
  });
  if (!read) return fail(read);
  return {};
}

}  // namespace inlet::loader
