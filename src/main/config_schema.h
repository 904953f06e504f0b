// config_schema: every section and key there is, its default, its bounds, and where it is stored.
//
// The one table that reading, checking, suggesting and printing work from; a key is added here and
// in config.h, nowhere else.
//
// Constant; any thread.

#pragma once

#include <span>
#include <string>
#include <string_view>

#include "main/values.h"

namespace inlet::main {

// How a value is spelled in TOML; no key is spelled `other`. In the environment all is text.
enum class Shape : unsigned char {
  text,
  size,
  duration,
  number,
  fraction,
  boolean,
  list,
  other,
};

// Sets of sink types, a bit each.
using SinkTypes = unsigned;
[[nodiscard]] constexpr SinkTypes only(SinkType type) { return 1U << static_cast<unsigned>(type); }
inline constexpr SinkTypes every_sink = ~0U;

// A sink's key may stand here several times, for types with different defaults or bounds.
struct Key {
  std::string_view name;
  std::string_view fallback;  // As one would write it; "": none, or load_config() works it out.
  Shape shape;
  Range range;
  Problem (*read)(void* section, std::string_view text, Range range);
  SinkTypes sinks = every_sink;  // Types of sink that have it.
  bool secret = false;           // Never printed.
};

struct Section {
  std::string_view name;
  bool named;  // [streams.NAME] rather than [server].
  std::span<const Key> keys;
};

[[nodiscard]] std::span<const Section> config_sections();

// Null if there is none.
[[nodiscard]] const Section* find_section(std::string_view name);
[[nodiscard]] const Key* find_key(const Section& section, std::string_view name);
// "s3 or kafka": the types of sink that have a key of that name.
[[nodiscard]] std::string types_with(std::string_view key);

}  // namespace inlet::main
