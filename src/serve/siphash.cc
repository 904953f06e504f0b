#include "serve/siphash.h"

#include <bit>
#include <cstring>
#include <random>

namespace inlet::serve {
namespace {

struct SipState {
  std::uint64_t a, b, c, d;

  void round() {
    a += b;
    b = std::rotl(b, 13) ^ a;
    a = std::rotl(a, 32);
    c += d;
    d = std::rotl(d, 16) ^ c;
    a += d;
    d = std::rotl(d, 21) ^ a;
    c += b;
    b = std::rotl(b, 17) ^ c;
    c = std::rotl(c, 32);
  }
  void compress(std::uint64_t word) {
    d ^= word;
    round();
    round();
    a ^= word;
  }
  std::uint64_t finish() {
    for (int i = 0; i < 4; i++) round();
    return a ^ b ^ c ^ d;
  }
};

}  // namespace

SipKey random_sip_key() {
  std::random_device device;
  SipKey key;
  for (std::size_t at = 0; at < key.size(); at += sizeof(std::uint32_t)) {
    store(key.data() + at, std::uint32_t{device()});
  }
  return key;
}

Hash128 siphash_128(const SipKey& key, Bytes bytes) {
  const auto k0 = load<std::uint64_t>(key.data());
  const auto k1 = load<std::uint64_t>(key.data() + 8);
  SipState state{k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261,
                 k1 ^ 0x7465646279746573};
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) state.compress(load<std::uint64_t>(bytes.data() + at));
  std::uint64_t last = 0;
  if (at < bytes.size()) std::memcpy(&last, bytes.data() + at, bytes.size() - at);
  state.compress(last | static_cast<std::uint64_t>(bytes.size()) << 56);
  state.c ^= 0xEE;
  const std::uint64_t low = state.finish();
  state.b ^= 0xDD;
  return {low, state.finish()};
}

}  // namespace inlet::serve
