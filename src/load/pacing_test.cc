// Goal: the schedule has the rate asked for and the spacing of its kind, and repeats with its seed.
// Method: statistics over many arrivals with fixed seeds.

#include "load/pacing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace inlet::loader {
namespace {

constexpr int arrivals = 200000;

TEST(Pacer, even_spacing_is_exact_and_does_not_drift) {
  Pacer pacer({.rate_per_s = 30000, .pacing = Pacing::even});
  Microseconds before = 0;
  Microseconds at = 0;
  for (int i = 0; i < 30000; i++) {
    at = pacer.next();
    ASSERT_GE(at - before, 33);
    ASSERT_LE(at - before, 34);
    before = at;
  }
  EXPECT_NEAR(static_cast<double>(at), 1e6, 1);
}

TEST(Pacer, poisson_spacing_has_the_mean_and_the_spread_of_an_exponential) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    Pacer pacer({.rate_per_s = 1000, .pacing = Pacing::poisson, .seed = seed});
    double sum = 0;
    double squares = 0;
    int beyond_the_mean = 0;
    Microseconds before = 0;
    for (int i = 0; i < arrivals; i++) {
      const Microseconds at = pacer.next();
      ASSERT_GE(at, before);
      const auto gap = static_cast<double>(at - before);
      sum += gap;
      squares += gap * gap;
      beyond_the_mean += gap > 1000;
      before = at;
    }
    const double mean = sum / arrivals;
    const double deviation = std::sqrt(squares / arrivals - mean * mean);
    EXPECT_NEAR(mean, 1000, 10) << "seed " << seed;
    EXPECT_NEAR(deviation, 1000, 15) << "seed " << seed;
    EXPECT_NEAR(beyond_the_mean / double{arrivals}, std::exp(-1), 0.005) << "seed " << seed;
  }
}

TEST(Pacer, the_same_seed_gives_the_same_schedule_and_another_gives_another) {
  Pacer one({.rate_per_s = 5000, .seed = 7});
  Pacer two({.rate_per_s = 5000, .seed = 7});
  Pacer three({.rate_per_s = 5000, .seed = 8});
  int same_as_three = 0;
  for (int i = 0; i < 1000; i++) {
    const Microseconds at = one.next();
    ASSERT_EQ(at, two.next());
    same_as_three += at == three.next();
  }
  EXPECT_LT(same_as_three, 100);
}

}  // namespace
}  // namespace inlet::loader
