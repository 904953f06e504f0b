// ledger_lookup: the line of a ledger that one record fell into, without parsing the others.
//
// For who asks about single records: read_ledger() (ledger.h) makes an object of every line, some
// twenty megabytes of a full ledger; here only its text is read.
//
// Any thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/result.h"
#include "journal/ledger.h"

namespace inlet::journal {

// Empty: no line holds `sequence`, or the ledger is of another journal or not there. Of a ledger
// longer than lookup_bytes_max only the newer part is looked at.
[[nodiscard]] Result<std::optional<LedgerLine>> find_ledger_line(FileSystem& files,
                                                                 const std::string& directory,
                                                                 const std::string& sink,
                                                                 std::uint64_t journal_id,
                                                                 std::uint64_t sequence);

inline constexpr std::uint64_t lookup_bytes_max = 2 * Ledger::bytes_max;

}  // namespace inlet::journal
