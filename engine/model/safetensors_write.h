// The safetensors format, written (https://github.com/huggingface/safetensors#format): one file, or shards with
// model.safetensors.index.json as transformers writes them. Names, types and shapes are said first, so that the place
// of every byte is known; then each tensor's bytes come in any order, a piece at a time. Tensors lie by the size of
// their elements, largest first, so that each is aligned to it in the mapped file. One owner, one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/model/new_folder.h"

namespace weir::engine {

inline constexpr uint64_t kShardBytesMax = 5'000'000'000;  // transformers' own limit of a shard

struct TensorHeader {
  std::string name;
  std::string dtype;  // as the format has it: "F32", "BF16", "I8", …
  std::vector<int64_t> shape;
};

class SafetensorsWriter {
 public:
  /// Makes the files in the folder and writes their headers. REQUIRES: names differ, types are known.
  static Result<SafetensorsWriter> create(const NewFolder& folder, const std::vector<TensorHeader>& tensors,
                                          uint64_t shard_bytes_max = kShardBytesMax);

  /// The next bytes of a tensor. REQUIRES: it has room for them.
  Result<void> write(std::string_view name, std::string_view bytes);
  /// Every file is on disk. REQUIRES: every tensor was written to its end.
  Result<void> finish();

  uint64_t bytes() const { return bytes_; }  // of all tensors

 private:
  struct Place {
    size_t file = 0;
    uint64_t next = 0;  // offset in the file
    uint64_t end = 0;
  };
  std::vector<NewFile> files_;
  std::map<std::string, Place, std::less<>> places_;
  uint64_t bytes_ = 0;
};

}  // namespace weir::engine
