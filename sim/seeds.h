// seeds: which seeds a random test runs: those that once failed, then fresh ones in order.
//
// seeds.txt holds a line "<test> <seed>" for each seed that ever found a fault; they run first, for
// ever. INLET_SIM_SEEDS=n runs n fresh seeds instead of the default, INLET_SIM_SEED=s only the one.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace inlet::sim {

[[nodiscard]] std::vector<std::uint64_t> seeds_to_run(std::string_view test,
                                                      std::uint64_t fresh_default);

// What to type to run one seed of the current test again.
[[nodiscard]] std::string replay_command(std::uint64_t seed);

}  // namespace inlet::sim
