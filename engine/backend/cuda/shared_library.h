// A library that is looked for when it is first needed, not when the program starts: a build with the CUDA backend runs
// on machines that have none of NVIDIA's libraries. Start-up work; stays loaded for the life of the program.
#pragma once

#include <string>

#include "config/base/result.h"

namespace weir::engine::cuda {

class SharedLibrary {
 public:
  /// By the name that the loader looks for. Errors: not_found, with the loader's reason.
  static Result<SharedLibrary> open(const std::string& name);

  /// Finds a function. Errors: not_found; the library is another version than this build was made for.
  template <class Function>
  Result<void> find(Function*& to, const char* symbol) const {
    const auto found = address(symbol);
    if (!found.ok()) return found.error();
    to = reinterpret_cast<Function*>(*found);
    return {};
  }

 private:
  Result<void*> address(const char* symbol) const;

  std::string name_;
  void* handle_ = nullptr;
};

}  // namespace weir::engine::cuda
