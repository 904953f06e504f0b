// crc32c: the checksum of everything Inlet writes (CRC-32C, Castagnoli; RFC 3720 appendix B.4).
//
// crc32c("123456789") == 0xE3069283. Extending is associative over concatenation:
// crc32c(b, crc32c(a)) == crc32c(a + b). Thread-safe; no state.

#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace inlet {

[[nodiscard]] std::uint32_t crc32c(Bytes bytes, std::uint32_t crc = 0);

// The same by table, one byte at a time: for machines without the instruction, and to test against.
[[nodiscard]] std::uint32_t crc32c_portable(Bytes bytes, std::uint32_t crc = 0);

}  // namespace inlet
