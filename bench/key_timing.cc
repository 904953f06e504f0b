// key_timing: does the time it takes to refuse a wrong key tell anything about the right ones?
//
//   key_timing [COMPARISONS [SEED]]
//
// Presents wrong keys to a table, and to one behind a memo that knows the right ones, as a gate
// does, in classes interleaved at random: the id is unknown; or it is known and the first 0, 1, 8,
// 16 or 31 bytes of the digest are right; or the first 1, 8, 16 or 31 characters of the secret.
// Each is presented twice, as by one who repeats a guess, and find() timed the second time with the
// processor's counter: so how warm its cache lines are depends on itself, not on which of the keys
// presented before lie beside it. Drops the slowest few per cent (interrupts), and compares each
// class with all others together by Welch's t. Repeated; the median decides. Exit 1 if |t| >= 4.5
// for a class, the usual bound of leakage assessment.
//
// The control: a comparison that stops at the first difference is put to the same test and must be
// caught, else the machine is too noisy to tell (exit 1 as well).

#include <fmt/format.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "serve/key_memo.h"

namespace inlet::bench {
namespace {

using serve::KeyEntry;
using serve::KeyTable;

constexpr std::size_t comparisons_default = 1'000'000;
constexpr int repeats = 5;
// Where a key lies in memory matters by a cycle or two. So each table has another order, and over
// so many of them the places are the same for every class.
constexpr std::size_t tables = 250;
constexpr double t_max = 4.5;
constexpr double kept_share = 0.95;    // Of the measurements, the fastest.
constexpr std::size_t keys_more = 24;  // In the table, and right.
constexpr std::size_t variants = 8;    // Different keys presented of each class.
constexpr std::uint64_t default_seed = 20261123;
constexpr Microseconds now_us = 1'800'000'000'000'000;

using Random = std::array<std::byte, serve::api_key_random_bytes>;
using Rng = std::mt19937_64;

Random random_bytes(Rng& rng) {
  Random bytes;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng());
  return bytes;
}

std::string text_of(const Random& bytes) { return std::string(serve::make_api_key(bytes).view()); }

struct Class {
  std::string name;
  bool known_id;
  std::size_t digest_bytes;  // Equal from the start of the digest,
  std::size_t secret_chars;  // or of the secret.
};
const std::vector<Class> classes = {
    {"unknown id", false, 0, 0}, {"digest 0", true, 0, 0},   {"digest 1", true, 1, 0},
    {"digest 8", true, 8, 0},    {"digest 16", true, 16, 0}, {"digest 31", true, 31, 0},
    {"secret 1", true, 0, 1},    {"secret 8", true, 0, 8},   {"secret 16", true, 0, 16},
    {"secret 31", true, 0, 31},
};

// The wrong key that shares so much of the secret with `right`.
Random with_other_secret(const Random& right, std::size_t chars_equal, Rng& rng) {
  const std::string text = text_of(right);
  constexpr std::size_t secret_at = serve::api_key_prefix.size() + serve::api_key_id_chars + 1;
  while (true) {
    // Five bytes of randomness make eight characters, the last byte's highest bits the first.
    Random other = right;
    const std::size_t group = chars_equal / 8;
    for (std::size_t i = 8 + 5 * group; i < other.size(); i++) other[i] = random_bytes(rng)[0];
    std::uint64_t bits = 0;
    std::memcpy(&bits, right.data() + 8 + 5 * group, 5);
    std::uint64_t fresh = rng();
    const unsigned kept = 5 * static_cast<unsigned>(chars_equal % 8);
    const std::uint64_t low = (std::uint64_t{1} << (40 - kept)) - 1;
    fresh = (bits & ~low) | (fresh & low);
    std::memcpy(other.data() + 8 + 5 * group, &fresh, 5);
    const std::string wrong = text_of(other);
    const auto differs = std::ranges::mismatch(text, wrong).in1;
    if (static_cast<std::size_t>(differs - text.begin()) == secret_at + chars_equal) return other;
  }
}

struct Presented {
  std::array<char, serve::api_key_chars> text;
  std::uint8_t of;  // Class.
};

// A table, and wrong keys, in any order.
struct World {
  serve::KeyUses uses;
  std::unique_ptr<const KeyTable> table;
  std::vector<Presented> presented;
  std::vector<std::string> right;
};

// A wrong key of that class, and the entry that it is compared with, if there is one.
std::pair<Random, std::optional<KeyEntry>> make_wrong(const Class& wanted, Rng& rng) {
  const Random right = random_bytes(rng);
  const auto key = serve::parse_api_key(text_of(right));
  CHECK(key);
  KeyEntry entry{.id = key->id, .digest = key->digest, .tenant = "acme"};
  if (!wanted.known_id) return {right, std::nullopt};
  if (wanted.secret_chars > 0) return {with_other_secret(right, wanted.secret_chars, rng), entry};
  // The table's digest is made from that of the key that is presented.
  for (std::size_t at = wanted.digest_bytes; at < entry.digest.size(); at++) {
    const auto other = static_cast<std::byte>(rng());
    entry.digest[at] = at == wanted.digest_bytes ? ~entry.digest[at] : other;
  }
  return {right, entry};
}

World make_world(Rng& rng) {
  World world;
  std::vector<std::string> lines;
  for (std::size_t c = 0; c < classes.size(); c++) {
    for (std::size_t i = 0; i < variants; i++) {
      const auto [wrong, entry] = make_wrong(classes[c], rng);
      Presented& presented = world.presented.emplace_back();
      std::ranges::copy(text_of(wrong), presented.text.data());
      presented.of = static_cast<std::uint8_t>(c);
      if (entry) lines.push_back(serve::key_line(*entry) + "\n");
    }
  }
  for (std::size_t i = 0; i < keys_more; i++) {
    const auto key = serve::parse_api_key(world.right.emplace_back(text_of(random_bytes(rng))));
    const KeyEntry entry{.id = key->id, .digest = key->digest, .tenant = "acme"};
    lines.push_back(serve::key_line(entry) + "\n");
  }
  std::ranges::shuffle(lines, rng);
  std::ranges::shuffle(world.presented, rng);
  std::string file;
  for (const std::string& line : lines) file += line;
  auto parsed = KeyTable::parse(file, "bench", [](std::string_view) { return 0U; }, world.uses);
  CHECK(parsed.mistakes.empty());
  world.table = std::move(parsed.table);
  return world;
}

struct Sample {
  std::uint32_t cycles;
  std::uint8_t of;  // Class.
};

// The time of one call, from when all before is done until it is.
template <typename Call>
std::uint32_t cycles_of(Call call) {
  unsigned core = 0;
  _mm_lfence();
  const std::uint64_t start = __rdtsc();
  _mm_lfence();
  call();
  const std::uint64_t end = __rdtscp(&core);
  _mm_lfence();
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(end - start, UINT32_MAX));
}

// `judge` is called with the text presented. Appends to `samples`, but for the first few.
template <typename Judge>
void measure(const World& world, std::size_t comparisons, Rng& rng, std::vector<Sample>& samples,
             Judge judge) {
  const std::size_t warm_up = comparisons / 5;
  char presented[serve::api_key_chars];  // Always the same memory, as warm for every class.
  for (std::size_t i = 0; i < warm_up + comparisons; i++) {
    const Presented& chosen = world.presented[rng() % world.presented.size()];
    std::ranges::copy(chosen.text, presented);
    const auto present = [&] { judge(std::string_view(presented, sizeof presented)); };
    present();
    const std::uint32_t cycles = cycles_of(present);
    if (i >= warm_up) samples.push_back({cycles, chosen.of});
  }
}

struct Moments {
  double count = 0;
  double mean = 0;
  double squares = 0;  // Of differences from the mean (Welford).

  void add(double value) {
    count++;
    const double before = value - mean;
    mean += before / count;
    squares += before * (value - mean);
  }
  [[nodiscard]] double error() const { return squares / (count - 1) / count; }
};

double welch_t(const Moments& a, const Moments& b) {
  return (a.mean - b.mean) / std::sqrt(a.error() + b.error());
}

struct Outcome {
  std::vector<double> t;
  std::vector<double> mean_cycles;
};

Outcome judge_samples(const std::vector<Sample>& samples) {
  std::vector<std::uint32_t> sorted;
  for (const Sample& sample : samples) sorted.push_back(sample.cycles);
  const auto cut =
      sorted.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(sorted.size()) * kept_share);
  std::nth_element(sorted.begin(), cut, sorted.end());
  std::vector<Moments> own(classes.size());
  std::vector<Moments> others(classes.size());
  for (const Sample& sample : samples) {
    if (sample.cycles > *cut) continue;
    for (std::size_t c = 0; c < classes.size(); c++) {
      (c == sample.of ? own : others)[c].add(sample.cycles);
    }
  }
  Outcome outcome;
  for (std::size_t c = 0; c < classes.size(); c++) {
    outcome.t.push_back(welch_t(own[c], others[c]));
    outcome.mean_cycles.push_back(own[c].mean);
  }
  return outcome;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Prints the table; the largest |t|.
double print(std::string_view what, const std::vector<Outcome>& outcomes) {
  fmt::print("{}\n  {:<12}{:>12}{:>10}   each time\n", what, "class", "cycles", "t");
  double worst = 0;
  for (std::size_t c = 0; c < classes.size(); c++) {
    std::vector<double> t;
    std::vector<double> cycles;
    for (const Outcome& outcome : outcomes) {
      t.push_back(outcome.t[c]);
      cycles.push_back(outcome.mean_cycles[c]);
    }
    fmt::print("  {:<12}{:>12.1f}{:>10.2f}  ", classes[c].name, median(cycles), median(t));
    for (const double value : t) fmt::print(" {:.2f}", value);
    fmt::print("\n");
    worst = std::max(worst, std::abs(median(t)));
  }
  return worst;
}

// What must not be done: looks at the table as find() does, and stops at the first difference.
[[gnu::noinline]] bool naive(const KeyTable& table, std::string_view text) {
  const auto key = serve::parse_api_key(text);
  if (!key) return false;
  const serve::Key* const found = table.of(key->id);
  if (found == nullptr) return false;
  for (std::size_t i = 0; i < key->digest.size(); i++) {
    if (key->digest[i] != found->digest[i]) return false;
  }
  return true;
}

int run(std::size_t comparisons, std::uint64_t seed) {
  fmt::print("seed {}, {} comparisons, {} times\n", seed, comparisons, repeats);
  std::vector<Outcome> bare;
  std::vector<Outcome> ours;
  std::vector<Outcome> early;
  Rng rng(seed);
  for (int i = 0; i < repeats; i++) {
    std::vector<Sample> bare_now;
    std::vector<Sample> ours_now;
    std::vector<Sample> early_now;
    for (std::size_t j = 0; j < tables; j++) {
      const World world = make_world(rng);
      serve::KeyMemo memo(serve::random_sip_key());
      for (const std::string& key : world.right) {
        CHECK(memo.find(*world.table, key, "", now_us).kind == serve::Verdict::Kind::known);
      }
      measure(world, comparisons / tables, rng, bare_now, [&](std::string_view text) {
        CHECK(world.table->find(text, "", now_us).kind == serve::Verdict::Kind::unknown);
      });
      measure(world, comparisons / tables, rng, ours_now, [&](std::string_view text) {
        CHECK(memo.find(*world.table, text, "", now_us).kind == serve::Verdict::Kind::unknown);
      });
      measure(world, comparisons / tables, rng, early_now,
              [&](std::string_view text) { CHECK(!naive(*world.table, text)); });
    }
    bare.push_back(judge_samples(bare_now));
    ours.push_back(judge_samples(ours_now));
    early.push_back(judge_samples(early_now));
  }
  const double worst =
      std::max(print("the table's find()", bare), print("the memo's find()", ours));
  const double control = print("a comparison that stops early (the control)", early);
  fmt::print("largest |t|: {:.2f}, control {:.2f}, bound {}\n", worst, control, t_max);
  if (control < t_max) fmt::print("the control was not seen: this machine is too noisy to tell\n");
  return worst < t_max && control >= t_max ? 0 : 1;
}

}  // namespace
}  // namespace inlet::bench

int main(int argc, char** argv) {
  const auto number = [&](int at, std::uint64_t otherwise) {
    return argc > at ? std::strtoull(argv[at], nullptr, 10) : otherwise;
  };
  return inlet::bench::run(number(1, inlet::bench::comparisons_default),
                           number(2, inlet::bench::default_seed));
}
