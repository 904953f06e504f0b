// config_sources: what somebody wrote down, from TOML text and from the environment.
//
// Both give the same flat list of values with their places, in which every section and key is one
// of the schema's; anything else is a mistake here. Whether a value is right is decided later, by
// config.cc, which knows all of them.
//
// Pure; any thread.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "main/config_schema.h"

namespace inlet::main {

struct Place {
  std::string text;        // "inlet.toml:3:10", "environment INLET_SERVER_LISTEN", "--listen".
  std::uint32_t line = 0;  // 0 outside a file.
  std::uint32_t column = 0;
};

struct Given {
  std::string section;  // "server", "streams".
  std::string name;     // "web" of [streams.web], else "".
  std::string key;      // "": the section itself was written down, perhaps empty.
  std::string value;
  Place place;
};

struct Mistake {
  Place place;
  std::string what;
};

struct Written {
  std::vector<Given> given;
  std::vector<Mistake> mistakes;
};

// `file` is how places call the text.
void read_toml(std::string_view text, const std::string& file, Written& out);

// INLET_SECTION_KEY and INLET_SECTION_NAME_KEY, where NAME is a name already in `out` with '-' and
// '.' written '_', or else a new one. INLET_DATA and INLET_CONFIG are left to the caller.
void read_environment(const std::vector<std::pair<std::string, std::string>>& environment,
                      Written& out);

}  // namespace inlet::main
