# weir_add_cuda(TARGET): the CUDA backend and its kernels. sm_80 (A100), sm_89 (L40S, RTX 4090) and sm_90a (H100, H200) in machine
# code, and sm_90's PTX for what comes after (WEIR_CUDA_ARCHITECTURES).
function(weir_add_cuda target)
  file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/ops/cuda/*.cu ${CMAKE_CURRENT_SOURCE_DIR}/ops/cuda/*.cpp)
  file(GLOB backend CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/backend/cuda/*.cpp)
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(NCCL_INCLUDE)
    target_include_directories(${target} SYSTEM PRIVATE ${NCCL_INCLUDE})
    target_compile_definitions(${target} PRIVATE WEIR_NCCL)
  else()
    message(STATUS "WEIR_CUDA: no nccl.h here; one GPU an engine")
    list(FILTER backend EXCLUDE REGEX /nccl_)
  endif()
  target_sources(${target} PRIVATE ${kernels} ${backend})
  set_target_properties(${target} PROPERTIES CUDA_RUNTIME_LIBRARY Static)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>")
  target_compile_definitions(${target} PRIVATE WEIR_CUDA)
  # The runtime is linked in and asks for a driver when it is first used; cuBLASLt and NCCL are loaded when a GPU is
  # (backend/cuda/shared_library.h). So the program runs where none of them is, and the CPU serves.
  target_link_libraries(${target} PUBLIC CUDA::cudart_static ${CMAKE_DL_LIBS})
endfunction()
