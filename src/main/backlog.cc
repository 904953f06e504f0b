#include "main/backlog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "journal/cursor.h"
#include "journal/format.h"

namespace inlet::main {

Result<Backlog> read_backlog(FileSystem& files, const std::string& journal,
                             const std::string& sink) {
  const std::string path = journal + "/" + std::string(journal::commit_file_name);
  auto file = files.open(path, {});
  if (!file && file.error().os == ENOENT) return Backlog{};
  if (!file) return fail(file);
  std::array<std::byte, journal::commit_mark_bytes> bytes{};
  const auto got = (*file)->read_at(bytes, 0);
  if (!got) return fail(got);
  // A new journal's mark is blank: nothing was committed yet.
  const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
  if (std::ranges::all_of(bytes, is_zero)) return Backlog{};
  const auto mark = journal::decode_commit_mark(bytes);
  if (!mark) return fail(ErrorKind::corrupt, path + " is damaged");

  const auto cursor = journal::read_cursor(files, journal, sink);
  if (!cursor) return fail(cursor);
  Backlog backlog{.next = 1, .end = mark->next_sequence};
  if (*cursor) backlog.next = (*cursor)->latest.next.sequence;
  return backlog;
}

std::string describe_backlog(const Backlog& backlog, const std::string& sink) {
  const std::uint64_t records = backlog.records();
  return fmt::format("{} {} behind for sink {}, sequence {} to {}; the next start goes on there",
                     records, records == 1 ? "record stays" : "records stay", sink, backlog.next,
                     backlog.end - 1);
}

}  // namespace inlet::main
