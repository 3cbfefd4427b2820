// Where a model's files come from: a folder on disk (mapped read-only) or the program itself (the built-in model). The
// loaders see named bytes and never a path. Immutable after construction, any thread.
//
// A mapped file must not be truncated while the model is served: the kernel would answer the next read of a missing
// page with SIGBUS. Replace a model by writing a new folder (or renaming), as every downloader does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/base/result.h"

namespace weir::engine {

/// The bytes of one file; they live as long as `owner` does.
struct FileBytes {
  std::string path;  // for messages
  std::string_view bytes;
  std::shared_ptr<const void> owner;
};

class ModelFiles {
 public:
  virtual ~ModelFiles() = default;
  /// How messages name a file of this model.
  virtual std::string path(std::string_view name) const = 0;
  virtual bool has(std::string_view name) const = 0;
  /// The regular files there are, sorted.
  virtual std::vector<std::string> names() const = 0;
  /// Errors: not_found (no such regular file), too_large (more than bytes_max), config (a name that leaves the folder,
  /// a file that cannot be read).
  virtual Result<FileBytes> open(std::string_view name, uint64_t bytes_max) const = 0;
};

inline constexpr const char* kConfigFile = "config.json";

inline constexpr uint64_t kModelTextBytesMax = 256ULL * 1024 * 1024;  // a JSON file of a model: tokenizers reach 33 MB
inline constexpr uint64_t kModelConfigBytesMax = 4ULL * 1024 * 1024;  // config.json and its small relatives
inline constexpr uint64_t kModelWeightBytesMax = 1ULL << 40;          // one safetensors file

/// A folder on disk. An Error if it is no folder.
Result<std::unique_ptr<ModelFiles>> folder_files(const std::string& folder);

/// Named bytes in memory that outlive every user (the embedded model; tests).
std::unique_ptr<ModelFiles> memory_files(std::string label,
                                         std::vector<std::pair<std::string, std::string_view>> files);

}  // namespace weir::engine
