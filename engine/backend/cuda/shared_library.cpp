#include "engine/backend/cuda/shared_library.h"

#include <dlfcn.h>

namespace weir::engine::cuda {
namespace {

Error not_found(const std::string& what) {
  const char* why = dlerror();
  return Error{.kind = ErrorKind::not_found,
               .source = "engine",
               .detail = what + (why != nullptr ? std::string(": ") + why : "")};
}

}  // namespace

Result<SharedLibrary> SharedLibrary::open(const std::string& name) {
  SharedLibrary library;
  library.name_ = name;
  library.handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library.handle_ == nullptr) return not_found("cannot load " + name);
  return library;
}

Result<void*> SharedLibrary::address(const char* symbol) const {
  void* found = dlsym(handle_, symbol);
  if (found == nullptr) return not_found(name_ + " has no " + symbol);
  return found;
}

}  // namespace weir::engine::cuda
