#include "base/file.h"

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace inlet {

Status write_all(File& file, std::span<const iovec> parts, std::uint64_t offset, Flush flush) {
  std::vector<iovec> rest(parts.begin(), parts.end());
  std::size_t first = 0;
  while (true) {
    while (first < rest.size() && rest[first].iov_len == 0) first++;
    if (first == rest.size()) return {};
    const auto written = file.write_at(std::span(rest).subspan(first), offset, flush);
    if (!written) return fail(written);
#if INLET_MUTANT_ignore_short_write
    return {};
#endif
    if (*written == 0) return fail(ErrorKind::retry, "a write made no progress", EIO);
    offset += *written;
    std::size_t done = *written;
    while (first < rest.size() && done >= rest[first].iov_len) done -= rest[first++].iov_len;
    if (first < rest.size()) {
      rest[first].iov_base = static_cast<char*>(rest[first].iov_base) + done;
      rest[first].iov_len -= done;
    } else {
      CHECK(done == 0);
    }
  }
}

Status write_all(File& file, Bytes bytes, std::uint64_t offset, Flush flush) {
  // iovec is shared with reads and so not const; write_at only reads through it.
  const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  return write_all(file, std::span(&part, 1), offset, flush);
}

Status read_all(File& file, MutableBytes out, std::uint64_t offset) {
  while (!out.empty()) {
    const auto got = file.read_at(out, offset);
    if (!got) return fail(got);
    if (*got == 0) return fail(ErrorKind::corrupt, "the file ends early");
    offset += *got;
    out = out.subspan(*got);
  }
  return {};
}

std::string parent_directory(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace inlet
