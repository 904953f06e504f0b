// credential: the API key that a request shows, wherever its client can put one.
//
//   Authorization: Bearer KEY      Authorization: Basic base64(KEY:anything)      X-Api-Key: KEY
//
// Authorization counts before X-Api-Key. What is no key at all is for the table of keys to say.
//
// Pure; any thread.

#pragma once

#include <array>
#include <string_view>

#include "http/head.h"

namespace inlet::serve {

// Holds a decoded key for as long as it is looked at; wiped when it goes.
class CredentialScratch {
 public:
  CredentialScratch() = default;
  CredentialScratch(const CredentialScratch&) = delete;
  CredentialScratch& operator=(const CredentialScratch&) = delete;
  ~CredentialScratch();

 private:
  friend std::string_view read_credential(const http::RequestHead& head,
                                          CredentialScratch& scratch);
  static constexpr std::size_t decoded_bytes_max = 384;  // Far more than a key has.
  std::array<unsigned char, decoded_bytes_max> bytes_;
  std::size_t used_ = 0;
};

// The key as sent, borrowed from the head or from `scratch`; "" if the request shows none.
[[nodiscard]] std::string_view read_credential(const http::RequestHead& head,
                                               CredentialScratch& scratch);

}  // namespace inlet::serve
