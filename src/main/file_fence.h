// file_fence: the files a process may use, whatever its user may (Landlock, landlock(7)).
//
// After it, everything else in the file system can neither be opened nor changed by this process,
// and no program can be started. Descriptors open already stay as they are.
//
// One thread, before any other starts.

#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace inlet::main {

// Files or directories with all below them; they exist. A file to be read stands for the directory
// it is in, and the one its links lead to, so that it can be replaced.
struct FileRights {
  std::vector<std::string> writable;
  std::vector<std::string> readable;
};

// The version of the kernel's interface that is in force; 0: it has none, or too old a one.
[[nodiscard]] Result<int> fence_files(const FileRights& rights);

}  // namespace inlet::main
