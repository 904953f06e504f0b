#include "aws/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

namespace inlet::aws {
namespace {

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

}  // namespace

Sha256 sha256(std::string_view text) {
  Sha256 digest;
  CHECK(EVP_Digest(text.data(), text.size(), raw(digest.data()), nullptr, EVP_sha256(), nullptr) ==
        1);
  return digest;
}

Sha256 hmac_sha256(Bytes key, std::string_view text) {
  Sha256 digest;
  CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), raw(as_bytes(text).data()),
             text.size(), raw(digest.data()), nullptr) != nullptr);
  return digest;
}

std::string hex(Bytes bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text += {digits[value >> 4], digits[value & 15]};
  }
  return text;
}

std::string content_md5(std::string_view body) {
  std::array<unsigned char, 16> digest;
  if (EVP_Digest(body.data(), body.size(), digest.data(), nullptr, EVP_md5(), nullptr) != 1) {
    return {};
  }
  std::array<unsigned char, 25> text;  // 24 digits and the zero that OpenSSL puts behind them.
  const int length = EVP_EncodeBlock(text.data(), digest.data(), digest.size());
  return {reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(length)};
}

}  // namespace inlet::aws
