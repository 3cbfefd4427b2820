// What the tests of this folder share: a loader with a fixed environment, and mistakes as the text a user reads.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "config/load.h"

namespace weir::config {

inline const KnownNames& known() {
  static const KnownNames names{{"openai", "echo"}, {"weighted", "least_busy"}};
  return names;
}

using Variables = std::map<std::string, std::string>;

inline Environment environment_of(Variables variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

inline LoadOutcome load(std::string_view yaml, Variables variables = {}, const KnownNames& names = known()) {
  return load_text(yaml, "weir.yaml", environment_of(std::move(variables)), names);
}

inline std::vector<std::string> texts(const std::vector<Mistake>& mistakes) {
  std::vector<std::string> out;
  for (const auto& mistake : mistakes) out.push_back(mistake.text());
  return out;
}

/// A config that must be good.
inline std::shared_ptr<const Config> good(std::string_view yaml, Variables variables = {},
                                          const KnownNames& names = known()) {
  auto outcome = load(yaml, std::move(variables), names);
  EXPECT_THAT(texts(outcome.mistakes), ::testing::IsEmpty());
  return outcome.config ? outcome.config : std::make_shared<const Config>();
}

}  // namespace weir::config
