// values: the texts that stand for values in a configuration, and back.
//
// read_value() is one overload set, so a key's type alone decides how its text is read: uint64_t is
// a size in bytes, Microseconds a duration, uint32_t a count, a vector a
// list. What is wrong is said as the end of a sentence that begins with the text:
// `"16Mib" is not a size such as 16MiB`.
//
// Pure; any thread.

#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "main/config.h"

namespace inlet::main {

using Problem = std::optional<std::string>;  // Empty: nothing is wrong.

struct Range {
  std::uint64_t least = 0;
  std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
};

[[nodiscard]] Problem read_value(std::string_view text, Range range, std::string& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, std::uint64_t& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, Microseconds& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, std::uint32_t& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, bool& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, Address& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, std::optional<Address>& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, Auth& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, Direct& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, Format& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, Ack& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, SinkType& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, Compression& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, PathStyle& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, KafkaKey& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, KafkaEvents& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, PartitionKey& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, HttpBody& out);
// One item a line.
[[nodiscard]] Problem read_value(std::string_view text, Range range, std::vector<std::string>& out);
[[nodiscard]] Problem read_value(std::string_view text, Range range, LogLevel& out);

// In the largest unit that divides it: "16MiB", "75s".
[[nodiscard]] std::string format_size(std::uint64_t bytes);
[[nodiscard]] std::string format_duration(Microseconds duration_us);

// Where this machine reaches a listener of that address: a wildcard is reached by loopback.
[[nodiscard]] std::string reachable(Address address);

// The candidate fewest edits away from `text`, if it is near enough to have been meant.
[[nodiscard]] std::optional<std::string_view> nearest(std::string_view text,
                                                      std::span<const std::string_view> candidates);
// "; did you mean listen?", or nothing.
[[nodiscard]] std::string suggestion(std::string_view text,
                                     std::span<const std::string_view> candidates);

}  // namespace inlet::main
