// Numbers within bounds as regular expressions: digits compared from the left. Pure.
#pragma once

#include <optional>
#include <string>

#include "config/base/json.h"

namespace weir::engine::grammar {

/// Digits of an integer, and before a number's point: what 64 bits hold.
inline constexpr int kDigitsMax = 18;
/// After the point.
inline constexpr int kFractionMax = 17;

/// A bound of a number: its digits, without exponent.
struct Bound {
  bool negative = false;
  std::string whole;     // without leading zeros; "0"
  std::string fraction;  // without zeros at its end; may be empty
  bool exclusive = false;
};

/// REQUIRES: value.is_number().
Bound bound_of(const nlohmann::ordered_json& value, bool exclusive);

/// The texts of the numbers at least (at most) the bound; nothing: there is none of kDigitsMax digits.
std::optional<std::string> numbers_from(const Bound& low, bool integers);
std::optional<std::string> numbers_to(const Bound& high, bool integers);

/// All of them, of numbers with an exponent of two digits.
std::string all_numbers(bool integers);

}  // namespace weir::engine::grammar
