// Goal: SipHash is SipHash, and a random key is one.
// Method: OpenSSL's own for every length; two keys differ.

#include "serve/siphash.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <span>
#include <vector>

namespace inlet::serve {
namespace {

Hash128 siphash_by_openssl(const SipKey& key, Bytes bytes) {
  EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
  EVP_MAC_CTX* const context = EVP_MAC_CTX_new(mac);
  unsigned size = 16;
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_SIZE, &size),
                                   OSSL_PARAM_construct_end()};
  EXPECT_EQ(EVP_MAC_init(context, reinterpret_cast<const unsigned char*>(key.data()), key.size(),
                         parameters),
            1);
  EXPECT_EQ(
      EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()),
      1);
  std::array<unsigned char, 16> out{};
  std::size_t out_size = 0;
  EXPECT_EQ(EVP_MAC_final(context, out.data(), &out_size, out.size()), 1);
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(mac);
  const Bytes got = std::as_bytes(std::span(out));
  return {load<std::uint64_t>(got.data()), load<std::uint64_t>(got.data() + 8)};
}

TEST(Siphash128, agrees_with_another_implementation_at_every_length) {
  SipKey key;
  for (std::size_t i = 0; i < key.size(); i++) key[i] = static_cast<std::byte>(i);
  std::vector<std::byte> bytes;
  for (std::size_t length = 0; length < 300; length++) {
    EXPECT_EQ(siphash_128(key, bytes), siphash_by_openssl(key, bytes)) << length;
    bytes.push_back(static_cast<std::byte>(length));
  }
}

TEST(SipKey, is_another_each_time) { EXPECT_NE(random_sip_key(), random_sip_key()); }

}  // namespace
}  // namespace inlet::serve
