#include "sim/seeds.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/check.h"

namespace inlet::sim {
namespace {

std::optional<std::uint64_t> number_from(const char* variable) {
  const char* const text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

}  // namespace

std::vector<std::uint64_t> seeds_to_run(std::string_view test, std::uint64_t fresh_default) {
  if (const auto only = number_from("INLET_SIM_SEED")) return {*only};
  std::vector<std::uint64_t> seeds;
  std::ifstream file(INLET_SIM_SEEDS_FILE);
  CHECK(file.good());
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t seed = 0;
    if (words >> name >> seed && name == test) seeds.push_back(seed);
  }
  const std::uint64_t fresh = number_from("INLET_SIM_SEEDS").value_or(fresh_default);
  for (std::uint64_t seed = 1; seed <= fresh; seed++) seeds.push_back(seed);
  return seeds;
}

std::string replay_command(std::uint64_t seed) {
  return fmt::format("INLET_SIM_SEED={} {}", seed, program_invocation_short_name);
}

}  // namespace inlet::sim
