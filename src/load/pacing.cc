#include "load/pacing.h"

#include <cmath>

#include "base/check.h"

namespace inlet::loader {

Pacer::Pacer(Options options)
    : interval_us_(1e6 / options.rate_per_s), pacing_(options.pacing), random_(options.seed) {
  CHECK(options.rate_per_s > 0);
}

Microseconds Pacer::next() {
  double step = interval_us_;
  if (pacing_ == Pacing::poisson) {
    // In [0, 1), so the logarithm is finite.
    const double uniform = static_cast<double>(random_() >> 11) * 0x1p-53;
    step *= -std::log1p(-uniform);
  }
  at_us_ += step;
  return static_cast<Microseconds>(at_us_);
}

}  // namespace inlet::loader
