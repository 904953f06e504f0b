#include "aws/profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "aws/text.h"

namespace inlet::aws {
namespace {

// "[ profile  NAME ] # note" to "profile NAME".
std::string section_name(std::string_view line) {
  std::string name;
  for (const char c : trim(line.substr(1, line.find(']') - 1))) {
    const bool space = c == ' ' || c == '\t';
    if (!space || !name.ends_with(' ')) name += space ? ' ' : c;
  }
  return name;
}

// A "#" or ";" behind a space starts a note.
std::string_view without_note(std::string_view value) {
  for (std::size_t i = 1; i < value.size(); i++) {
    const bool behind_space = value[i - 1] == ' ' || value[i - 1] == '\t';
    if (behind_space && (value[i] == '#' || value[i] == ';')) return trim(value.substr(0, i));
  }
  return trim(value);
}

std::string path_of(const Surroundings& surroundings, const std::string& variable,
                    std::string_view in_home) {
  std::string named = surroundings.variable(variable);
  const std::string home = surroundings.variable("HOME");
  if (named.starts_with("~/")) return home + named.substr(1);
  if (!named.empty()) return named;
  return home.empty() ? "" : fmt::format("{}/{}", home, in_home);
}

}  // namespace

std::string Profile::value(std::string_view key) const {
  const auto found_value = values.find(key);
  return found_value == values.end() ? "" : found_value->second;
}

void read_section(std::string_view text, std::string_view header, Profile& profile) {
  bool inside = false;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    // An indented line belongs to a nested setting of the line above it.
    if (line.empty() || line[0] == '#' || line[0] == ';' || line[0] == ' ' || line[0] == '\t') {
      continue;
    }
    if (line[0] == '[') {
      inside = section_name(line) == header;
      profile.found = profile.found || inside;
      continue;
    }
    const std::size_t equals = line.find('=');
    if (!inside || equals == std::string_view::npos) continue;
    profile.values.emplace(trim(line.substr(0, equals)), without_note(line.substr(equals + 1)));
  }
}

Profile read_profile(const Surroundings& surroundings, const std::string& name) {
  Profile profile;
  profile.name = name.empty() ? surroundings.variable("AWS_PROFILE") : name;
  if (profile.name.empty()) profile.name = "default";
  const std::string credentials =
      path_of(surroundings, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
  const std::string config = path_of(surroundings, "AWS_CONFIG_FILE", ".aws/config");
  profile.places = credentials.empty() && config.empty()
                       ? "no file, as HOME is not set"
                       : fmt::format("{} and {}", credentials, config);
  if (const auto text = surroundings.read(credentials)) {
    read_section(*text, profile.name, profile);
  }
  if (const auto text = surroundings.read(config)) {
    if (profile.name == "default") read_section(*text, "default", profile);
    read_section(*text, "profile " + profile.name, profile);
  }
  return profile;
}

}  // namespace inlet::aws
