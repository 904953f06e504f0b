#include "journal/locate.h"

#include <algorithm>

#include "journal/catalog.h"
#include "journal/scanner.h"

namespace inlet::journal {
namespace {

constexpr std::uint64_t near_bytes = 1U << 20;  // So much is read at once anyway.

// Of a frame at or before the record's, no further away than near_bytes if there is one. With
// damage between, it may be further.
Result<std::uint64_t> come_near(Scanner& scanner, std::uint64_t end, std::uint64_t sequence) {
  std::uint64_t low = first_commit_offset;
  std::uint64_t high = end;
  while (high > low + near_bytes) {
    const std::uint64_t middle = round_down(low + (high - low) / 2, limits::frame_alignment);
    const auto found = scanner.find(middle, 0);
    if (!found) return fail(found);
    if (!*found || **found >= high) {
      high = middle;
      continue;
    }
    const auto frame = scanner.frame_at(**found);
    if (!frame) return fail(frame);
    if (*frame && (*frame)->header.sequence <= sequence) {
      low = **found;
    } else {
      high = middle;
    }
  }
  return low;
}

// From frame to frame.
Result<std::optional<std::uint64_t>> walk(Scanner& scanner, std::uint64_t offset,
                                          std::uint64_t sequence) {
  while (true) {
    const auto frame = scanner.frame_at(offset);
    if (!frame) return fail(frame);
    if (!*frame || (*frame)->header.sequence > sequence) return std::nullopt;
    const FrameHeader& header = (*frame)->header;
    if (header.type == FrameType::record && header.sequence == sequence) return offset;
    offset += header.frame_bytes();
  }
}

}  // namespace

Result<Located> locate(FileSystem& files, const std::string& directory, std::uint64_t sequence) {
  const auto mark = read_commit_mark(files, directory);
  const auto catalog = read_catalog(files, directory, Look::quick);
  if (!catalog) return fail(catalog);
  const auto after =
      std::ranges::upper_bound(catalog->segments, sequence, {},
                               [](const CatalogEntry& e) { return e.header.first_sequence; });
  if (after == catalog->segments.begin()) return Located{.is_gone = true, .at = {}};
  const CatalogEntry& entry = *std::prev(after);
  const auto file = open_for_scan(files, entry.path);
  if (!file) return fail(file);
  const auto file_bytes = (*file)->size();
  if (!file_bytes) return fail(file_bytes);
  std::uint64_t end = *file_bytes;
  if (mark && mark->segment == entry.header.number) end = std::min(end, mark->offset);
  Scanner scanner(**file, entry.header.salt, entry.header.number, end);
  const auto near = come_near(scanner, end, sequence);
  if (!near) return fail(near);
  const auto offset = walk(scanner, *near, sequence);
  if (!offset) return fail(offset);
  if (!*offset) return Located{};
  return Located{.is_gone = false, .at = Position{entry.header.number, **offset, sequence}};
}

}  // namespace inlet::journal
