// SipHash-2-4 with 128 bits of result (Aumasson and Bernstein, 2012; the long form of their reference code): a keyed
// hash of short texts, ten times cheaper than SHA-256. Whoever does not know the key can neither foresee nor forge a
// result, so it may stand for a secret text in a table. Pure; not for passwords and not for files.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace weir {

struct SipKey {
  uint64_t low = 0;
  uint64_t high = 0;
};
using SipHash128 = std::array<uint64_t, 2>;

namespace detail {
struct SipState {
  uint64_t a, b, c, d;
  void rounds(int count) {
    for (; count > 0; --count) {
      a += b, c += d;
      b = std::rotl(b, 13) ^ a, d = std::rotl(d, 16) ^ c;
      a = std::rotl(a, 32);
      c += b, a += d;
      b = std::rotl(b, 17) ^ c, d = std::rotl(d, 21) ^ a;
      c = std::rotl(c, 32);
    }
  }
  void take(uint64_t word) {
    d ^= word;
    rounds(2);
    a ^= word;
  }
  uint64_t folded() const { return a ^ b ^ c ^ d; }
};
}  // namespace detail

/// Words are read in native order: the result is the reference's on little-endian machines, and as good on others.
inline SipHash128 siphash128(const SipKey& key, std::string_view text) {
  detail::SipState state{key.low ^ 0x736f6d6570736575u, key.high ^ 0x646f72616e646f6du ^ 0xee,
                         key.low ^ 0x6c7967656e657261u, key.high ^ 0x7465646279746573u};
  const char* p = text.data();
  size_t left = text.size();
  for (; left >= 8; p += 8, left -= 8) {
    uint64_t word = 0;
    std::memcpy(&word, p, 8);
    state.take(word);
  }
  uint64_t last = 0;
  if (left > 0) std::memcpy(&last, p, left);
  state.take(last | static_cast<uint64_t>(text.size()) << 56);
  state.c ^= 0xee;
  state.rounds(4);
  const uint64_t low = state.folded();
  state.b ^= 0xdd;
  state.rounds(4);
  return {low, state.folded()};
}

}  // namespace weir
