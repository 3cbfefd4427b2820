#include "engine/model/int4_layouts.h"

#include <array>
#include <cmath>
#include <cstring>

#include "engine/model/weight_store.h"
#include "engine/ops/int4.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {
namespace {

constexpr int32_t kMiddle = 8;
constexpr int64_t kColumnsAtOnce = 16;  // words: a cache line

/// At which place of an AWQ word number n lies.
constexpr std::array<int, 8> kAwqPlace = {0, 4, 1, 5, 2, 6, 3, 7};

int64_t up(int64_t count) {
  return (count + kInt4Word - 1) / kInt4Word;
}

uint32_t word_at(const StoredTensor& tensor, int64_t index) {
  uint32_t word = 0;
  std::memcpy(&word, tensor.bytes.data() + static_cast<size_t>(index) * sizeof word, sizeof word);
  return word;
}

/// AWQ's words hold eight outputs of an input; ours eight inputs of an output.
void turn(const StoredTensor& words, const Int4Shape& shape, int64_t begin, int64_t end, uint32_t* to) {
  const int64_t width = up(shape.rows);
  for (int64_t input = 0; input < shape.cols; input += kInt4Word) {
    for (int64_t column = begin; column < end; ++column) {
      std::array<uint32_t, kInt4Word> from{};
      for (size_t i = 0; i < from.size(); ++i) {
        from[i] = word_at(words, (input + static_cast<int64_t>(i)) * width + column);
      }
      for (size_t n = 0; n < kAwqPlace.size(); ++n) {
        const int64_t output = column * kInt4Word + static_cast<int64_t>(n);
        if (output >= shape.rows) break;
        uint32_t word = 0;
        for (size_t i = 0; i < from.size(); ++i) word |= (from[i] >> 4 * kAwqPlace[n] & 15U) << 4 * i;
        to[(output * shape.cols + input) / kInt4Word] = word;
      }
    }
  }
}

/// The zero of an output's group, as the product takes it away.
int32_t zero_of(const StoredTensor& zeros, const CheckpointFormat& format, const Int4Shape& shape, int64_t output,
                int64_t group) {
  const bool packed = format.layout == Int4Layout::packed;
  const auto n = static_cast<size_t>(output % kInt4Word);
  const int64_t at = packed ? output / kInt4Word * shape.groups() + group : group * up(shape.rows) + output / kInt4Word;
  const int place = format.layout == Int4Layout::awq ? kAwqPlace[n] : static_cast<int>(n);
  const uint32_t stored = word_at(zeros, at) >> 4 * place & 15U;
  return static_cast<int32_t>((stored + (format.zeros_less_one ? 1U : 0U)) & 15U);
}

}  // namespace

std::vector<int64_t> Int4Shape::words_of(Int4Layout layout) const {
  switch (layout) {
    case Int4Layout::packed:
      return {rows, up(cols)};
    case Int4Layout::gptq:
      return {up(cols), rows};
    case Int4Layout::awq:
      return {cols, up(rows)};
  }
  return {};
}

std::vector<int64_t> Int4Shape::scales_of(Int4Layout layout) const {
  if (layout == Int4Layout::packed) return {rows, groups()};
  return {groups(), rows};
}

std::vector<int64_t> Int4Shape::zeros_of(Int4Layout layout) const {
  if (layout == Int4Layout::packed) return {up(rows), groups()};
  return {groups(), up(rows)};
}

void lay_int4_words(const StoredTensor& words, Int4Layout layout, const Int4Shape& shape, uint32_t* to) {
  const int64_t width = shape.cols / kInt4Word;
  if (layout == Int4Layout::packed) {
    std::memcpy(to, words.bytes.data(), static_cast<size_t>(shape.rows * width) * sizeof *to);
    return;
  }
  ThreadPool pool(0);
  if (layout == Int4Layout::awq) {
    pool.run(up(shape.rows), kColumnsAtOnce, [&](int64_t begin, int64_t end) { turn(words, shape, begin, end, to); });
    return;
  }
  pool.run(shape.rows, kColumnsAtOnce * 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < width; ++i) {
      for (int64_t output = begin; output < end; ++output) {
        to[output * width + i] = word_at(words, i * shape.rows + output);
      }
    }
  });
}

bool lay_int4_groups(const StoredTensor& scales, const StoredTensor* zeros, const CheckpointFormat& format,
                     const Int4Shape& shape, int64_t group, float* to) {
  const bool packed = format.layout == Int4Layout::packed;
  const int64_t groups = shape.groups();
  for (int64_t output = 0; output < shape.rows; ++output) {
    for (int64_t g = 0; g < groups; ++g) {
      const float scale = float_at(scales, static_cast<size_t>(packed ? output * groups + g : g * shape.rows + output));
      if (!std::isfinite(scale)) return false;
      const int32_t zero = zeros == nullptr ? kMiddle : zero_of(*zeros, format, shape, output, g);
      for (int64_t same = 0; same < shape.group / group; ++same) *to++ = int4_group(scale, zero);
    }
  }
  return true;
}

}  // namespace weir::engine
