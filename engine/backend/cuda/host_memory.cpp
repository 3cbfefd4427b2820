#include "engine/backend/cuda/host_memory.h"

#include <algorithm>
#include <fstream>

namespace weir::engine::cuda {
namespace {

/// The number behind `name`, of lines that each have both; 0 where there is none.
uint64_t number_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string line_name;
  for (uint64_t number = 0; file >> line_name >> number; file.ignore(80, '\n')) {
    if (line_name == name) return number;
  }
  return 0;
}

uint64_t less(uint64_t from, uint64_t what) {
  return from - std::min(from, what);
}

}  // namespace

uint64_t available_bytes(const std::string& meminfo, const std::string& group) {
  const uint64_t machine_kib = number_of(meminfo, "MemAvailable:");
  const uint64_t machine = machine_kib > 0 ? machine_kib << 10 : UINT64_MAX;
  uint64_t limit = 0;
  if (!(std::ifstream(group + "/memory.max") >> limit)) return machine;  // "max", or no group
  uint64_t has = 0;
  std::ifstream(group + "/memory.current") >> has;
  const std::string stat = group + "/memory.stat";
  const uint64_t files = number_of(stat, "inactive_file") + number_of(stat, "active_file");
  return std::min(machine, less(limit, less(has, files)));
}

}  // namespace weir::engine::cuda
