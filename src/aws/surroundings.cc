#include "aws/surroundings.h"

#include <fmt/format.h>

#include <cstdlib>

namespace inlet::aws {

std::string process_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

Result<std::string> Surroundings::read(const std::string& path) const {
  const auto file = files.open(path, {});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  if (*bytes > small_file_bytes_max) {
    return fail(ErrorKind::reject,
                fmt::format("{} has more than {} bytes", path, small_file_bytes_max));
  }
  std::string text(*bytes, '\0');
  const MutableBytes room{reinterpret_cast<std::byte*>(text.data()), text.size()};
  if (const Status read = read_all(**file, room, 0); !read) return fail(read);
  return text;
}

}  // namespace inlet::aws
