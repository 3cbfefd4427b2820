#include "engine/model/model_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "engine/model/model_error.h"

namespace weir::engine {
namespace {

/// A shard's or module's name comes from a file that anyone may have written: it must stay inside the folder.
bool plain_part(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

/// A file of the folder, or of a folder in it ("1_Pooling/config.json").
bool plain_name(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return plain_part(name);
  return plain_part(name.substr(0, slash)) && plain_part(name.substr(slash + 1));
}

Error not_found(const std::string& path) {
  return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = path + ": no such file"};
}

Error too_large(const std::string& path, uint64_t size, uint64_t limit) {
  return Error{.kind = ErrorKind::too_large,
               .source = "engine",
               .detail = path + ": " + std::to_string(size) + " bytes, at most " + std::to_string(limit) + " are read"};
}

struct Mapping {
  void* address = nullptr;
  size_t size = 0;
  Mapping(void* a, size_t n) : address(a), size(n) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (address != nullptr) munmap(address, size);
  }
};

struct Descriptor {
  int fd;
  explicit Descriptor(int f) : fd(f) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

class FolderFiles : public ModelFiles {
 public:
  explicit FolderFiles(std::string folder) : folder_(std::move(folder)) {}

  std::string path(std::string_view name) const override { return folder_ + "/" + std::string(name); }

  bool has(std::string_view name) const override {
    struct stat info {};
    return plain_name(name) && stat(path(name).c_str(), &info) == 0 && S_ISREG(info.st_mode);
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(folder_, code)) {
      if (entry.is_regular_file(code)) names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<FileBytes> open(std::string_view name, uint64_t bytes_max) const override {
    if (!plain_name(name)) return model_error(folder_, std::string(name.substr(0, 80)), "is not a file name");
    FileBytes file{.path = path(name), .bytes = {}, .owner = nullptr};
    // O_NONBLOCK: a FIFO in a model's folder must be refused, not waited for.
    const Descriptor opened(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (opened.fd < 0) {
      if (errno == ENOENT) return not_found(file.path);
      return model_error(file.path, "", std::strerror(errno));
    }
    struct stat info {};
    if (fstat(opened.fd, &info) != 0) return model_error(file.path, "", std::strerror(errno));
    if (!S_ISREG(info.st_mode)) return model_error(file.path, "", "not a regular file");
    const auto size = static_cast<uint64_t>(info.st_size);
    if (size > bytes_max) return too_large(file.path, size, bytes_max);
    if (size == 0) return file;
    void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, opened.fd, 0);
    if (address == MAP_FAILED) return model_error(file.path, "", std::string("cannot map: ") + std::strerror(errno));
    file.owner = std::make_shared<Mapping>(address, size);
    file.bytes = {static_cast<const char*>(address), size};
    return file;
  }

 private:
  std::string folder_;
};

class MemoryFiles : public ModelFiles {
 public:
  MemoryFiles(std::string label, std::vector<std::pair<std::string, std::string_view>> files)
      : label_(std::move(label)), files_(std::move(files)) {}

  std::string path(std::string_view name) const override { return label_ + "/" + std::string(name); }
  bool has(std::string_view name) const override { return find(name) != nullptr; }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files_) names.push_back(name);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<FileBytes> open(std::string_view name, uint64_t bytes_max) const override {
    const std::string_view* bytes = find(name);
    if (bytes == nullptr) return not_found(path(name));
    if (bytes->size() > bytes_max) return too_large(path(name), bytes->size(), bytes_max);
    return FileBytes{.path = path(name), .bytes = *bytes, .owner = nullptr};
  }

 private:
  const std::string_view* find(std::string_view name) const {
    for (const auto& [own, bytes] : files_) {
      if (own == name) return &bytes;
    }
    return nullptr;
  }

  std::string label_;
  std::vector<std::pair<std::string, std::string_view>> files_;
};

}  // namespace

Result<std::unique_ptr<ModelFiles>> folder_files(const std::string& folder) {
  struct stat info {};
  if (stat(folder.c_str(), &info) != 0) {
    return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = folder + ": no such model folder"};
  }
  if (!S_ISDIR(info.st_mode)) return model_error(folder, "", "not a folder; give a Hugging Face model folder");
  return std::unique_ptr<ModelFiles>(std::make_unique<FolderFiles>(folder));
}

std::unique_ptr<ModelFiles> memory_files(std::string label,
                                         std::vector<std::pair<std::string, std::string_view>> files) {
  return std::make_unique<MemoryFiles>(std::move(label), std::move(files));
}

}  // namespace weir::engine
