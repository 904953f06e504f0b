#include "serve/idempotency_key.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // The widest registers that the machine has.
#else
#include <xxhash.h>
#endif

#include <cstring>

#include "base/check.h"
#include "base/limits.h"
#include "http/characters.h"

namespace inlet::serve {
namespace {

constexpr std::string_view field_name = "Idempotency-Key";
constexpr std::string_view not_bare = "\"\\,;";  // Would read as something else to others.

constexpr bool is_visible(char c) { return c > 0x20 && c < 0x7F; }

constexpr http::CharacterSet bare_characters = [] {
  http::CharacterSet set{};
  for (char c = 0x20; c < 0x7F; c++) {
    set[static_cast<unsigned char>(c)] = is_visible(c) && !not_bare.contains(c);
  }
  return set;
}();

}  // namespace

bool IdempotencyKey::add(char c) {
  if (!is_visible(c) || size_ == bytes_.size()) return false;
  bytes_[size_++] = c;
  return true;
}

std::optional<IdempotencyKey> IdempotencyKey::parse(std::string_view field) {
  IdempotencyKey key;
  if (field.starts_with('"')) {  // RFC 8941 section 3.3.3; parameters are not taken.
    if (field.size() < 2 || !field.ends_with('"')) return std::nullopt;
    field = field.substr(1, field.size() - 2);
    for (std::size_t at = 0; at < field.size(); at++) {
      if (field[at] == '"') return std::nullopt;
      if (field[at] == '\\') {
        at++;
        if (at == field.size() || (field[at] != '"' && field[at] != '\\')) return std::nullopt;
      }
      if (!key.add(field[at])) return std::nullopt;
    }
  } else {
    if (field.size() > key.bytes_.size()) return std::nullopt;
    for (const char c : field) {
      if (!http::is_in(bare_characters, c)) return std::nullopt;
    }
    std::memcpy(key.bytes_.data(), field.data(), field.size());
    key.size_ = field.size();
  }
  if (key.size_ == 0) return std::nullopt;
  return key;
}

std::expected<std::optional<IdempotencyKey>, std::string> read_idempotency_key(
    const http::RequestHead& head) {
  std::optional<IdempotencyKey> key;
  for (const http::Field& field : head.fields()) {
    if (field.name.size() != field_name.size() ||
        !http::equals_ignoring_case(field.name, field_name)) {
      continue;
    }
    if (key) return std::unexpected("send one Idempotency-Key");
    key = IdempotencyKey::parse(field.value);
    if (!key) {
      return std::unexpected("Idempotency-Key must be 1 to " +
                             std::to_string(idempotency_key_bytes_max) +
                             " visible characters, bare or in double quotes");
    }
  }
  return key;
}

// A name holds no zero byte, so the three cannot run into each other.
Hash128 hash_key(const IdempotencySecret& secret, std::string_view tenant, std::string_view stream,
                 const IdempotencyKey& key) {
  std::array<char, limits::tenant_name_bytes_max + limits::stream_name_bytes_max +
                       idempotency_key_bytes_max + 2>
      text;
  std::size_t size = 0;
  const auto put = [&](std::string_view part) {
    CHECK(size + part.size() <= text.size());
    std::memcpy(text.data() + size, part.data(), part.size());
    size += part.size();
  };
  put(tenant);
  put({"\0", 1});
  put(stream);
  put({"\0", 1});
  put(key.text());
  return siphash_128(secret, as_bytes({text.data(), size}));
}

BodyHasher::BodyHasher(const IdempotencySecret& secret) {
  for (std::size_t at = 0; at < expanded_.size(); at += sizeof(Hash128)) {
    std::string part = "body hash, part ";
    part += static_cast<char>('a' + at / sizeof(Hash128));
    const Hash128 hash = siphash_128(secret, as_bytes(part));
    store(expanded_.data() + at, hash.low);
    store(expanded_.data() + at + sizeof hash.low, hash.high);
  }
}

Hash128 BodyHasher::hash(std::string_view content_encoding, Bytes body) const {
  const XXH128_hash_t hash =
      XXH3_128bits_withSecret(body.data(), body.size(), expanded_.data(), expanded_.size());
  const Hash128 plain{hash.low64, hash.high64};
  if (content_encoding.empty()) return plain;
  std::array<std::byte, sizeof plain + limits::metadata_bytes_max> text;
  CHECK(content_encoding.size() <= limits::metadata_bytes_max);
  store(text.data(), plain.low);
  store(text.data() + sizeof plain.low, plain.high);
  std::memcpy(text.data() + sizeof plain, content_encoding.data(), content_encoding.size());
  SipKey key;
  std::memcpy(key.data(), expanded_.data(), key.size());
  return siphash_128(key, Bytes(text).first(sizeof plain + content_encoding.size()));
}

}  // namespace inlet::serve
