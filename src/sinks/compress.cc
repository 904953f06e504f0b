#include "sinks/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "base/check.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t output_step_bytes = 64U << 10;
constexpr int gzip_wrapper_bits = 15 + 16;  // As deflateInit2 counts.
constexpr int gzip_memory_level = 8;
constexpr int zstd_level_max = 19;  // Beyond, readers need windows of more than 8 MiB.

}  // namespace

std::string_view compression_suffix(Compression compression) {
  switch (compression) {
    case Compression::none: return "";
    case Compression::gzip: return ".gz";
    case Compression::zstd: return ".zst";
  }
  return "";
}

void Compressor::FreeZstd::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

void Compressor::FreeGzip::operator()(z_stream_s* stream) const {
  deflateEnd(stream);
  delete stream;
}

Compressor::Compressor(Compression compression, int level) : compression_(compression) {
  if (compression == Compression::zstd) {
    zstd_.reset(ZSTD_createCCtx());
    CHECK(zstd_ != nullptr);
    const int nearest = std::clamp(level, ZSTD_minCLevel(), zstd_level_max);
    CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_compressionLevel, nearest)));
    CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_checksumFlag, 1)));
  }
  if (compression == Compression::gzip) {
    gzip_.reset(new z_stream_s{});
    CHECK(deflateInit2(gzip_.get(), std::clamp(level, 0, 9), Z_DEFLATED, gzip_wrapper_bits,
                       gzip_memory_level, Z_DEFAULT_STRATEGY) == Z_OK);
  }
}

Compressor::~Compressor() = default;

void Compressor::append(std::string_view bytes, std::string& out) {
  switch (compression_) {
    case Compression::none: out += bytes; return;
    case Compression::gzip: return run_gzip(bytes, Z_NO_FLUSH, out);
    case Compression::zstd: return run_zstd(bytes, ZSTD_e_continue, out);
  }
}

void Compressor::finish(std::string& out) {
  switch (compression_) {
    case Compression::none: return;
    case Compression::gzip: run_gzip({}, Z_FINISH, out); break;
    case Compression::zstd: run_zstd({}, ZSTD_e_end, out); break;
  }
  reset();
}

void Compressor::reset() {
  if (zstd_) ZSTD_CCtx_reset(zstd_.get(), ZSTD_reset_session_only);
  if (gzip_) CHECK(deflateReset(gzip_.get()) == Z_OK);
}

void Compressor::run_zstd(std::string_view bytes, int directive, std::string& out) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::size_t used = out.size();
  while (true) {
    out.resize(used + output_step_bytes);
    ZSTD_outBuffer to{out.data() + used, output_step_bytes, 0};
    const std::size_t left =
        ZSTD_compressStream2(zstd_.get(), &to, &in, static_cast<ZSTD_EndDirective>(directive));
    CHECK(!ZSTD_isError(left));  // Only out of memory or misuse.
    used += to.pos;
    const bool done = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
    if (done) break;
  }
  out.resize(used);
}

void Compressor::run_gzip(std::string_view bytes, int flush, std::string& out) {
  CHECK(bytes.size() <= UINT32_MAX);
  z_stream_s& stream = *gzip_;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // Only read.
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::size_t used = out.size();
  while (true) {
    out.resize(used + output_step_bytes);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(output_step_bytes);
    const int answer = deflate(&stream, flush);
    CHECK(answer == Z_OK || answer == Z_STREAM_END || answer == Z_BUF_ERROR);
    used += output_step_bytes - stream.avail_out;
    const bool done =
        flush == Z_FINISH ? answer == Z_STREAM_END : stream.avail_in == 0 && stream.avail_out > 0;
    if (done) break;
  }
  out.resize(used);
}

}  // namespace inlet::sinks
