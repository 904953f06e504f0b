#include "serve/credential.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "http/characters.h"

namespace inlet::serve {
namespace {

// What follows the scheme (RFC 9110 section 11.4); empty if it is another scheme.
std::string_view after_scheme(std::string_view value, std::string_view scheme) {
  if (value.size() <= scheme.size() || !http::is_blank(value[scheme.size()])) return {};
  if (!http::equals_ignoring_case(value.substr(0, scheme.size()), scheme)) return {};
  value.remove_prefix(scheme.size());
  while (!value.empty() && http::is_blank(value.front())) value.remove_prefix(1);
  return value;
}

}  // namespace

CredentialScratch::~CredentialScratch() {
  if (used_ > 0) OPENSSL_cleanse(bytes_.data(), used_);
}

std::string_view read_credential(const http::RequestHead& head, CredentialScratch& scratch) {
  const std::string_view authorization = head.field("Authorization").value_or("");
  if (const auto key = after_scheme(authorization, "Bearer"); !key.empty()) return key;
  // RFC 7617: the user ends at the first colon.
  if (const auto encoded = after_scheme(authorization, "Basic"); !encoded.empty()) {
    if (encoded.size() % 4 != 0 || encoded.size() / 4 * 3 > scratch.bytes_.size()) return "?";
    const int decoded = EVP_DecodeBlock(scratch.bytes_.data(),
                                        reinterpret_cast<const unsigned char*>(encoded.data()),
                                        static_cast<int>(encoded.size()));
    if (decoded < 0) return "?";
    const std::size_t padding = encoded.ends_with("==") ? 2 : encoded.ends_with('=') ? 1 : 0;
    scratch.used_ = static_cast<std::size_t>(decoded) - padding;
    const std::string_view text(reinterpret_cast<const char*>(scratch.bytes_.data()),
                                scratch.used_);
    const std::string_view user = text.substr(0, text.find(':'));
    return user.empty() ? "?" : user;
  }
  if (const auto key = head.field("X-Api-Key")) return *key;
  return authorization.empty() ? "" : "?";  // A scheme unknown here is not the same as none.
}

}  // namespace inlet::serve
