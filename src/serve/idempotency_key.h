// idempotency_key: what a client calls a request (Idempotency-Key), and the 128 bits that stand for
// it and for its body.
//
// The field is an RFC 8941 string ("k-1") or the same text bare (k-1), as most clients send it; the
// two are one key. A key means something only with its tenant and stream, so all three are hashed.
// Both hashes are keyed with a secret of the journal that nobody outside ever sees an output of:
// who cannot test guesses cannot craft two inputs that collide.
//
//   key   SipHash-2-4 with 128 bits of output, made for short inputs.
//   body  Poly1305 under a key that stays the same. As a MAC that would be unsound once a tag is
//         seen; as a secret universal hash it is sound: two bodies collide with a probability of at
//         most 8 * (their 16-byte blocks) / 2^106 (Bernstein, "The Poly1305-AES message-
//         authentication code", theorem 3.3). Of OpenSSL's it is the cheapest for large bodies.
//
// Threads: pure functions; a BodyHasher is one thread's.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "http/head.h"

namespace inlet::serve {

inline constexpr std::size_t idempotency_key_bytes_max = 255;  // Without quotes and escapes.

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  bool operator==(const Hash128&) const = default;
};

using IdempotencySecret = std::array<std::byte, 16>;

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

// For on_head(): nothing, if the head has at most one Idempotency-Key and that is well formed;
// else the sentence to answer 400 with.
[[nodiscard]] std::optional<std::string> wrong_idempotency_key(const http::RequestHead& head);

// SipHash-2-4-128 (Aumasson and Bernstein, "SipHash: a fast short-input PRF").
[[nodiscard]] Hash128 siphash_128(const IdempotencySecret& secret, Bytes bytes);

[[nodiscard]] Hash128 hash_key(const IdempotencySecret& secret, std::string_view tenant,
                               std::string_view stream, const IdempotencyKey& key);

class BodyHasher {
 public:
  explicit BodyHasher(const IdempotencySecret& secret);
  BodyHasher(BodyHasher&&) noexcept;
  ~BodyHasher();

  // Of the bytes as they came; the same bytes in another encoding are another body.
  [[nodiscard]] Hash128 hash(std::string_view content_encoding, Bytes body);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace inlet::serve
