// decode: a body as its Content-Encoding describes it, back to what the client meant to send.
//
// Bodies are stored compressed as they came, and nobody checked them: a few bytes may stand for
// gigabytes, or for nothing at all. So the output has a bound, and so has zstd's window, which is
// memory.
//
// A Decoder keeps only scratch memory between bodies. One thread.

#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

struct ZSTD_DCtx_s;

namespace inlet::codec {

inline constexpr std::size_t decoded_bytes_max = 64U << 20;
inline constexpr int zstd_window_log_max = 23;  // 8 MiB.

enum class Encoding : unsigned char { identity, gzip, zstd, deflate, unknown };

// Of a Content-Encoding field; empty is identity. A chain of several is unknown.
[[nodiscard]] Encoding parse_encoding(std::string_view field);

class Decoder {
 public:
  Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder();

  // Replaces `out` by the decoded body. ErrorKind::reject if `body` is damaged, cut short, followed
  // by something else, or longer than `bytes_max`; `out` is then of no use. gzip and zstd bodies
  // may have several members; deflate is taken with the zlib header or without.
  [[nodiscard]] Status decode(Encoding encoding, Bytes body, std::size_t bytes_max,
                              std::string& out);

 private:
  [[nodiscard]] Status unzstd(Bytes body, std::size_t bytes_max, std::string& out);

  struct FreeZstd {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, FreeZstd> zstd_;
};

}  // namespace inlet::codec
