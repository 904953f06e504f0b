// profile: a named section of the files ~/.aws/credentials and ~/.aws/config.
//
// Rules: "Configuration and credential file settings in the AWS CLI" and "Shared config and
// credentials files", AWS SDKs and Tools Reference Guide: [NAME] in the first file, [profile NAME]
// or [default] in the second; where both have a key, the first counts.

#pragma once

#include <map>
#include <string>
#include <string_view>

#include "aws/surroundings.h"

namespace inlet::aws {

struct Profile {
  std::string name;
  bool found = false;  // In at least one of the files.
  std::string places;  // The files that were looked into, for messages.
  std::map<std::string, std::string, std::less<>> values;

  [[nodiscard]] std::string value(std::string_view key) const;
};

// `name` "": AWS_PROFILE, then "default". Files that cannot be read count as empty.
[[nodiscard]] Profile read_profile(const Surroundings& surroundings, const std::string& name);

// Adds the keys of section `header` of `text` to `profile`; keys that are there stay.
void read_section(std::string_view text, std::string_view header, Profile& profile);

}  // namespace inlet::aws
