// JSON as a tree. nlohmann's templates are instantiated once for the whole program, in json.cpp: each of the files that
// use them would otherwise compile a parser and a printer of its own.
#pragma once

#include <istream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace weir {

/// The tree of a text in UTF-8; is_discarded() where it is not JSON. `Json`: nlohmann::json or nlohmann::ordered_json.
/// Of members with the same name the last one counts.
template <typename Json>
Json read_json(std::string_view text);

template <>
nlohmann::json read_json(std::string_view text);
template <>
nlohmann::ordered_json read_json(std::string_view text);

/// The same of all that a stream still holds.
template <typename Json>
Json read_json(std::istream& text) {
  return read_json<Json>(std::string(std::istreambuf_iterator<char>(text), {}));
}

}  // namespace weir
