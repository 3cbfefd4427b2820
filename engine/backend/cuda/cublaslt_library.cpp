#include "engine/backend/cuda/cublaslt_library.h"

#include <string>

#include "engine/backend/cuda/shared_library.h"

namespace weir::engine::cuda {

Result<CublasLtLibrary> CublasLtLibrary::load() {
  const auto library = SharedLibrary::open("libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR));
  if (!library.ok()) return library.error();
  CublasLtLibrary found;
  Result<void> done;
  const auto find = [&](auto& to, const char* symbol) {
    if (done.ok()) done = library->find(to, symbol);
  };
  find(found.create, "cublasLtCreate");
  find(found.destroy, "cublasLtDestroy");
  find(found.version, "cublasLtGetVersion");
  find(found.status_name, "cublasLtGetStatusName");
  find(found.matmul, "cublasLtMatmul");
  find(found.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(found.operation_init, "cublasLtMatmulDescInit_internal");
  find(found.operation_set, "cublasLtMatmulDescSetAttribute");
  find(found.layout_init, "cublasLtMatrixLayoutInit_internal");
  find(found.preference_init, "cublasLtMatmulPreferenceInit_internal");
  find(found.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  if (!done.ok()) return done.error();
  return found;
}

}  // namespace weir::engine::cuda
