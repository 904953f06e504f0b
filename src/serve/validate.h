// validate: whether a body is what its stream's format promises, before it is stored.
//
// Only for streams configured as json or ndjson; others take any bytes. Compressed bodies are
// decoded for it, within a bound, and stored as they came.
//
// Any thread; scratch memory is kept per thread.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "serve/intake.h"

namespace inlet::serve {

struct Invalid {
  bool too_large;      // Decoded, beyond decoded_bytes_max; else not of the format.
  std::string detail;  // For the client.
};

// Empty if the body is of that format. `encoding` is a Content-Encoding that intake let through.
[[nodiscard]] std::optional<Invalid> validate(Format format, std::string_view encoding, Bytes body);

inline constexpr std::size_t decoded_bytes_max = 20U << 20;

}  // namespace inlet::serve
