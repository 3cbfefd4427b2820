// The `attribute=` argument of filters: "function.name" or "0" walks into each item. A value; used within one call.
#pragma once

#include "engine/text/jinja/objects.h"

#include <vector>

namespace weir::engine::jinja {

class AttributePath {
 public:
  /// `attribute`: a dotted text, a whole number, or none and absent for the item itself.
  AttributePath(Heap& heap, const Value& attribute, Value fallback = {});

  Value of(Heap& heap, const Value& item) const;
  /// The same in lower case where it is a text: what sort, unique, min and max compare when case does not count.
  Value key_of(Heap& heap, const Value& item, bool case_sensitive) const;

 private:
  std::vector<Value> parts_;
  Value fallback_;  // replaces an undefined part, unless absent
};

}  // namespace weir::engine::jinja
