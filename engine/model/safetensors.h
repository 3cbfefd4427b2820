// The safetensors format, read strictly (https://github.com/huggingface/safetensors#format): 8 bytes little-endian
// header length, a JSON header, then the data, which the tensors of the header must cover without hole or overlap.
// Nothing is trusted: every length and offset is checked before use. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/model/model_files.h"

namespace weir::engine {

inline constexpr uint64_t kSafetensorsHeaderBytesMax = 100'000'000;  // the reference reader's own limit
inline constexpr size_t kTensorDimensionsMax = 16;

struct StoredTensor {
  std::string dtype;  // as written: "F32", "BF16", …
  std::vector<int64_t> shape;
  std::string_view bytes;  // row-major, inside the file
};

struct SafetensorsFile {
  FileBytes file;
  std::map<std::string, StoredTensor, std::less<>> tensors;
};

/// Errors name the file, and the tensor where one is at fault.
Result<SafetensorsFile> read_safetensors(FileBytes file);

/// Bytes an element of the format's type takes; 0 for a type that it does not have.
uint64_t stored_element_bytes(std::string_view dtype);

/// "[2, 3]".
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace weir::engine
