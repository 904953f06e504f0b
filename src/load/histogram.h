// histogram: the load generator's measure of time: percentiles within 1/128, up to 19 hours.

#pragma once

#include "base/histogram.h"

namespace inlet::loader {

using Histogram = inlet::Histogram<7, 36>;

}  // namespace inlet::loader
