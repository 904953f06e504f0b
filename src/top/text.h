// text: how figures, and words that others chose, appear in a terminal.
//
// Pure; any thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace inlet::top {

// Printable ASCII stays, everything else is '?': what a node says can neither move the cursor nor
// depend on the terminal's character set.
[[nodiscard]] std::string printable(std::string_view text);

// The text, printable, in exactly `width` columns: padded, or cut and ended with "..".
[[nodiscard]] std::string left(std::string_view text, std::size_t width);
[[nodiscard]] std::string right(std::string_view text, std::size_t width);
// The same without padding.
[[nodiscard]] std::string cut(std::string_view text, std::size_t width);
// Lines of at most `width` columns, broken between words where that is possible.
[[nodiscard]] std::vector<std::string> wrap(std::string_view text, std::size_t width);

// In five columns or fewer, but for numbers beyond 10^15: "0", "0.4", "12.3", "340", "12.3k".
[[nodiscard]] std::string number_text(double value);
[[nodiscard]] std::string percent_text(double percent);        // "0", "0.04", "1.2", "12.3", "100"
[[nodiscard]] std::string latency_text(Microseconds took_us);  // "85us", "1.2ms", "340ms", "12.3s"
[[nodiscard]] std::string bytes_text(double bytes);            // "340 B", "1.2 kB", "12.3 MB"
[[nodiscard]] std::string count_text(std::uint64_t count);     // "1,234,567"
[[nodiscard]] std::string time_text(Microseconds wall_us);     // "2026-11-23T10:00:00Z"

}  // namespace inlet::top
