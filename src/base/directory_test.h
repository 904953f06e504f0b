// directory_test: an empty directory for a test. For tests only.

#pragma once

#include <filesystem>
#include <random>
#include <string>

#include "base/check.h"

namespace inlet {

// Makes a new directory, named after `what` and a random number; the caller removes it.
inline std::string make_test_directory(const std::string& what) {
  std::random_device random;
  for (int attempts = 0; attempts < 100; attempts++) {
    const auto path =
        std::filesystem::temp_directory_path() / (what + "." + std::to_string(random()));
    if (std::filesystem::create_directory(path)) return path.string();
  }
  CHECK(false);
  return {};
}

}  // namespace inlet
