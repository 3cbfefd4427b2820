// Where an engine computes: `device: auto | cpu | cuda | cuda:N`. Pure.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace weir::config {

struct Device {
  enum class Kind { automatic, cpu, gpu };

  Kind kind = Kind::automatic;
  int gpu = 0;  // its number, as CUDA counts those that it sees; the first, where an engine takes several
};

inline constexpr int kGpusMax = 64;
inline constexpr const char* kDevices = "auto, cpu, cuda or cuda:N";

/// Nothing: it names no device.
inline std::optional<Device> device_of(std::string_view name) {
  if (name == "auto") return Device{};
  if (name == "cpu") return Device{.kind = Device::Kind::cpu};
  if (name == "cuda") return Device{.kind = Device::Kind::gpu};
  constexpr std::string_view kNumbered = "cuda:";
  if (!name.starts_with(kNumbered)) return std::nullopt;
  Device device{.kind = Device::Kind::gpu};
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kNumbered.size(), end, device.gpu);
  if (error != std::errc() || rest != end || device.gpu < 0 || device.gpu >= kGpusMax) return std::nullopt;
  return device;
}

}  // namespace weir::config
