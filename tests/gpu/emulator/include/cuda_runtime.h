// Where code for the GPU includes <cuda_runtime.h> and is compiled for the processor, it finds the emulator.
#pragma once

#include "tests/gpu/emulator/runtime.h"
#include "tests/gpu/emulator/simt.h"
