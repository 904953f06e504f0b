#include "serve/idempotency_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <bit>
#include <cstring>

#include "base/check.h"
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

struct SipState {
  std::uint64_t a, b, c, d;

  void round() {
    a += b;
    b = std::rotl(b, 13) ^ a;
    a = std::rotl(a, 32);
    c += d;
    d = std::rotl(d, 16) ^ c;
    a += d;
    d = std::rotl(d, 21) ^ a;
    c += b;
    b = std::rotl(b, 17) ^ c;
    c = std::rotl(c, 32);
  }
  void compress(std::uint64_t word) {
    d ^= word;
    round();
    round();
    a ^= word;
  }
  std::uint64_t finish() {
    for (int i = 0; i < 4; i++) round();
    return a ^ b ^ c ^ d;
  }
};

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

std::optional<std::string> wrong_idempotency_key(const http::RequestHead& head) {
  bool seen = false;
  for (const http::Field& field : head.fields()) {
    if (field.name.size() != field_name.size() ||
        !http::equals_ignoring_case(field.name, field_name)) {
      continue;
    }
    if (seen) return "send one Idempotency-Key";
    seen = true;
    if (!IdempotencyKey::parse(field.value)) {
      return "Idempotency-Key must be 1 to " + std::to_string(idempotency_key_bytes_max) +
             " visible characters, bare or in double quotes";
    }
  }
  return std::nullopt;
}

Hash128 siphash_128(const IdempotencySecret& secret, Bytes bytes) {
  const auto k0 = load<std::uint64_t>(secret.data());
  const auto k1 = load<std::uint64_t>(secret.data() + 8);
  SipState state{k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261,
                 k1 ^ 0x7465646279746573};
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) state.compress(load<std::uint64_t>(bytes.data() + at));
  std::uint64_t last = 0;
  if (at < bytes.size()) std::memcpy(&last, bytes.data() + at, bytes.size() - at);
  state.compress(last | static_cast<std::uint64_t>(bytes.size()) << 56);
  state.c ^= 0xEE;
  const std::uint64_t low = state.finish();
  state.b ^= 0xDD;
  return {low, state.finish()};
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

// OpenSSL fails here only for want of memory at the start of a thread's life.
class BodyHasher::Impl {
 public:
  explicit Impl(const IdempotencySecret& secret) {
    const Hash128 first = siphash_128(secret, as_bytes("body hash, first half of the key"));
    const Hash128 second = siphash_128(secret, as_bytes("body hash, second half of the key"));
    const std::array words{first.low, first.high, second.low, second.high};
    std::memcpy(key_.data(), words.data(), key_.size());
    EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "POLY1305", nullptr);
    CHECK(mac != nullptr);
    context_ = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);  // The context holds it.
    CHECK(context_ != nullptr);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { EVP_MAC_CTX_free(context_); }

  void begin() { CHECK(EVP_MAC_init(context_, key_.data(), key_.size(), nullptr) == 1); }
  void add(Bytes bytes) {
    const auto* const data = reinterpret_cast<const unsigned char*>(bytes.data());
    CHECK(bytes.empty() || EVP_MAC_update(context_, data, bytes.size()) == 1);
  }
  Hash128 finish() {
    std::array<unsigned char, 16> tag;
    std::size_t size = 0;
    CHECK(EVP_MAC_final(context_, tag.data(), &size, tag.size()) == 1 && size == tag.size());
    const auto bytes = std::as_bytes(std::span(tag));
    return {load<std::uint64_t>(bytes.data()), load<std::uint64_t>(bytes.data() + 8)};
  }

 private:
  std::array<unsigned char, 32> key_;
  EVP_MAC_CTX* context_;
};

BodyHasher::BodyHasher(const IdempotencySecret& secret) : impl_(std::make_unique<Impl>(secret)) {}
BodyHasher::BodyHasher(BodyHasher&&) noexcept = default;
BodyHasher::~BodyHasher() = default;

Hash128 BodyHasher::hash(std::string_view content_encoding, Bytes body) {
  impl_->begin();
  impl_->add(body);
  // Behind the body, so that its blocks stay aligned; the last byte tells where it begins.
  const auto size = static_cast<std::byte>(content_encoding.size());
  impl_->add(as_bytes(content_encoding));
  impl_->add({&size, 1});
  return impl_->finish();
}

}  // namespace inlet::serve
