// Goal: no bytes make the chunked decoder crash, write out of bounds, or depend on how input and
// room are split.
// Method: decode all at once, then again in pieces and rooms chosen by the first byte, in place;
// body, end and error must be the same.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "http/chunked.h"

namespace {

using inlet::Bytes;
using inlet::MutableBytes;
using inlet::http::ChunkedDecoder;

struct Outcome {
  std::vector<std::byte> body;
  std::size_t consumed = 0;
  bool done = false;
  std::string error;

  bool operator==(const Outcome&) const = default;
};

void finish(const ChunkedDecoder& decoder, Outcome& outcome) {
  outcome.done = decoder.done();
  if (decoder.error() != nullptr) outcome.error = decoder.error();
}

Outcome decode_whole(Bytes coded) {
  Outcome outcome;
  outcome.body.resize(coded.size());
  ChunkedDecoder decoder;
  const auto progress = decoder.decode(coded, outcome.body);
  CHECK(progress.produced <= progress.consumed && progress.consumed <= coded.size());
  CHECK(decoder.done() || decoder.error() != nullptr || progress.consumed == coded.size());
  outcome.body.resize(progress.produced);
  outcome.consumed = progress.consumed;
  finish(decoder, outcome);
  return outcome;
}

Outcome decode_in_pieces(Bytes coded, std::size_t piece_max, std::size_t room_max) {
  Outcome outcome;
  std::vector<std::byte> buffer(coded.begin(), coded.end());
  const MutableBytes all(buffer);
  ChunkedDecoder decoder;
  std::size_t made = 0;
  while (outcome.consumed < all.size() && !decoder.done() && decoder.error() == nullptr) {
    const std::size_t piece = std::min(piece_max, all.size() - outcome.consumed);
    const std::size_t room = std::min(room_max, all.size() - made);
    const auto progress =
        decoder.decode(all.subspan(outcome.consumed, piece), all.subspan(made, room));
    CHECK(progress.consumed > 0);
    outcome.consumed += progress.consumed;
    made += progress.produced;
  }
  outcome.body.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(made));
  finish(decoder, outcome);
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const Bytes coded(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const Outcome whole = decode_whole(coded);
  const Outcome pieces = decode_in_pieces(coded, std::size_t{data[0]} / 16 + 1, data[0] % 16 + 1);
  CHECK(whole == pieces);
  return 0;
}
