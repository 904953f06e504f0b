// digest: the hashes that signatures and uploads need, from OpenSSL.
//
// Pure; any thread.

#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace inlet::aws {

using Sha256 = std::array<std::byte, 32>;

[[nodiscard]] Sha256 sha256(std::string_view text);
[[nodiscard]] Sha256 hmac_sha256(Bytes key, std::string_view text);

// In small hexadecimal digits.
[[nodiscard]] std::string hex(Bytes bytes);

// As Content-MD5 carries it (RFC 1864); "" where the machine's rules forbid MD5.
[[nodiscard]] std::string content_md5(std::string_view body);

}  // namespace inlet::aws
