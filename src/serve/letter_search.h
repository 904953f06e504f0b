// letter_search: finds the dead letter of one record among a sink's.
//
// Files are named NODE-JOURNAL-FIRST-LAST.ndjson after the batch, so few are read, in pieces:
// memory does not grow with them. Those of a replay (NODE-JOURNAL-replay-…) tell of a second
// delivery and are left out.
//
// One thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/names.h"
#include "serve/receipt.h"

namespace inlet::serve {

struct LettersFound {
  std::optional<Letter> letter;
  std::uint64_t letters = 0;  // If it is not there: in files within the range asked for.
};

// `directory` is the sink's. Files that lie within [first, end) are counted, those that may hold
// the record searched; reads at most `bytes_max`. ErrorKind::retry if a file cannot be read.
[[nodiscard]] Result<LettersFound> find_letter(FileSystem& files, const std::string& directory,
                                               RecordId id, std::uint64_t first, std::uint64_t end,
                                               std::uint64_t bytes_max);

inline constexpr std::size_t letter_piece_bytes = 256U << 10;
inline constexpr std::size_t letter_head_bytes_max = 64U << 10;  // Of a line, before the body.

}  // namespace inlet::serve
