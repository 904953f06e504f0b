// With the CPU's instruction three streams are checked side by side (it has a latency of three
// cycles and a throughput of one) and joined by multiplying with x^(8n) over GF(2), from tables
// made at compile time.

#include "base/crc32c.h"

#include <array>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#endif

namespace inlet {
namespace {

constexpr std::uint32_t polynomial = 0x82F63B78;  // Reflected.

constexpr std::array<std::uint32_t, 256> make_byte_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; byte++) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
    table[byte] = crc;
  }
  return table;
}
constexpr auto byte_table = make_byte_table();

#if defined(__SSE4_2__)

// For each byte of a CRC register: what it becomes after `zero_bytes` zero bytes are appended.
using ShiftTable = std::array<std::array<std::uint32_t, 256>, 4>;

constexpr std::uint32_t append_zeros(std::uint32_t crc, std::size_t zero_bytes) {
  for (std::size_t i = 0; i < zero_bytes; i++) crc = byte_table[crc & 0xff] ^ (crc >> 8);
  return crc;
}

constexpr ShiftTable make_shift_table(std::size_t zero_bytes) {
  std::array<std::uint32_t, 32> of_bit{};
  for (std::size_t bit = 0; bit < 32; bit++) {
    of_bit[bit] = append_zeros(std::uint32_t{1} << bit, zero_bytes);
  }
  ShiftTable table{};
  for (std::size_t place = 0; place < 4; place++) {
    for (std::size_t byte = 0; byte < 256; byte++) {
      std::uint32_t crc = 0;
      for (std::size_t bit = 0; bit < 8; bit++) {
        if ((byte >> bit & 1) != 0) crc ^= of_bit[place * 8 + bit];
      }
      table[place][byte] = crc;
    }
  }
  return table;
}

constexpr std::size_t stripe_bytes = 256;  // Three stripes are checked in one turn.
constexpr ShiftTable shift_stripe = make_shift_table(stripe_bytes);

std::uint32_t shift(const ShiftTable& table, std::uint32_t crc) {
  return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^
         table[3][crc >> 24];
}

std::uint32_t crc32c_instruction(Bytes bytes, std::uint32_t start) {
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t crc = ~start;
  while (left >= 3 * stripe_bytes) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < stripe_bytes; i += 8) {
      crc = _mm_crc32_u64(crc, load<std::uint64_t>(at + i));
      second = _mm_crc32_u64(second, load<std::uint64_t>(at + stripe_bytes + i));
      third = _mm_crc32_u64(third, load<std::uint64_t>(at + 2 * stripe_bytes + i));
    }
    crc = shift(shift_stripe, static_cast<std::uint32_t>(crc)) ^ second;
    crc = shift(shift_stripe, static_cast<std::uint32_t>(crc)) ^ third;
    at += 3 * stripe_bytes;
    left -= 3 * stripe_bytes;
  }
  for (; left >= 8; at += 8, left -= 8) crc = _mm_crc32_u64(crc, load<std::uint64_t>(at));
  auto tail = static_cast<std::uint32_t>(crc);
  for (; left > 0; at++, left--) tail = _mm_crc32_u8(tail, std::to_integer<unsigned char>(*at));
  return ~tail;
}

#endif

}  // namespace

std::uint32_t crc32c_portable(Bytes bytes, std::uint32_t crc) {
  crc = ~crc;
  for (const std::byte byte : bytes) {
    crc = byte_table[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xff] ^ (crc >> 8);
  }
  return ~crc;
}

std::uint32_t crc32c(Bytes bytes, std::uint32_t crc) {
#if defined(__SSE4_2__)
  return crc32c_instruction(bytes, crc);
#else
  return crc32c_portable(bytes, crc);
#endif
}

}  // namespace inlet
