#include "codec/decode.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "base/check.h"

namespace inlet::codec {
namespace {

constexpr std::size_t growth_bytes_min = 16U << 10;
constexpr int gzip_wrapper_bits = 15 + 16;  // As inflateInit2 counts.
constexpr int zlib_wrapper_bits = 15;
constexpr int no_wrapper_bits = -15;

std::unexpected<Error> refuse(const char* why) { return fail(ErrorKind::reject, why); }

bool same_word(std::string_view a, std::string_view lower) {
  const auto lowered = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), lower.begin(), lower.end(),
                    [&](char x, char y) { return lowered(x) == y; });
}

// Room for more output: doubles up to one byte past the bound, so that "more" can be told from
// "just enough". False if the bound has been passed.
bool grow(std::string& out, std::size_t used, std::size_t bytes_max) {
  if (used > bytes_max) return false;
  out.resize(std::min(std::max(out.size() * 2, growth_bytes_min), bytes_max + 1));
  return true;
}

class Inflater {
 public:
  explicit Inflater(int wrapper_bits) { CHECK(inflateInit2(&stream_, wrapper_bits) == Z_OK); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

Status inflate_body(int wrapper_bits, Bytes body, std::size_t bytes_max, std::string& out) {
  if (body.size() > UINT32_MAX) return refuse("the compressed body is too long");
  Inflater inflater(wrapper_bits);
  z_stream& stream = inflater.stream();
  // zlib only reads through next_in.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  std::size_t used = 0;
  while (true) {
    if (used == out.size() && !grow(out, used, bytes_max)) return refuse("the body is too long");
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(out.size() - used);
    const int answer = inflate(&stream, Z_NO_FLUSH);
    used = out.size() - stream.avail_out;
    if (used > bytes_max) return refuse("the body is too long");
    if (answer == Z_STREAM_END) {
      if (stream.avail_in == 0) break;
      if (wrapper_bits != gzip_wrapper_bits) return refuse("bytes follow the compressed body");
      CHECK(inflateReset(&stream) == Z_OK);  // The next gzip member.
      continue;
    }
    if (answer == Z_BUF_ERROR && stream.avail_out == 0) continue;
    if (answer != Z_OK) return refuse("the compressed body is damaged");
    if (stream.avail_in == 0 && stream.avail_out > 0) return refuse("the body is cut short");
  }
  out.resize(used);
  return {};
}

}  // namespace

Encoding parse_encoding(std::string_view field) {
  while (!field.empty() && (field.front() == ' ' || field.front() == '\t')) field.remove_prefix(1);
  while (!field.empty() && (field.back() == ' ' || field.back() == '\t')) field.remove_suffix(1);
  if (field.empty() || same_word(field, "identity")) return Encoding::identity;
  if (same_word(field, "gzip") || same_word(field, "x-gzip")) return Encoding::gzip;
  if (same_word(field, "zstd")) return Encoding::zstd;
  if (same_word(field, "deflate")) return Encoding::deflate;
  return Encoding::unknown;
}

Decoder::Decoder() : zstd_(ZSTD_createDCtx()) { CHECK(zstd_ != nullptr); }

Decoder::~Decoder() = default;

void Decoder::FreeZstd::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

Status Decoder::unzstd(Bytes body, std::size_t bytes_max, std::string& out) {
  ZSTD_DCtx_reset(zstd_.get(), ZSTD_reset_session_and_parameters);
  ZSTD_DCtx_setParameter(zstd_.get(), ZSTD_d_windowLogMax, zstd_window_log_max);
  ZSTD_inBuffer in{body.data(), body.size(), 0};
  std::size_t used = 0;
  while (true) {
    if (used == out.size() && !grow(out, used, bytes_max)) return refuse("the body is too long");
    ZSTD_outBuffer to{out.data(), out.size(), used};
    const std::size_t hint = ZSTD_decompressStream(zstd_.get(), &to, &in);
    if (ZSTD_isError(hint)) return refuse("the compressed body is damaged");
    used = to.pos;
    if (used > bytes_max) return refuse("the body is too long");
    if (hint == 0 && in.pos == in.size) break;
    if (in.pos == in.size && to.pos < to.size) return refuse("the body is cut short");
  }
  out.resize(used);
  return {};
}

Status Decoder::decode(Encoding encoding, Bytes body, std::size_t bytes_max, std::string& out) {
  if (out.size() > bytes_max + 1) out.resize(bytes_max + 1);
  switch (encoding) {
    case Encoding::identity:
      if (body.size() > bytes_max) return refuse("the body is too long");
      out.assign(as_text(body));
      return {};
    case Encoding::gzip: return inflate_body(gzip_wrapper_bits, body, bytes_max, out);
    case Encoding::deflate:
      if (inflate_body(zlib_wrapper_bits, body, bytes_max, out)) return {};
      return inflate_body(no_wrapper_bits, body, bytes_max, out);
    case Encoding::zstd: return unzstd(body, bytes_max, out);
    case Encoding::unknown: break;
  }
  return refuse("the content encoding is not known");
}

}  // namespace inlet::codec
