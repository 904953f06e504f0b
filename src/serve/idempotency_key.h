// idempotency_key: what a client calls a request (Idempotency-Key), and the 128 bits that stand for
// it and for its body.
//
// The field is an RFC 8941 string ("k-1") or the same text bare (k-1), as most clients send it; the
// two are one key. A key means something only with its tenant and stream, so all three are hashed.
// Both hashes are keyed with a secret of the journal that nobody outside ever sees an output of:
// who cannot test guesses cannot craft two inputs that collide.
//
//   key   SipHash-2-4 with 128 bits of output, made for short inputs.
//   body  XXH3 with 128 bits, under 192 secret bytes made from the same secret. It is no MAC: with
//         no output to look at, bodies that collide cannot be searched for, and whoever could guess
//         them would hide his own data only, for a key is one tenant's.
//
// Threads: any; pure functions.

#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "http/head.h"
#include "serve/siphash.h"

namespace inlet::serve {

inline constexpr std::size_t idempotency_key_bytes_max = 255;  // Without quotes and escapes.

using IdempotencySecret = SipKey;

// A key as it is compared: unquoted, unescaped.
class IdempotencyKey {
 public:
  // Empty if `field` is not a key: 1 to 255 visible ASCII characters, as an RFC 8941 string or
  // bare, then without quote, backslash, comma and semicolon.
  [[nodiscard]] static std::optional<IdempotencyKey> parse(std::string_view field);

  [[nodiscard]] std::string_view text() const { return {bytes_.data(), size_}; }

 private:
  IdempotencyKey() = default;
  [[nodiscard]] bool add(char c);

  std::array<char, idempotency_key_bytes_max> bytes_;
  std::size_t size_ = 0;
};

// Of the head, if it has one; the error, if it has several or one that is not well formed, is the
// sentence to answer 400 with.
[[nodiscard]] std::expected<std::optional<IdempotencyKey>, std::string> read_idempotency_key(
    const http::RequestHead& head);

[[nodiscard]] Hash128 hash_key(const IdempotencySecret& secret, std::string_view tenant,
                               std::string_view stream, const IdempotencyKey& key);

class BodyHasher {
 public:
  explicit BodyHasher(const IdempotencySecret& secret);

  // Of the bytes as they came; the same bytes in another encoding are another body.
  [[nodiscard]] Hash128 hash(std::string_view content_encoding, Bytes body) const;

 private:
  std::array<std::byte, 192> expanded_;  // The secret, in the size that XXH3 is made for.
};

}  // namespace inlet::serve
