#include "serve/api_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "base/crc32c.h"

namespace inlet::serve {
namespace {

constexpr std::string_view alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr unsigned bits_per_char = 5;
constexpr KeyId id_mask = (KeyId{1} << (bits_per_char * api_key_id_chars)) - 1;
constexpr std::size_t id_random_bytes = sizeof(KeyId);
constexpr std::size_t checked_chars = api_key_chars - api_key_check_chars;
constexpr std::size_t separator_at = api_key_prefix.size() + api_key_id_chars;
static_assert(alphabet.size() == 1U << bits_per_char);
static_assert((api_key_random_bytes - id_random_bytes) * 8 == api_key_secret_chars * bits_per_char);

constexpr std::uint8_t no_digit = 0xFF;
constexpr auto digit_values = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(no_digit);
  for (std::size_t i = 0; i < alphabet.size(); i++) {
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}();

bool all_digits(std::string_view text) {
  std::uint8_t worst = 0;
  for (const char c : text) worst |= digit_values[static_cast<unsigned char>(c)];
  return worst < alphabet.size();
}

// The lowest bits of `value`, the most significant first.
char* write_digits(char* out, std::uint64_t value, std::size_t chars) {
  for (std::size_t i = chars; i-- > 0;) *out++ = alphabet[value >> (bits_per_char * i) & 31];
  return out;
}

std::array<char, api_key_check_chars> check_of(std::string_view checked) {
  std::array<char, api_key_check_chars> check;
  write_digits(check.data(), crc32c(as_bytes(checked)), check.size());
  return check;
}

// One per thread: preparing it costs more than hashing a key.
class Hasher {
 public:
  Hasher() : method_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    CHECK(method_ && context_);
  }

  // OpenSSL wipes what it held of the text.
  KeyDigest digest(std::string_view text) {
    KeyDigest out;
    CHECK(EVP_DigestInit_ex2(context_.get(), method_.get(), nullptr) == 1);
    CHECK(EVP_DigestUpdate(context_.get(), text.data(), text.size()) == 1);
    CHECK(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(out.data()),
                             nullptr) == 1);
    return out;
  }

 private:
  struct Free {
    void operator()(EVP_MD* method) const { EVP_MD_free(method); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD, Free> method_;
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace

std::optional<KeyId> parse_key_id(std::string_view text) {
  if (text.size() != api_key_id_chars || !all_digits(text)) return std::nullopt;
  KeyId id = 0;
  for (const char c : text) id = id << bits_per_char | digit_values[static_cast<unsigned char>(c)];
  return id;
}

KeyIdText key_id_text(KeyId id) {
  CHECK(id <= id_mask);
  KeyIdText text;
  write_digits(text.data(), id, text.size());
  return text;
}

bool same_digest(const KeyDigest& a, const KeyDigest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::expected<PresentedKey, KeyFault> parse_api_key(std::string_view text) {
  if (text.size() != api_key_chars || !text.starts_with(api_key_prefix) ||
      text[separator_at] != '_' || !all_digits(text.substr(separator_at + 1))) {
    return std::unexpected(KeyFault::not_a_key);
  }
  const auto id = parse_key_id(text.substr(api_key_prefix.size(), api_key_id_chars));
  if (!id) return std::unexpected(KeyFault::not_a_key);
  const auto check = check_of(text.substr(0, checked_chars));
  if (text.substr(checked_chars) != std::string_view(check.data(), check.size())) {
    return std::unexpected(KeyFault::mistyped);
  }
  static thread_local Hasher hasher;
  return PresentedKey{*id, hasher.digest(text)};
}

void wipe(std::span<char> secret) { OPENSSL_cleanse(secret.data(), secret.size()); }

SecretText::SecretText(std::span<const std::byte, api_key_random_bytes> random) {
  char* at = std::ranges::copy(api_key_prefix, text_.data()).out;
  at = write_digits(at, load<KeyId>(random.data()) & id_mask, api_key_id_chars);
  *at++ = '_';
  for (std::size_t i = id_random_bytes; i < random.size(); i += bits_per_char) {
    std::uint64_t forty_bits = 0;
    std::memcpy(&forty_bits, random.data() + i, bits_per_char);
    at = write_digits(at, forty_bits, 8);
  }
  const auto check = check_of({text_.data(), checked_chars});
  at = std::ranges::copy(check, at).out;
  CHECK(at == text_.data() + text_.size());
}

SecretText make_api_key(std::span<const std::byte, api_key_random_bytes> random) {
  return SecretText(random);
}

}  // namespace inlet::serve
