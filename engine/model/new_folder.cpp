#include "engine/model/new_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "engine/model/json_fields.h"
#include "engine/model/model_error.h"
#include "engine/model/model_files.h"

namespace weir::engine {
namespace {

namespace fs = std::filesystem;

constexpr int kNewFileMode = 0644;
constexpr mode_t kNewFolderMode = 0755;

Error failed(const std::string& path, const std::string& what, int error) {
  const std::string remedy =
      error == ENOSPC || error == EDQUOT ? "; free some space, or write to another disk with --out" : "";
  return model_error(path, "", "cannot " + what + ": " + std::strerror(error) + remedy);
}

/// A name in a folder is on disk only once the folder itself is.
Result<void> sync_folder(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return failed(path, "open the folder", errno);
  const int status = fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  if (status != 0 && error != EINVAL) return failed(path, "bring the folder to disk", error);
  return {};
}

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

/// Does config.json say which model it is of?
bool names_a_model(const ModelFiles& files) {
  const auto config = read_json_object(files, kConfigFile, kModelConfigBytesMax);
  return config.ok() && (config->contains("model_type") || config->contains("architectures"));
}

/// Is it a model's folder and nothing besides, or an empty one? Nothing else is ever deleted.
bool replaceable(const std::string& path) {
  const auto files = folder_files(path);
  std::error_code code;
  if (!files.ok() || fs::is_empty(path, code)) return files.ok();
  const auto names = (*files)->names();
  if (std::ranges::none_of(names, [](const std::string& name) { return name.ends_with(".safetensors"); })) return false;
  for (const auto& entry : fs::directory_iterator(path, code)) {
    if (entry.is_directory(code) && entry.path().filename() != kTemplatesFolder) return false;
  }
  return !code && names_a_model(**files);
}

Error not_replaced(const std::string& path) {
  return model_error(path, "",
                     "is not a model's folder and nothing besides (config.json, *.safetensors, no folder but " +
                         std::string(kTemplatesFolder) + "); it will not be replaced");
}

}  // namespace

Result<NewFile> NewFile::create(const std::string& path, uint64_t bytes) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kNewFileMode);
  if (descriptor < 0) return failed(path, "create the file", errno);
  NewFile file(path, descriptor);
  if (bytes == 0 || fallocate(descriptor, 0, 0, static_cast<off_t>(bytes)) == 0) return file;
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINTR || errno == EINVAL) return file;
  return failed(path, "reserve " + std::to_string(bytes) + " bytes", errno);
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

NewFile::~NewFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> NewFile::write(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed(path_, "write", written < 0 ? errno : ENOSPC);
    offset += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<void> NewFile::close() {
  if (fsync(descriptor_) != 0) return failed(path_, "bring the file to disk", errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) return failed(path_, "close the file", errno);
  return {};
}

Result<NewFolder> NewFolder::create(const std::string& given, bool replace) {
  std::string path = given;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::error_code code;
  if (fs::exists(fs::symlink_status(path, code))) {
    if (!replace) return model_error(path, "", "is there already; give --force to replace it");
    if (!replaceable(path)) return not_replaced(path);
  }
  std::string temporary = path + ".part-XXXXXX";
  if (mkdtemp(temporary.data()) == nullptr) {
    return failed(path, "make a folder in " + parent_of(path), errno);
  }
  NewFolder folder(std::move(path), std::move(temporary), replace);
  if (chmod(folder.temporary_.c_str(), kNewFolderMode) != 0) return failed(folder.temporary_, "set its mode", errno);
  return folder;
}

NewFolder::NewFolder(NewFolder&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, std::string())),
      replace_(other.replace_) {}

NewFolder::~NewFolder() {
  std::error_code code;
  if (!temporary_.empty()) fs::remove_all(temporary_, code);
}

Result<void> NewFolder::write_file(std::string_view name, std::string_view bytes) const {
  auto file = NewFile::create(this->file(name), bytes.size());
  if (!file.ok()) return file.error();
  if (auto written = file->write(0, bytes); !written.ok()) return written;
  return file->close();
}

Result<void> NewFolder::commit() {
  if (auto synced = sync_folder(temporary_); !synced.ok()) return synced;
  const char* from = temporary_.c_str();
  const char* to = path_.c_str();
  if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
    temporary_.clear();
    return sync_folder(parent_of(path_));
  }
  if (errno == EEXIST && !replace_) return model_error(path_, "", "is there already; give --force to replace it");
  if (errno != EEXIST) return failed(path_, "rename the finished folder", errno);
  if (!replaceable(path_)) return not_replaced(path_);
  // The two change names, so that there is a model under the name at every instant; then the old one goes.
  if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) != 0) return failed(path_, "replace the folder", errno);
  const auto synced = sync_folder(parent_of(path_));
  std::error_code code;
  fs::remove_all(temporary_, code);
  if (code) return failed(temporary_, "delete what was replaced", code.value());
  temporary_.clear();
  return synced;
}

}  // namespace weir::engine
