#include "serve/idempotency_log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/log.h"

namespace inlet::serve {
namespace {

constexpr std::uint64_t block_magic = 0x4D44'4954'454C'4E49;  // "INLETIDM"
constexpr std::uint32_t block_version = 2;                    // 1: another hash of the body.
constexpr std::size_t block_header_bytes = 64;
constexpr std::size_t block_bytes_max = 256U << 10;
constexpr std::size_t block_entries_max =
    (block_bytes_max - block_header_bytes) / idempotency_entry_bytes;
constexpr std::uint64_t small_file_bytes = 8U << 20;  // Not worth writing anew.
constexpr std::uint64_t overgrown_factor = 2;
constexpr std::string_view new_suffix = ".new";

std::size_t block_bytes(std::size_t entries) {
  return round_up(block_header_bytes + entries * idempotency_entry_bytes, limits::block_bytes);
}

std::uint32_t block_crc(Bytes block) { return crc32c(block.subspan(16), crc32c(block.first(12))); }

}  // namespace

struct IdempotencyLog::Block {
  std::size_t bytes;
  std::uint64_t complete_to;
  IdempotencySecret secret;
  Bytes entries;  // In buffer_.
};

IdempotencyLog::IdempotencyLog(FileSystem& files, const std::string& journal_directory,
                               std::uint64_t journal_id)
    : files_(files),
      directory_(journal_directory),
      path_(journal_directory + "/" + std::string(idempotency_file_name)),
      journal_id_(journal_id) {}

// --- Reading.

// The valid block at `offset`; its secret is not looked at.
std::optional<IdempotencyLog::Block> IdempotencyLog::read_block(File& file, std::uint64_t offset,
                                                                std::uint64_t file_bytes) {
  const MutableBytes head = MutableBytes(buffer_).first(limits::block_bytes);
  if (offset + head.size() > file_bytes || !read_all(file, head, offset)) return std::nullopt;
  const std::byte* const at = buffer_.data();
  const std::size_t entries = load<std::uint32_t>(at + 40);
  if (load<std::uint64_t>(at) != block_magic || load<std::uint32_t>(at + 8) != block_version ||
      load<std::uint64_t>(at + 16) != journal_id_ || load<std::uint64_t>(at + 24) != offset ||
      entries > block_entries_max || offset + block_bytes(entries) > file_bytes) {
    return std::nullopt;
  }
  const MutableBytes whole = MutableBytes(buffer_).first(block_bytes(entries));
  if (!read_all(file, whole.subspan(head.size()), offset + head.size())) return std::nullopt;
  if (load<std::uint32_t>(at + 12) != block_crc(whole)) return std::nullopt;
  Block block{.bytes = whole.size(), .complete_to = load<std::uint64_t>(at + 32)};
  std::memcpy(block.secret.data(), at + 48, block.secret.size());
  block.entries = whole.subspan(block_header_bytes, entries * idempotency_entry_bytes);
  return block;
}

Result<std::optional<IdempotencyLog::Loaded>> IdempotencyLog::read(
    std::uint64_t next_sequence, const std::function<void(const IdempotencyEntry&)>& each) {
  file_.reset();
  auto file = files_.open(path_, {.write = true});
  if (!file && file.error().os == ENOENT) return std::nullopt;
  if (!file) return fail(file);
  const auto file_bytes = (*file)->size();
  if (!file_bytes) return fail(file_bytes);
  buffer_.resize(block_bytes_max);
  Loaded loaded;
  end_ = 0;
  bool any = false;
  bool ahead = false;
  for (std::uint64_t offset = 0; offset + limits::block_bytes <= *file_bytes;) {
    const auto block = read_block(**file, offset, *file_bytes);
    if (!block || (any && block->secret != loaded.secret)) {
      offset += limits::block_bytes;
      continue;
    }
    any = true;
    if (offset != end_) loaded.stretches_damaged++;
    loaded.secret = block->secret;
    loaded.complete_to = std::max(loaded.complete_to, block->complete_to);
    for (std::size_t at = 0; at < block->entries.size(); at += idempotency_entry_bytes) {
      const IdempotencyEntry entry = decode_entry(block->entries.data() + at);
      ahead = ahead || entry.sequence >= next_sequence;
      if (entry.sequence >= next_sequence) continue;
      loaded.entries++;
      each(entry);
    }
    offset += block->bytes;
    end_ = offset;
  }
  if (!any) {
    if (*file_bytes > 0) {
      log_warn("serve",
               "the idempotency log is of another journal or version, or damaged: begun anew",
               {{"path", path_}});
    }
    return std::nullopt;
  }
  ahead = ahead || loaded.complete_to > next_sequence;
  loaded.complete_to = std::min(loaded.complete_to, next_sequence);
  complete_to_ = loaded.complete_to;
  if (ahead) {
    log_error("serve", "the idempotency log knows of records that the journal lost",
              {{"path", path_}, {"next_sequence", next_sequence}});
    return loaded;
  }
  // What was read may be in a cache only, and the floor will follow what it says.
  if (const Status safe = (*file)->sync(); !safe) return fail(safe);
  if (const Status safe = files_.sync_directory(directory_); !safe) return fail(safe);
  secret_ = loaded.secret;
  file_ = std::move(*file);
  return loaded;
}

// --- Writing.

void IdempotencyLog::seal(MutableBytes block, std::uint64_t offset, std::size_t entries,
                          std::uint64_t complete_to) const {
  std::byte* const at = block.data();
  const std::size_t used = block_header_bytes + entries * idempotency_entry_bytes;
  std::memset(at + used, 0, block.size() - used);
  store(at, block_magic);
  store(at + 8, block_version);
  store(at + 16, journal_id_);
  store(at + 24, offset);
  store(at + 32, complete_to);
  store(at + 40, static_cast<std::uint32_t>(entries));
  store(at + 44, std::uint32_t{0});
  std::memcpy(at + 48, secret_.data(), secret_.size());
  store(at + 12, block_crc(block));
}

// Writes blocks from `end` on and flushes each; only the last says that the round is complete.
Status IdempotencyLog::write_round(File& file, std::uint64_t& end,
                                   IdempotencyTable::Collection& round) {
  buffer_.resize(block_bytes_max);
  do {
    const MutableBytes room = MutableBytes(buffer_).subspan(
        block_header_bytes, block_entries_max * idempotency_entry_bytes);
    const std::size_t entries = round.take(room);
    const MutableBytes block = MutableBytes(buffer_).first(block_bytes(entries));
    if (round.done()) complete_to_ = std::max(complete_to_, round.complete_to());
    seal(block, end, entries, complete_to_);
    if (const Status written = write_all(file, block, end, Flush::yes); !written) return written;
    end += block.size();
  } while (!round.done());
  return {};
}

Result<std::uint64_t> IdempotencyLog::append(IdempotencyTable::Collection round) {
  CHECK(file_);
  if (const Status written = write_round(*file_, end_, round); !written) {
    file_.reset();
    return fail(written);
  }
  return complete_to_;
}

Result<std::uint64_t> IdempotencyLog::rewrite(IdempotencyTable::Collection round,
                                              const IdempotencySecret& secret) {
  file_.reset();
  secret_ = secret;
  const std::string path = path_ + std::string(new_suffix);
  auto file = files_.open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return fail(file);
  std::uint64_t end = 0;
  Status written = write_round(**file, end, round);
  if (!written) {
    const Status removed = files_.remove(path);  // It may have filled the disk.
    return fail(removed ? written : removed);
  }
  written = files_.rename(path, path_);
  // Before this the old file could come back, and what is appended to the new one be lost.
  if (written) written = files_.sync_directory(directory_);
  if (!written) return fail(written);
  file_ = std::move(*file);
  end_ = end;
  return complete_to_;
}

bool IdempotencyLog::overgrown(std::uint64_t keys_held) const {
  return end_ > std::max(small_file_bytes, keys_held * idempotency_entry_bytes * overgrown_factor);
}

}  // namespace inlet::serve
