// How much memory the machine still has for the blocks of the host tier, so that asking for more is an error and not an
// end. Start-up work.
#pragma once

#include <cstdint>
#include <string>

namespace weir::engine::cuda {

/// Bytes: of the machine, or what its control group may have beside what it has. Pages of files do not count as had,
/// since the kernel gives them up. Without these files: UINT64_MAX. https://docs.kernel.org/admin-guide/cgroup-v2.html
uint64_t available_bytes(const std::string& meminfo = "/proc/meminfo", const std::string& group = "/sys/fs/cgroup");

}  // namespace weir::engine::cuda
