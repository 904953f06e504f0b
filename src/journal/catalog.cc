#include "journal/catalog.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "journal/buffers.h"
#include "journal/scanner.h"

namespace inlet::journal {
namespace {

constexpr std::uint64_t quick_look_bytes = 1U << 20;
constexpr int mark_read_attempts_max = 100;  // A mark is 64 bytes being rewritten in place.

// Puts a header together from the first frame that stands where it says it does.
Result<std::optional<SegmentHeader>> identify_by_frames(File& file, std::uint64_t file_bytes,
                                                        Look look) {
  MemoryBudget budget(SIZE_MAX);
  BufferPool pool(budget);
  const Buffer buffer = pool.acquire(quick_look_bytes);
  const std::uint64_t end =
      look == Look::thorough ? file_bytes : std::min(file_bytes, quick_look_bytes);
  for (std::uint64_t base = 0; base < end; base += quick_look_bytes) {
    const auto got = file.read_at(buffer.bytes(), base);
    if (!got) return fail(got);
    for (std::size_t at = 0; at + frame_header_bytes <= *got; at += limits::frame_alignment) {
      const auto frame = decode_frame_header(Bytes(buffer.bytes()).subspan(at));
      if (!frame || frame->offset != base + at) continue;
      return SegmentHeader{.salt = frame->salt,
                           .number = frame->segment,
                           .first_sequence = frame->commit,
                           .journal_id = 0,
                           .created_us = 0,
                           .file_bytes = file_bytes};
    }
  }
  return std::nullopt;
}

// Adds what the file at `path` holds to the catalog.
Status identify(FileSystem& files, const std::string& path, std::uint64_t slot, Look look,
                Catalog& catalog) {
  const auto file = open_for_scan(files, path);
  if (!file) return fail(file);
  const auto file_bytes = (*file)->size();
  if (!file_bytes) return fail(file_bytes);
  MemoryBudget budget(SIZE_MAX);
  BufferPool pool(budget);
  const Buffer block = pool.acquire(limits::block_bytes);
  const auto got = (*file)->read_at(block.bytes().first(limits::block_bytes), 0);
  if (!got) return fail(got);
  auto header = decode_segment_header(Bytes(block.bytes()).first(*got));
  if (!header && header.error().kind == ErrorKind::reject) {
    return fail(ErrorKind::reject, path + ": " + header.error().what);
  }
  if (header) {
    if (catalog.journal_id == 0) catalog.journal_id = header->journal_id;
    catalog.segments.push_back({path, slot, *header, false});
    return {};
  }
  const auto found = identify_by_frames(**file, *file_bytes, look);
  if (!found) return fail(found);
  if (*found) {
    catalog.segments.push_back({path, slot, **found, true});
  } else {
    catalog.blank_slots.push_back(slot);
  }
  return {};
}

}  // namespace

Result<Catalog> read_catalog(FileSystem& files, const std::string& directory, Look look) {
  const auto names = files.list(directory);
  if (!names) return fail(names);
  Catalog catalog;
  for (const std::string& name : *names) {
    const auto slot = parse_segment_file_name(name);
    if (!slot) continue;
    catalog.slot_next = std::max(catalog.slot_next, *slot + 1);
    std::string path = directory;
    path += '/';
    path += name;
    const Status identified = identify(files, path, *slot, look, catalog);
    if (identified) continue;
    if (identified.error().kind == ErrorKind::reject && identified.error().os == 0) {
      return fail(ErrorKind::reject, identified.error().what);
    }
    if (identified.error().kind == ErrorKind::stopped) return fail(identified);
    catalog.unreadable.push_back(path);
    log_error("journal", "segment cannot be read",
              {{"path", path}, {"error", identified.error().what}});
  }
  std::ranges::sort(catalog.segments, {}, [](const CatalogEntry& e) { return e.header.number; });
  const auto doubles = std::ranges::unique(catalog.segments, {},
                                           [](const CatalogEntry& e) { return e.header.number; });
  catalog.segments.erase(doubles.begin(), doubles.end());
  return catalog;
}

std::optional<CommitMark> read_commit_mark(File& file) {
  for (int attempt = 0; attempt < mark_read_attempts_max; attempt++) {
    std::byte bytes[commit_mark_bytes];
    if (!read_all(file, bytes, 0)) return std::nullopt;
    if (const auto mark = decode_commit_mark(bytes)) return mark;
  }
  return std::nullopt;
}

std::optional<CommitMark> read_commit_mark(FileSystem& files, const std::string& directory) {
  const auto file = files.open(directory + "/" + std::string(commit_file_name), {});
  if (!file) return std::nullopt;
  return read_commit_mark(**file);
}

}  // namespace inlet::journal
