// Python's two ways to fill in a text: "%s of %d" % (a, b) and "{} of {n:>3}".format(a, n=b). Pure functions; both fail
// as Python does on an argument that is missing or of the wrong type.
#pragma once

#include "engine/text/jinja/objects.h"

#include <string>
#include <string_view>

namespace weir::engine::jinja {

/// `text % arguments`: a tuple gives the arguments one by one, a dict by name.
std::string format_percent(Heap& heap, std::string_view text, const Value& arguments);

/// `text.format(...)`, with {}, {0}, {name}, {name.attribute}, {name[key]}, !r and !s, and format specifications.
std::string format_braces(Heap& heap, std::string_view text, const Args& arguments);

}  // namespace weir::engine::jinja
