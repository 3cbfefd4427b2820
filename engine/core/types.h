// The engine's smallest words.
#pragma once

#include <cstdint>

namespace weir::engine {

using TokenId = int32_t;  // an entry of the vocabulary; -1 is "none"

}  // namespace weir::engine
