#include "engine/ops/kv_cache.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "engine/ops/fp8.h"
#include "engine/ops/half.h"
#include "engine/ops/simd_widen.h"

namespace weir::engine {
namespace {

/// x[0 .. width) in the type of `to`.
void narrow(const float* x, int64_t width, float* to) {
  std::memcpy(to, x, static_cast<size_t>(width) * sizeof(float));
}
void narrow(const float* x, int64_t width, uint16_t* to) {
  for (int64_t i = 0; i < width; ++i) to[i] = narrow_bf16(x[i]);
}
void narrow(const float* x, int64_t width, simd::Half* to) {
  for (int64_t i = 0; i < width; ++i) to[i] = {narrow_f16(x[i])};
}

/// The scale by which x[0 .. width) comes to at most `largest`; 0 where nothing is worth keeping.
float scale_of(const float* x, int64_t width, float largest) {
  float max = 0.0F;
  float poison = 0.0F;
  for (int64_t i = 0; i < width; ++i) {
    max = std::max(max, std::fabs(x[i]));
    poison += x[i] * 0.0F;
  }
  if (!std::isfinite(poison)) return std::numeric_limits<float>::quiet_NaN();
  const float scale = max / largest;
  return scale < 0x1.0p-126F ? 0.0F : scale;  // below, a quotient by it says nothing
}

/// The same where numbers share a scale, which is returned.
float narrow_scaled(const float* x, int64_t width, int8_t* to) {
  constexpr float kMagic = 12582912.0F;  // 1.5 · 2^23: adding it rounds to an integer held in the low bits
  const float scale = scale_of(x, width, 127.0F);
  const float inverse = scale > 0.0F ? 1.0F / scale : 0.0F;
  for (int64_t i = 0; i < width; ++i) {
    const float rounded = x[i] * inverse + kMagic;
    uint32_t bits = 0;
    std::memcpy(&bits, &rounded, sizeof bits);
    to[i] = static_cast<int8_t>(bits & 0xffU);
  }
  return scale;
}
float narrow_scaled(const float* x, int64_t width, simd::Fp8* to) {
  const float scale = scale_of(x, width, kFp8Max);
  const float inverse = scale > 0.0F ? 1.0F / scale : 0.0F;
  for (int64_t i = 0; i < width; ++i) to[i] = {inverse > 0.0F ? narrow_f8e4m3(x[i] * inverse) : uint8_t{0}};
  return scale;
}

/// One head of one token, as the type keeps it, then to its place.
template <class T>
void store_head(const KvLayout& layout, const float* key, const float* value, int64_t in_block, std::byte* head,
                T* kept) {
  auto* keys = reinterpret_cast<T*>(head + layout.keys_offset());
  auto* values = reinterpret_cast<T*>(head + layout.values_offset()) + in_block * layout.head_dim;
  if constexpr (sizeof(T) == 1) {
    auto* scales = reinterpret_cast<float*>(head);
    scales[in_block] = narrow_scaled(key, layout.head_dim, kept);
    scales[layout.block_tokens + in_block] = narrow_scaled(value, layout.head_dim, values);
  } else {
    narrow(key, layout.head_dim, kept);
    narrow(value, layout.head_dim, values);
  }
  for (int64_t d = 0; d < layout.head_dim; ++d) keys[d * layout.block_tokens + in_block] = kept[d];
}

template <class T>
void store_tokens(const StoreKvArgs& args, int64_t begin, int64_t end) {
  const KvLayout& layout = args.layout;
  std::vector<T> kept(static_cast<size_t>(layout.head_dim));
  for (int64_t t = begin; t < end; ++t) {
    std::byte* head = args.kv + args.slots[t] / layout.block_tokens * layout.block_bytes();
    for (int64_t h = 0; h < layout.kv_heads; ++h, head += layout.head_bytes()) {
      const int64_t at = t * layout.width() + h * layout.head_dim;
      store_head(layout, args.keys + at, args.values + at, args.slots[t] % layout.block_tokens, head, kept.data());
    }
  }
}

}  // namespace

std::optional<KvType> kv_type_of(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, KvType>, 5> kTypes = {{{"f32", KvType::f32},
                                                                          {"bf16", KvType::bf16},
                                                                          {"f16", KvType::f16},
                                                                          {"int8", KvType::int8},
                                                                          {"fp8", KvType::fp8}}};
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.first == name; });
  return found == kTypes.end() ? std::nullopt : std::optional(found->second);
}

void store_kv_cpu(ThreadPool& pool, const StoreKvArgs& args) {
  pool.run(args.tokens, 64, [&](int64_t begin, int64_t end) {
    switch (args.layout.type) {
      case KvType::f32:
        return store_tokens<float>(args, begin, end);
      case KvType::bf16:
        return store_tokens<uint16_t>(args, begin, end);
      case KvType::f16:
        return store_tokens<simd::Half>(args, begin, end);
      case KvType::int8:
        return store_tokens<int8_t>(args, begin, end);
      case KvType::fp8:
        return store_tokens<simd::Fp8>(args, begin, end);
    }
  });
}

}  // namespace weir::engine
