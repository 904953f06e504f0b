// compress: a stream of bytes to zstd, gzip or itself, into a growing buffer.
//
// Deterministic: the same pieces in the same order give the same bytes (no times, no threads), so a
// repeated batch writes the same object.
//
// A Compressor makes one stream after the other and keeps its memory in between. One thread.

#pragma once

#include <memory>
#include <string>
#include <string_view>

struct ZSTD_CCtx_s;
struct z_stream_s;

namespace inlet::sinks {

enum class Compression : unsigned char { none, gzip, zstd };

// What names of such objects end in: "", ".gz", ".zst".
[[nodiscard]] std::string_view compression_suffix(Compression compression);

class Compressor {
 public:
  // `level` as the library counts; values out of its range are taken as the nearest inside.
  Compressor(Compression compression, int level);
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  ~Compressor();

  // Compresses `bytes`; appends what comes out to `out`, perhaps nothing yet.
  void append(std::string_view bytes, std::string& out);
  // Ends the stream: `out` then has all of it. The next append() starts another one.
  void finish(std::string& out);
  // Forgets the stream in hand.
  void reset();

 private:
  void run_zstd(std::string_view bytes, int directive, std::string& out);
  void run_gzip(std::string_view bytes, int flush, std::string& out);

  struct FreeZstd {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  struct FreeGzip {
    void operator()(z_stream_s* stream) const;
  };

  const Compression compression_;
  std::unique_ptr<ZSTD_CCtx_s, FreeZstd> zstd_;
  std::unique_ptr<z_stream_s, FreeGzip> gzip_;
};

}  // namespace inlet::sinks
