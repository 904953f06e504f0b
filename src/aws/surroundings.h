// surroundings: what the process was started with: variables, and the files they name.
//
// The only way this room looks at either, so that tests can say what is there.
//
// Owned by the client, used by its one thread.

#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/file.h"

namespace inlet::aws {

// The value of an environment variable; "" if it is not set, which AWS's own tools take for the
// same.
using Variables = std::function<std::string(const std::string& name)>;

[[nodiscard]] std::string process_variable(const std::string& name);

struct Surroundings {
  Variables variable;
  FileSystem& files;

  // A whole small file. Error::os is ENOENT if there is none.
  [[nodiscard]] Result<std::string> read(const std::string& path) const;
};

inline constexpr std::uint64_t small_file_bytes_max = 1U << 20;

}  // namespace inlet::aws
