// How values read as text: Python's str(), repr() and json.dumps(), byte for byte. Pure functions.
#pragma once

#include "engine/text/jinja/objects.h"

#include <optional>
#include <string>

namespace weir::engine::jinja {

/// type(value).__name__
std::string type_name(const Value& value);
/// The name Jinja2's messages use: "dict object", "jinja2.utils.Namespace object", "None".
std::string qualified_type_name(const Value& value);

/// str(): what `{{ value }}` prints. Appends to `out`; fails when it grows over the heap's limit.
void append_str(Heap& heap, std::string& out, const Value& value);
std::string str(Heap& heap, const Value& value);
void append_repr(Heap& heap, std::string& out, const Value& value);
std::string repr(Heap& heap, const Value& value);

/// float.__repr__: the shortest digits that read back as the same number.
std::string repr_real(double number);
/// repr() of a str, without regard to markup.
std::string quote(std::string_view text);

struct JsonStyle {
  bool ascii_only = false;            // ensure_ascii
  std::optional<std::string> indent;  // one level of it; absent: all on one line
  std::string item_separator = ", ";  // json.dumps: "," when indented, unless given
  std::string key_separator = ": ";
  bool sort_keys = false;
};

/// json.dumps() with these options; fails on a value JSON has no form for.
std::string to_json(Heap& heap, const Value& value, const JsonStyle& style);

}  // namespace weir::engine::jinja
