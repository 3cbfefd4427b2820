// Drives a model's walk without scheduler or engine: rows with hand-made block tables over a small paged KV, every
// logit returned. For the tests of weights, logits and the CPU backend.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>
#include "config/base/json.h"

#include "engine/model/family.h"
#include "engine/model/model.h"
#include "engine/ops/ops.h"

namespace weir::engine {

inline const std::string kReferenceFolder = std::string(WEIR_SOURCE_DIR) + "/tests/engine/reference/";
inline const std::string kStoriesFolder = std::string(WEIR_SOURCE_DIR) + "/../shared/data/weights/stories260K-hf";
inline const std::string kStoriesReference =
    std::string(WEIR_SOURCE_DIR) + "/../shared/data/weights/stories260K-reference.json";

inline bool readable(const std::string& path) {
  return std::ifstream(path).good();
}

/// The name of a test over a reference folder.
inline constexpr auto name_of_folder = [](const auto& folder) {
  std::string name = folder.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
};

inline nlohmann::json json_file(const std::string& path) {
  std::ifstream file(path);
  return read_json<nlohmann::json>(file);
}

inline std::shared_ptr<const Model> load_folder(const std::string& folder,
                                                Quantization quantization = Quantization::none) {
  auto files = folder_files(folder);
  if (!files.ok()) return nullptr;
  auto model = load_weights(**files, quantization);
  return model.ok() ? *model : nullptr;
}

/// Tokens of one row and the position of the first; its KV lives in the blocks named.
struct HarnessRow {
  std::vector<TokenId> tokens;
  int32_t start = 0;
  std::vector<int32_t> blocks;
};

class ModelHarness {
 public:
  /// context_tokens: of the engine it stands for; 0: the model's.
  ModelHarness(std::shared_ptr<const Model> model, int32_t blocks, int32_t block_tokens, int threads,
               int64_t context_tokens = 0, KvType type = KvType::f32)
      : model_(std::move(model)),
        pool_(threads),
        layout_{block_tokens, model_->spec.kv_heads, model_->spec.head_dim, type},
        rope_(rope_frequencies(model_->spec.rope, context_tokens > 0 ? context_tokens : model_->spec.context_tokens)) {
    layer_bytes_ = blocks * layout_.block_bytes();
    kv_.assign(static_cast<size_t>(model_->spec.layers * layer_bytes_), std::byte{0});
  }

  /// The model is a part: it computes with those that have joined the same meeting, each on its own thread.
  void join(Communicator* together) { together_ = together; }

  /// Logits after every token of every row: [tokens of all rows][vocab].
  std::vector<std::vector<float>> run(const std::vector<HarnessRow>& rows) {
    std::vector<int32_t> tokens, positions, slots, row_of, attends, table, table_begin{0}, samples;
    const auto block_tokens = static_cast<int32_t>(layout_.block_tokens);
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t i = 0; i < rows[r].tokens.size(); ++i) {
        const int32_t position = rows[r].start + static_cast<int32_t>(i);
        samples.push_back(static_cast<int32_t>(tokens.size()));
        tokens.push_back(rows[r].tokens[i]);
        positions.push_back(position);
        slots.push_back(rows[r].blocks.at(static_cast<size_t>(position / block_tokens)) * block_tokens +
                        position % block_tokens);
        row_of.push_back(static_cast<int32_t>(r));
        attends.push_back(position + 1);
      }
      table.insert(table.end(), rows[r].blocks.begin(), rows[r].blocks.end());
      table_begin.push_back(static_cast<int32_t>(table.size()));
    }
    const auto count = static_cast<int64_t>(tokens.size());
    DecoderPass pass{cpu_ops(),     pool_,          model_->spec,     scratch_,
                     count,         tokens.data(),  positions.data(), slots.data(),
                     row_of.data(), attends.data(), table.data(),     table_begin.data(),
                     count,         samples.data(), kv_.data(),       layout_,
                     layer_bytes_,  rope_,          together_};
    model_->spec.family->forward(model_->weights, pass);
    const auto vocab = model_->spec.vocab;
    std::vector<std::vector<float>> logits;
    for (int64_t t = 0; t < count; ++t) {
      const float* from = scratch_.logits.data() + t * vocab;
      logits.emplace_back(from, from + vocab);
    }
    return logits;
  }

  const ModelSpec& spec() const { return model_->spec; }

 private:
  std::shared_ptr<const Model> model_;
  ThreadPool pool_;
  KvLayout layout_;
  int64_t layer_bytes_ = 0;
  RopeFrequencies rope_;
  std::vector<std::byte> kv_;
  Communicator* together_ = nullptr;
  DecoderScratch scratch_;
};

inline TokenId argmax(const std::vector<float>& logits) {
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<TokenId>(best);
}

/// ‖a − b‖ / ‖b‖ over all logits.
inline double distance(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  double differences = 0;
  double squares = 0;
  for (size_t t = 0; t < a.size(); ++t) {
    for (size_t v = 0; v < a[t].size(); ++v) {
      differences += std::pow(static_cast<double>(a[t][v]) - static_cast<double>(b[t][v]), 2);
      squares += std::pow(static_cast<double>(b[t][v]), 2);
    }
  }
  return std::sqrt(differences / squares);
}

}  // namespace weir::engine
