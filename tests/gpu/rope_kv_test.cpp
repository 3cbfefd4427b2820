// From projections to queries and cached keys and values, against double references; and the copying of blocks.
#include "engine/ops/cuda/rope_kv.h"

#include <algorithm>

#include "tests/gpu/kv_rig.h"

namespace weir::engine::cuda {
namespace {

TEST(GpuRopeTable, TurnsByPositionTimesFrequency) {
  constexpr float kFactor = 1.19F;
  const std::vector<int32_t> positions = {0, 1, 77, 4095, 131071};
  for (const int32_t half : {32, 48, 128}) {
    std::vector<float> frequencies;
    for (int32_t i = 0; i < half; ++i)
      frequencies.push_back(std::pow(10000.0F, -static_cast<float>(i) / static_cast<float>(half)));
    const DeviceArray<int32_t> positions_there(positions);
    const DeviceArray<float> frequencies_there(frequencies);
    const DeviceArray<float2> turns(positions.size() * static_cast<size_t>(half));
    in_every_interleaving(
        [&] {
          return rope_table(nullptr, {positions_there.get(), frequencies_there.get(), turns.get(),
                                      static_cast<int64_t>(positions.size()), half, kFactor});
        },
        [&] {
          const auto got = turns.host();
          for (size_t i = 0; i < got.size(); ++i) {
            const float angle = static_cast<float>(positions[i / static_cast<size_t>(half)]) *
                                frequencies[i % static_cast<size_t>(half)];
            ASSERT_NEAR(got[i].x, std::cos(static_cast<double>(angle)) * double{kFactor}, 3e-7);
            ASSERT_NEAR(got[i].y, std::sin(static_cast<double>(angle)) * double{kFactor}, 3e-7);
          }
        });
  }
}

struct Case {
  KvFormat format;
  int32_t heads, kv_heads, head_dim, width;  // width: how much of a head turns
  bool bias, norms;
};

class RopeKvRig {
 public:
  explicit RopeKvRig(const Case& c)
      : c_(c),
        rng_(static_cast<uint64_t>(c.heads * 100 + c.head_dim)),
        qkv_(random_numbers<Bf16>(rng_, kTokens * all_heads() * c.head_dim, 3.0)),
        bias_(random_floats(rng_, all_heads() * c.head_dim)),
        q_norm_(random_floats(rng_, c.head_dim)),
        k_norm_(random_floats(rng_, c.head_dim)),
        qkv_there_(qkv_.stored),
        bias_there_(bias_),
        q_norm_there_(q_norm_),
        k_norm_there_(k_norm_),
        slots_there_(slots_),
        q_(static_cast<size_t>(kTokens * c.heads * c.head_dim)),
        kv_(c.format, 3, 3, c.kv_heads, c.head_dim),
        turns_there_(make_turns()) {}

  cudaError_t run() {
    return rope_kv(
        nullptr, {qkv_there_.get(), c_.bias ? bias_there_.get() : nullptr, c_.norms ? q_norm_there_.get() : nullptr,
                  c_.norms ? k_norm_there_.get() : nullptr, 1e-5F, turns_there_.get(), c_.width / 2, slots_there_.get(),
                  q_.get(), kv_.cache(), kTokens, c_.heads});
  }

  void check() {
    kv_.fetch();
    const auto q = q_.host();
    for (int32_t t = 0; t < kTokens; ++t) {
      for (int32_t h = 0; h < all_heads(); ++h) {
        const std::vector<double> expected = expect(t, h);
        double largest = 0;
        for (const double x : expected) largest = std::max(largest, std::fabs(x));
        for (int32_t i = 0; i < c_.head_dim; ++i) check_number(q, t, h, i, expected[static_cast<size_t>(i)], largest);
      }
    }
  }

 private:
  static constexpr int32_t kTokens = 5;
  int32_t all_heads() const { return c_.heads + 2 * c_.kv_heads; }

  std::vector<float2> make_turns() {
    std::vector<float2> turns;
    for (int32_t i = 0; i < kTokens * c_.width / 2; ++i) {
      const double angle = uniform(rng_, 3.0);
      turns.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
    }
    turns_ = turns;
    return turns;
  }

  std::vector<double> expect(int32_t token, int32_t head) const {
    const auto dim = static_cast<size_t>(c_.head_dim);
    const auto half = static_cast<size_t>(c_.width / 2);
    std::vector<double> x(dim);
    double squares = 0;
    for (size_t i = 0; i < dim; ++i) {
      x[i] = qkv_.worth[static_cast<size_t>(token * all_heads() + head) * dim + i];
      if (c_.bias) x[i] += static_cast<double>(bias_[static_cast<size_t>(head) * dim + i]);
      squares += x[i] * x[i];
    }
    if (head >= c_.heads + c_.kv_heads) return x;
    if (c_.norms) {
      const auto& weight = head < c_.heads ? q_norm_ : k_norm_;
      const double root = std::sqrt(squares / static_cast<double>(dim) + 1e-5);
      for (size_t i = 0; i < dim; ++i) x[i] = x[i] / root * static_cast<double>(weight[i]);
    }
    for (size_t i = 0; i < half; ++i) {
      const float2 turn = turns_[static_cast<size_t>(token) * half + i];
      const double low = x[i] * static_cast<double>(turn.x) - x[i + half] * static_cast<double>(turn.y);
      x[i + half] = x[i + half] * static_cast<double>(turn.x) + x[i] * static_cast<double>(turn.y);
      x[i] = low;
    }
    return x;
  }

  void check_number(const std::vector<Bf16>& q, int32_t t, int32_t h, int32_t i, double expected, double largest) {
    const double arithmetic = 4e-6 * largest;
    if (h < c_.heads) {
      const double got = worth_of(q[static_cast<size_t>((t * c_.heads + h) * c_.head_dim + i)]);
      ASSERT_NEAR(got, expected, std::fabs(expected) * 0x1p-8 + arithmetic);
      return;
    }
    const int32_t slot = slots_[static_cast<size_t>(t)];
    if (slot < 0) return;
    const int32_t kv_head = (h - c_.heads) % c_.kv_heads;
    const int32_t part = (h - c_.heads) / c_.kv_heads;
    double tolerance = std::fabs(expected) * 0x1p-8;
    if (c_.format != KvFormat::bf16) {
      const auto scale = static_cast<double>(kv_.scale(slot, kv_head, part));
      ASSERT_NEAR(scale, largest / (c_.format == KvFormat::fp8 ? 448.0 : 127.0), 1e-5 * largest);
      tolerance = c_.format == KvFormat::fp8 ? std::fabs(expected) * 0x1p-4 + scale * 0x1p-10 : scale * 0.5001;
    }
    ASSERT_NEAR(kv_.number(slot, kv_head, part, i), expected, tolerance + arithmetic)
        << "token " << t << ", head " << h;
  }

  Case c_;
  Rng rng_;
  Numbers<Bf16> qkv_;
  std::vector<float> bias_, q_norm_, k_norm_;
  std::vector<int32_t> slots_ = {17, 0, 9, -1, 23};
  std::vector<float2> turns_;
  DeviceArray<Bf16> qkv_there_;
  DeviceArray<float> bias_there_, q_norm_there_, k_norm_there_;
  DeviceArray<int32_t> slots_there_;
  DeviceArray<Bf16> q_;
  KvRig kv_;
  DeviceArray<float2> turns_there_;
};

TEST(GpuRopeKv, EqualsTheReference) {
  for (const Case& c :
       {Case{KvFormat::bf16, 4, 2, 64, 64, false, false}, Case{KvFormat::bf16, 3, 1, 96, 72, true, true},
        Case{KvFormat::fp8, 2, 1, 128, 128, true, false}, Case{KvFormat::int8, 2, 2, 256, 64, false, true}}) {
    RopeKvRig rig(c);
    in_every_interleaving([&] { return rig.run(); }, [&] { rig.check(); });
  }
}

/// Packed, then unpacked elsewhere; blocks of an odd number of eight bytes too.
TEST(GpuPackBlocks, MovesEveryLayerOfABlock) {
  for (const int64_t block_bytes : {4112, 1032}) {
    const int32_t layers = 3;
    const int64_t blocks = 6;
    const int64_t packed_bytes = layers * block_bytes + 16;
    Rng rng(4);
    std::vector<uint8_t> memory(static_cast<size_t>(layers * blocks * block_bytes));
    for (auto& byte : memory) byte = static_cast<uint8_t>(rng.below(256));
    DeviceArray<uint8_t> there(memory);
    DeviceArray<uint8_t> packed(static_cast<size_t>(2 * packed_bytes));
    auto expected = memory;
    for (const auto& [from, to] : {std::pair{0, 5}, std::pair{3, 1}}) {
      for (int64_t layer = 0; layer < layers; ++layer) {
        std::copy_n(memory.begin() + (layer * blocks + from) * block_bytes, block_bytes,
                    expected.begin() + (layer * blocks + to) * block_bytes);
      }
    }
    in_every_interleaving(
        [&] {
          there.set(memory);
          PackBlocksArgs args{.paged = there.get(),
                              .packed = packed.get(),
                              .count = 2,
                              .layers = layers,
                              .layer_bytes = blocks * block_bytes,
                              .block_bytes = block_bytes,
                              .packed_bytes = packed_bytes,
                              .blocks = {0, 3}};
          if (const cudaError_t error = pack_blocks(nullptr, args); error != cudaSuccess) return error;
          args.blocks[0] = 5;
          args.blocks[1] = 1;
          return unpack_blocks(nullptr, args);
        },
        [&] { ASSERT_EQ(there.host(), expected); });
  }
}

}  // namespace
}  // namespace weir::engine::cuda
