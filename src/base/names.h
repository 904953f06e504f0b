// names: the identifiers that appear in URLs, paths, topics and metrics, and record ids.
//
// A valid name can stand in a path or a URL as it is: no separator, no dot at the start, no
// upper case, no control character.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace inlet {

// [a-z0-9][a-z0-9_.-]{0,63}: streams, tenants, sinks, nodes.
[[nodiscard]] bool is_name(std::string_view text);

// A name in which '*' stands for any characters, also none: "web.*", "*".
[[nodiscard]] bool is_name_pattern(std::string_view text);
// Linear in the name for one star, never worse than its length times the pattern's.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name);
[[nodiscard]] bool matches_any(std::span<const std::string> patterns, std::string_view name);

// A record id as clients see it: "<journal, 12 hex digits>-<sequence, 12 hex digits>". Unique over
// nodes (the journal part is random per journal directory) and never used again.
[[nodiscard]] std::string record_id(std::uint64_t journal_id, std::uint64_t sequence);
// The same into `out`, which has room for record_id_chars; returns the end.
char* write_record_id(char* out, std::uint64_t journal_id, std::uint64_t sequence);

struct RecordId {
  std::uint64_t journal_id;
  std::uint64_t sequence;
};
[[nodiscard]] std::optional<RecordId> parse_record_id(std::string_view text);

inline constexpr std::size_t record_id_chars = 25;
inline constexpr std::uint64_t journal_id_mask = (std::uint64_t{1} << 48) - 1;

}  // namespace inlet
