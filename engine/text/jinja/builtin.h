// The form of everything built in: filters, tests, methods and functions. Each is a row of a table: its name, its
// parameters as Python spells them, and a C++ function that gets them bound. Tables are constant; any thread may read.
#pragma once

#include "engine/text/jinja/objects.h"

#include <array>
#include <span>
#include <string_view>
#include <vector>

namespace weir::engine::jinja {

/// Arguments of one call in the order of the parameters; an omitted one is absent.
struct Bound {
  static constexpr size_t kParametersMax = 6;
  std::array<Value, kParametersMax> slots;
  std::vector<Value> rest;                           // for "*"
  std::vector<std::pair<std::string, Value>> named;  // for "**"

  const Value& operator[](size_t i) const { return slots[i]; }
  bool has(size_t i) const { return slots[i].present(); }
  /// The argument, or `fallback` when it was omitted. whole() also fails when it is not a whole number.
  const Value& get(size_t i, const Value& fallback) const { return has(i) ? slots[i] : fallback; }
  bool flag(size_t i, bool fallback) const;
  int64_t whole(size_t i, int64_t fallback) const;
  /// The argument's text, or the argument itself; both fail with `problem` and the type when it is not a str.
  const std::string& text(size_t i, std::string_view problem = "must be str") const {
    return string(i, problem).text();
  }
  const Value& string(size_t i, std::string_view problem) const;
};

struct Builtin {
  std::string_view name;
  /// Parameters separated by blanks. "!x" must be given; "*" takes the remaining positional ones, "**" the named ones.
  std::string_view parameters;
  /// `self` is the filtered or tested value, or the object of a method; absent for a function. Null: the name exists in
  /// Python and may not be used here.
  Value (*run)(Heap& heap, const Value& self, const Bound& args);
};

/// Sorts the arguments of a call onto the parameters; fails as Python does on too many, too few or unknown ones.
Bound bind(const Builtin& builtin, Args& args);

/// Null when there is none of this name.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
/// Method of str, list, tuple, dict, int or float that this value has.
const Builtin* find_method(const Value& value, std::string_view name);
/// Whether a sandboxed template may use the method: it does not change its object and is not private.
bool is_safe_method(const Value& value, std::string_view name);

/// str.replace(); count < 0 replaces every one.
std::string replace_text(Heap& heap, std::string_view text, std::string_view old_text, std::string_view new_text,
                         int64_t count);

/// Calls a filter or test by name, as select("odd") and map("upper") do.
Value run_named(Heap& heap, const Builtin* builtin, std::string_view what, std::string_view name, const Value& self,
                Args args);

/// The tables that find_filter joins, by idea, and the functions every template can call.
std::span<const Builtin> text_filters();
std::span<const Builtin> sequence_filters();
std::span<const Builtin> selection_filters();
std::span<const Builtin> value_filters();
std::span<const Builtin> string_methods();
std::span<const Builtin> string_queries();
std::span<const Builtin> global_functions();

/// A function object for a row of a table; with `self`, a bound method.
Value make_function(Heap& heap, const Builtin& builtin, const Value& self);

}  // namespace weir::engine::jinja
