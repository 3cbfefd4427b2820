#include "engine/backend/cuda/nccl_library.h"

#include <string>

#include "engine/backend/cuda/shared_library.h"

namespace weir::engine::cuda {

Result<NcclLibrary> NcclLibrary::load() {
  const auto library = SharedLibrary::open("libnccl.so." + std::to_string(NCCL_MAJOR));
  if (!library.ok()) return library.error();
  NcclLibrary found;
  Result<void> done;
  const auto find = [&](auto& to, const char* symbol) {
    if (done.ok()) done = library->find(to, symbol);
  };
  find(found.init_all, "ncclCommInitAll");
  find(found.destroy, "ncclCommDestroy");
  find(found.abort, "ncclCommAbort");
  find(found.all_reduce, "ncclAllReduce");
  find(found.all_gather, "ncclAllGather");
  find(found.error_string, "ncclGetErrorString");
  if (!done.ok()) return done.error();
  return found;
}

}  // namespace weir::engine::cuda
