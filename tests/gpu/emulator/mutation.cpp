// Barriers by their place in the source, so that a test can leave one out (simt.h, left_out).
#include <cstdlib>
#include <fstream>
#include <set>

#include "tests/gpu/emulator/simt.h"

namespace simt {
namespace {

std::string name_of(const Site& site) {
  const std::string path = site.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(site.line());
}

std::string text_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

/// Every barrier met; written when the program ends.
struct Sites {
  std::string file = text_of("SIMT_SITES");
  std::set<std::string> met;

  Sites() = default;
  ~Sites() {
    if (file.empty()) return;
    std::ofstream out(file);
    for (const std::string& site : met) out << site << "\n";
  }
  Sites(const Sites&) = delete;
  Sites& operator=(const Sites&) = delete;
};

}  // namespace

bool left_out(const Site& site) {
  static Sites sites;
  static const std::string skipped = text_of("SIMT_SKIP");
  if (!sites.file.empty()) sites.met.insert(name_of(site));
  return !skipped.empty() && name_of(site) == skipped;
}

}  // namespace simt
