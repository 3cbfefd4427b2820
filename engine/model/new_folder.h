// A folder that appears whole or not at all: files are written to a temporary folder beside it, brought to disk, and
// the folder takes its name in one rename. What is left behind by a process that was killed is "NAME.part-XXXXXX"; it
// is nobody's and may be deleted. One owner, one thread; the files of it may be written by several.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace weir::engine {

/// The one folder inside a model's folder that means something: its further chat templates.
inline constexpr std::string_view kTemplatesFolder = "additional_chat_templates";

/// A new file, written at any offset, at last brought to disk. Errors name the file and the system's reason.
class NewFile {
 public:
  /// Reserves `bytes` where the file system can, so that a full disk shows at once.
  static Result<NewFile> create(const std::string& path, uint64_t bytes);
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  Result<void> write(uint64_t offset, std::string_view bytes);
  /// All that was written is on disk. The last call.
  Result<void> close();

  const std::string& path() const { return path_; }

 private:
  NewFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  std::string path_;
  int descriptor_ = -1;
};

class NewFolder {
 public:
  /// `replace`: what is there already may be a model's folder, or an empty one: a config.json that names a model type
  /// or architecture, *.safetensors, and no folder but that of further chat templates. Errors (config): it is there and
  /// may not be replaced, is no such folder, or cannot be made.
  static Result<NewFolder> create(const std::string& path, bool replace);
  NewFolder(NewFolder&& other) noexcept;
  NewFolder& operator=(NewFolder&&) = delete;
  ~NewFolder();  // takes away what was not committed

  /// Where a file of it is to be written until commit().
  std::string file(std::string_view name) const { return temporary_ + "/" + std::string(name); }
  /// A whole file at once.
  Result<void> write_file(std::string_view name, std::string_view bytes) const;
  /// The folder takes its name; what it replaces is deleted (who has mapped files of it keeps them).
  Result<void> commit();

 private:
  NewFolder(std::string path, std::string temporary, bool replace)
      : path_(std::move(path)), temporary_(std::move(temporary)), replace_(replace) {}
  std::string path_;
  std::string temporary_;  // empty: committed, or moved from
  bool replace_ = false;
};

}  // namespace weir::engine
