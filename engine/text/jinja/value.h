// The values of a template: Python's None, bool, int, float, str, list, tuple, dict and the few objects templates meet.
// A Value is 16 bytes; what does not fit is an Object counted by reference, without atomics, since a rendering stays on
// one thread and shares no object with another. Values never change once made, so they form no cycles; the two things
// that do change, namespaces and variable scopes, are broken up by the Heap when the rendering ends. Namespace members
// count as depth 0 for Limits::nesting_max, which bounds the recursion of everything that walks a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weir::engine::jinja {

class Heap;

enum class Kind : uint8_t {
  absent,  // no value at all: an omitted argument, an unset variable; never seen by a template
  undefined,
  none,
  boolean,
  integer,
  real,
  big_integer,  // a whole number of the input over 64 signed bits: it prints and compares, and takes no arithmetic
  string,
  list,
  tuple,
  dict,
  view,  // dict.keys(), .values(), .items()
  range,
  generator,  // what select, map, reverse, … give: can be walked once
  ns,         // namespace()
  native,     // functions, methods, macros, loops
};

struct Object {
  uint32_t references = 0;
  uint32_t depth = 0;  // 1 + the deepest value inside; 0 for a leaf
  size_t bytes = 0;    // what the heap was charged for this object
  Heap* heap = nullptr;
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
};

void retain(Object* object);
void release(Object* object);

struct StringObject;
struct SequenceObject;
struct DictObject;
struct ViewObject;
struct RangeObject;
struct NamespaceObject;
struct NativeObject;
struct UndefinedObject;

class Value {
 public:
  Value() = default;
  Value(const Value& other) : kind_(other.kind_), bits_(other.bits_) {
    if (is_object()) retain(bits_.object);
  }
  Value(Value&& other) noexcept : kind_(other.kind_), bits_(other.bits_) { other.kind_ = Kind::absent; }
  Value& operator=(Value other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~Value() {
    if (is_object()) release(bits_.object);
  }

  static Value none() { return Value(Kind::none); }
  static Value boolean(bool b) {
    Value v(Kind::boolean);
    v.bits_.integer = b;
    return v;
  }
  static Value integer(int64_t i) {
    Value v(Kind::integer);
    v.bits_.integer = i;
    return v;
  }
  static Value real(double d) {
    Value v(Kind::real);
    v.bits_.real = d;
    return v;
  }
  static Value object(Kind kind, Object* object) {
    Value v(kind);
    v.bits_.object = object;
    retain(object);
    return v;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool present() const { return kind_ != Kind::absent; }
  bool is_object() const { return kind_ == Kind::undefined || kind_ >= Kind::big_integer; }
  /// bool, int: what Python calls int when it counts or indexes.
  bool is_whole() const { return kind_ == Kind::boolean || kind_ == Kind::integer; }
  bool is_number() const { return is_whole() || kind_ == Kind::real; }

  // REQUIRES of each: the matching kind.
  bool as_bool() const { return bits_.integer != 0; }
  int64_t as_int() const { return bits_.integer; }
  double as_real() const { return kind_ == Kind::real ? bits_.real : static_cast<double>(bits_.integer); }
  Object* raw() const { return bits_.object; }
  const std::string& text() const;  // string, big_integer
  const StringObject& string() const;
  const SequenceObject& sequence() const;  // list, tuple
  SequenceObject& generator() const;
  const DictObject& dict() const;
  const ViewObject& view() const;
  const RangeObject& range() const;
  NamespaceObject& ns() const;
  NativeObject& native() const;
  const UndefinedObject& undefined() const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  Kind kind_ = Kind::absent;
  union Bits {
    int64_t integer = 0;
    double real;
    Object* object;
  } bits_;
};

/// A counted pointer to an object that is not a Value: a scope, a sequence being walked.
template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) {
    if (object_) retain(object_);
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_) release(object_);
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

}  // namespace weir::engine::jinja
