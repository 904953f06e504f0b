// api_key: the text that a client proves its tenant with, and all that is kept of it.
//
//   ik_8m2q4z0v7k1c_<32 characters of secret><7 of checksum>        55 characters
//
// The id is public: it stands in files, logs and metrics. The secret is 160 random bits; only the
// SHA-256 of the whole text is stored (a slow hash protects guessable passwords, not these). The
// checksum (CRC-32C of all that stands before) tells a mistyped key from an unknown one and lets
// scanners recognise leaked keys. The alphabet has no i, l, o and u.
//
// Invariant: a secret is in memory only in what the caller passes in and in SecretText, which wipes
// itself; nothing here allocates.
//
// Pure; any thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace inlet::serve {

inline constexpr std::string_view api_key_prefix = "ik_";
inline constexpr std::size_t api_key_id_chars = 12;      // 60 bits.
inline constexpr std::size_t api_key_secret_chars = 32;  // 160 bits.
inline constexpr std::size_t api_key_check_chars = 7;    // 32 bits.
inline constexpr std::size_t api_key_chars =
    api_key_prefix.size() + api_key_id_chars + 1 + api_key_secret_chars + api_key_check_chars;
inline constexpr std::size_t api_key_random_bytes = 28;  // 8 for the id, 20 for the secret.

// An id as a number, which is how tables find it.
using KeyId = std::uint64_t;
using KeyIdText = std::array<char, api_key_id_chars>;

// Empty: it is no id.
[[nodiscard]] std::optional<KeyId> parse_key_id(std::string_view text);
[[nodiscard]] KeyIdText key_id_text(KeyId id);

using KeyDigest = std::array<std::byte, 32>;

// In constant time.
[[nodiscard]] bool same_digest(const KeyDigest& a, const KeyDigest& b);

// What a key that was presented says of itself; whether it exists is the table's to know.
struct PresentedKey {
  KeyId id;
  KeyDigest digest;
};
enum class KeyFault : std::uint8_t {
  not_a_key,  // Another form altogether.
  mistyped,   // The form of a key, but the checksum does not fit.
};
[[nodiscard]] std::expected<PresentedKey, KeyFault> parse_api_key(std::string_view text);

// Overwrites what held a secret, also where a compiler would leave that out.
void wipe(std::span<char> secret);

// A whole key, wiped when it goes out of scope.
class SecretText {
 public:
  // The key that these random bytes make; the same bytes make the same key.
  explicit SecretText(std::span<const std::byte, api_key_random_bytes> random);
  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;
  ~SecretText() { wipe(text_); }

  [[nodiscard]] std::string_view view() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, api_key_chars> text_;
};

// Of 28 bytes from the kernel's generator.
[[nodiscard]] SecretText make_api_key(std::span<const std::byte, api_key_random_bytes> random);

}  // namespace inlet::serve
