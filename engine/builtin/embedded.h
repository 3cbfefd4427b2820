// The model files that the build put into the program (engine/builtin/embed.cmake), so that `builtin:weir-tiny` is
// there wherever the binary goes. Constant data, any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::engine {

/// Names and bytes of the files of a built-in model ("weir-tiny"); empty if there is none of that name.
std::vector<std::pair<std::string, std::string_view>> embedded_model(std::string_view name);

/// The built-in models' names.
std::vector<std::string_view> embedded_models();

}  // namespace weir::engine
