// body: the numbered JSON bodies that a load sends, so that every one of them can be found again.
//
//   {"run":"0123456789abcdef","n":123,"pad":"89abcdef…"}
//
// The pad begins with 8 hex digits: the CRC-32C of the rest of the pad followed by run and number.
// So a record found in an archive proves that it is whole, without the options it was made with.
//
// Invariants:
//   - every body has exactly the size asked for.
//   - the body of a number is the same each time it is made.
//
// One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace inlet::loader {

inline constexpr std::size_t body_bytes_min = 64;
inline constexpr std::size_t body_bytes_max = 64U << 20;
inline constexpr std::size_t run_chars = 16;

enum class Entropy : unsigned char {
  none,    // One letter over and over.
  text,    // Words: compresses to about a third.
  random,  // 6 random bits a byte: hardly compresses.
};

// A body, or a request, is what was appended to a buffer followed by these borrowed parts.
struct BodyParts {
  std::string_view middle;
  std::string_view end;
};

class BodyMaker {
 public:
  struct Options {
    std::string run;          // run_chars hex digits.
    std::size_t bytes = 256;  // Of a body; body_bytes_min to body_bytes_max.
    Entropy entropy = Entropy::text;
    std::uint64_t seed = 0;  // Of the pad.
  };
  explicit BodyMaker(Options options);

  // Appends the start of body `number`, or all of it. The parts live as long as the maker.
  [[nodiscard]] BodyParts append(std::uint64_t number, std::string& out);

  [[nodiscard]] std::size_t bytes() const { return options_.bytes; }

 private:
  struct Slot {  // A place in the pool, and the checksum of so many bytes from there.
    std::uint32_t pad_bytes = 0;
    std::uint32_t crc = 0;
  };

  const Options options_;
  std::size_t slot_bytes_;
  std::vector<Slot> slots_;
  std::string pool_;
};

// Whether `pad` is what was sent with this run and number.
[[nodiscard]] bool is_intact(std::string_view run, std::uint64_t number, std::string_view pad);

}  // namespace inlet::loader
