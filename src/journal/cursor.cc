#include "journal/cursor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/log.h"

namespace inlet::journal {
namespace {

constexpr std::uint64_t cursor_magic = 0x5255'4354'454C'4E49;  // "INLETCUR"
constexpr std::uint32_t cursor_version = 1;
constexpr std::size_t slot_bytes = limits::block_bytes;
constexpr std::size_t slot_count = 2;
constexpr std::size_t slot_used_bytes = 192;
constexpr std::size_t file_bytes = slot_bytes * slot_count;

struct Slot {
  CursorState state;
  std::uint64_t generation = 0;  // 0: empty or damaged.
};

struct Slots {
  std::array<Slot, slot_count> slots;
  bool newer_version = false;
  std::size_t damaged = 0;

  [[nodiscard]] std::size_t latest() const {
    return slots[1].generation > slots[0].generation ? 1 : 0;
  }
  [[nodiscard]] bool both_valid() const { return slots[0].generation && slots[1].generation; }
};

// Generations count from 1 and alternate between the slots.
std::size_t slot_index(std::uint64_t generation) { return generation % slot_count; }

std::string cursor_path(const std::string& directory, const std::string& sink) {
  return directory + "/" + std::string(cursors_directory_name) + "/" + sink + ".cursor";
}

// The crc of a slot that keeps it at bytes 12..15.
std::uint32_t slot_crc(const std::byte* slot) {
  return crc32c(Bytes(slot + 16, slot_used_bytes - 16), crc32c(Bytes(slot, 12)));
}

void encode_slot(const CursorState& state, std::uint64_t generation, MutableBytes out) {
  CHECK(out.size() == slot_bytes);
  CHECK(generation > 0);
  std::byte* const at = out.data();
  std::memset(at, 0, slot_bytes);
  store(at, cursor_magic);
  store(at + 8, cursor_version);
  store(at + 16, generation);
  store(at + 24, state.journal_id);
  store(at + 32, state.next.segment);
  store(at + 40, state.next.offset);
  store(at + 48, state.next.sequence);
  store(at + 56, state.records_skipped);
  store(at + 64, state.records_delivered);
  store(at + 72, state.bytes_delivered);
  store(at + 80, state.records_rejected);
  store(at + 88, state.records_lost);
  store(at + 96, state.saved_us);
  for (std::size_t i = 0; i < planned_batches_max; i++)
    store(at + 104 + 8 * i, state.planned_ends[i]);
  store(at + 12, slot_crc(at));
}

bool is_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// A slot is valid if and only if magic, crc and version are right, its generation belongs where it
// stands, and all after the used bytes is zero: so every flipped bit of the block is noticed.
void decode_slot(Bytes in, std::size_t index, Slots& out) {
  const std::byte* const at = in.data();
  if (is_zero(in)) return;  // Never written.
  out.damaged++;
  if (load<std::uint64_t>(at) != cursor_magic || load<std::uint32_t>(at + 12) != slot_crc(at) ||
      !is_zero(in.subspan(slot_used_bytes))) {
    return;
  }
  const auto generation = load<std::uint64_t>(at + 16);
  if (generation == 0 || slot_index(generation) != index) return;
  out.damaged--;
  if (load<std::uint32_t>(at + 8) != cursor_version) {
    out.newer_version = true;
    return;
  }
  out.slots[index] = Slot{
      .state =
          CursorState{
              .journal_id = load<std::uint64_t>(at + 24),
              .next = {.segment = load<std::uint64_t>(at + 32),
                       .offset = load<std::uint64_t>(at + 40),
                       .sequence = load<std::uint64_t>(at + 48)},
              .records_skipped = load<std::uint64_t>(at + 56),
              .records_delivered = load<std::uint64_t>(at + 64),
              .bytes_delivered = load<std::uint64_t>(at + 72),
              .records_rejected = load<std::uint64_t>(at + 80),
              .records_lost = load<std::uint64_t>(at + 88),
              .saved_us = load<std::int64_t>(at + 96),
          },
      .generation = generation,
  };
  for (std::size_t i = 0; i < planned_batches_max; i++) {
    out.slots[index].state.planned_ends[i] = load<std::uint64_t>(at + 104 + 8 * i);
  }
}

// Bytes beyond the end of a short file count as zeros: the file was being made.
Result<Slots> read_slots(File& file, const std::string& path) {
  std::vector<std::byte> bytes(file_bytes);
  const auto got = file.read_at(bytes, 0);
  if (!got) return fail(got);
  Slots slots;
  for (std::size_t i = 0; i < slot_count; i++) {
    decode_slot(Bytes(bytes).subspan(i * slot_bytes, slot_bytes), i, slots);
  }
  if (slots.newer_version) {
    return fail(ErrorKind::reject, path + " was written by a newer version of this program");
  }
  return slots;
}

Status write_slot(File& file, const CursorState& state, std::uint64_t generation) {
  std::array<std::byte, slot_bytes> bytes;
  encode_slot(state, generation, bytes);
  return write_all(file, Bytes(bytes), slot_index(generation) * slot_bytes, Flush::yes);
}

// Makes the file its full size, so that later saves need no new space, and its name durable. A file
// that exists may have a name that was never flushed, so that is done each time.
Status prepare(FileSystem& files, File& file, const std::string& path) {
  const auto size = file.size();
  if (!size) return fail(size);
  if (*size < file_bytes) {
    const std::vector<std::byte> zeros(file_bytes - *size);
    if (const Status made = write_all(file, zeros, *size, Flush::yes); !made) return made;
  }
  const std::string directory = parent_directory(path);
  if (const Status safe = files.sync_directory(directory); !safe) return safe;
  return files.sync_directory(parent_directory(directory));
}

}  // namespace

Result<std::unique_ptr<Cursor>> Cursor::open(FileSystem& files, const std::string& directory,
                                             const std::string& sink) {
  const std::string path = cursor_path(directory, sink);
  if (const Status made = files.make_directories(parent_directory(path)); !made) return fail(made);
  auto file = files.open(path, {.write = true, .create = true});
  if (!file) return fail(file);
  if (const Status ready = prepare(files, **file, path); !ready) return fail(ready);
  const auto slots = read_slots(**file, path);
  if (!slots) return fail(slots);
  const Slot& slot = slots->slots[slots->latest()];
  if (slots->damaged > 0) {
    log_error(
        "journal", "damaged cursor slot ignored",
        {{"path", path}, {"damaged", slots->damaged}, {"sequence", slot.state.next.sequence}});
  }
  // The latest slot may have been read from a cache that never reached the disk (its writer died in
  // save()). Written once more it is certain, and no byte of it changes.
  if (slots->both_valid()) {
    const Status again = write_slot(**file, slot.state, slot.generation);
    if (!again) return fail(again);
  }
  auto cursor = std::unique_ptr<Cursor>(new Cursor(std::move(*file), slot.state, slot.generation));
  // A lone slot gets its copy, so that there are two again.
  if (slot.generation > 0 && !slots->both_valid()) {
    if (const Status copied = cursor->save(slot.state); !copied) return fail(copied);
  }
  return cursor;
}

Status Cursor::save(const CursorState& state) {
  if (const Status written = write_slot(*file_, state, generation_ + 1); !written) return written;
  state_ = state;
  generation_++;
  return {};
}

Result<std::optional<CursorView>> read_cursor(FileSystem& files, const std::string& directory,
                                              const std::string& sink) {
  const std::string path = cursor_path(directory, sink);
  const auto file = files.open(path, {});
  if (!file && file.error().os == ENOENT) return std::nullopt;
  if (!file) return fail(file);
  const auto slots = read_slots(**file, path);
  if (!slots) return fail(slots);
  CursorView view{.latest = slots->slots[slots->latest()].state, .durable_sequence = 1};
  const CursorState& a = slots->slots[0].state;
  const CursorState& b = slots->slots[1].state;
  if (slots->both_valid() && a.journal_id == b.journal_id) {
    view.durable_sequence = std::min(a.next.sequence, b.next.sequence);
  }
  return view;
}

}  // namespace inlet::journal
