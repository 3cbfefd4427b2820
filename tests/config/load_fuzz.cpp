// libFuzzer over the whole loader: any bytes are judged, within bounded time and memory, and never crash.
#include <cstddef>
#include <cstdint>

#include "config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const weir::config::KnownNames known{{"openai", "echo"}, {"weighted"}};
  static const weir::config::Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "A") return "value";
    return std::nullopt;
  };
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto outcome = weir::config::load_text(text, "fuzz.yaml", environment, known);
  if ((outcome.config == nullptr) != !outcome.mistakes.empty()) __builtin_trap();
  if (outcome.config) weir::config::diff(weir::config::Config{}, *outcome.config);
  return 0;
}
