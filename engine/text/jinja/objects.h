// The counted objects behind Value, and the heap that makes them under the limits of one rendering. The heap must
// outlive every Value made with it. Owned by one rendering, used on its thread only.
#pragma once

#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/limits.h"
#include "engine/text/jinja/value.h"

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weir::engine::jinja {

struct StringObject : Object {
  std::string text;
  bool markup = false;  // came from `safe` or `escape`: adding a plain string to it escapes that string
  bool ascii = false;   // one byte a character, so an index is an offset
};

/// Type name of the pairs `groupby` gives: tuples that also know their halves as .grouper and .list.
/// An array, so that it has one address in every translation unit and pointers to it can be compared.
inline constexpr char kGroupTuple[] = "_GroupTuple";

/// list, tuple; also a generator, whose items are already computed and whose `next` tells how far it was walked.
struct SequenceObject : Object {
  std::vector<Value> items;
  size_t next = 0;
  std::shared_ptr<const Failure> failure;  // of a generator: what computing a further item raised
  const char* type_name = "generator";     // what Python calls this kind of generator; of a tuple: kGroupTuple or not
};

/// Keys in the order of insertion, unique by Python's equality.
struct DictObject : Object {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_map<std::string_view, size_t> index;  // the string keys, once there are more than a few
  const Value* find(std::string_view key) const;       // null when absent
  const Value* find(const Value& key) const;           // REQUIRES: hashable
};

struct ViewObject : Object {
  enum class What : uint8_t { keys, values, items };
  What what = What::keys;
  Value dict;
};

struct RangeObject : Object {
  int64_t start = 0, stop = 0, step = 1;
  int64_t size = 0;
  /// REQUIRES: -1 <= i <= size. Unsigned, because a partial product may pass 63 bits though no item does.
  int64_t at(int64_t i) const {
    return static_cast<int64_t>(static_cast<uint64_t>(start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(step));
  }
};

/// Something whose insides can change, so that it could refer to itself: the heap empties it when the rendering ends.
struct Breakable : Object {
  virtual void clear() = 0;
};

struct NamespaceObject : Breakable {
  std::vector<std::pair<std::string, Value>> members;
  void clear() override { members.clear(); }
  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

/// Why there is no value; told when something needs one.
struct UndefinedObject : Object {
  enum class Why : uint8_t { name, attribute, item, hint, unsafe };
  Why why = Why::name;
  std::string subject;  // the name, or the whole message for `hint`
  std::string owner;    // the type that lacks it
  std::string message() const;
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Functions, methods, macros, loops.
struct NativeObject : Object {
  virtual std::string_view type_name() const = 0;
  virtual std::string repr() const;
  virtual Value attribute(Heap& heap, std::string_view name);  // absent when there is none
  virtual bool callable() const { return true; }
  virtual Value call(Heap& heap, Args& args) = 0;
};

class Heap {
 public:
  explicit Heap(const Limits& limits) : limits_(limits) {}
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  const Limits& limits() const { return limits_; }
  /// Counts work; fails when the rendering has done too much of it.
  void charge(uint64_t steps) {
    steps_ += steps;
    if (steps_ > limits_.steps_max) fail_steps();
  }
  /// Counts work on this many bytes of text.
  void charge_bytes(size_t bytes) { charge(bytes / 64 + 1); }
  void reserve(size_t bytes);
  void release(size_t bytes) { bytes_ -= bytes; }

  Value string(std::string text, bool markup = false);
  /// A string of the same sort (plain or markup) as `like`.
  Value string_like(const Value& like, std::string text);
  Value list(std::vector<Value> items) { return sequence(Kind::list, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(Kind::tuple, std::move(items)); }
  Value pair(Value first, Value second);
  Value generator(std::vector<Value> items, const char* type_name = "generator");
  /// A generator of what `compute` appends to its argument. As in Python, where an item is computed when it is asked
  /// for, a failure counts only when the walk gets there.
  template <class Compute>
  Value generate(Compute compute) {
    std::vector<Value> items;
    std::shared_ptr<const Failure> failure;
    try {
      compute(items);
    } catch (const Failure& raised) {
      if (raised.kind == Failure::Kind::limit) throw;
      failure = std::make_shared<const Failure>(raised);
    }
    Value made = generator(std::move(items));
    made.generator().failure = std::move(failure);
    return made;
  }
  /// Later entries replace earlier ones of an equal key. Fails on an unhashable key.
  Value dict(std::vector<std::pair<Value, Value>> entries);
  Value view(ViewObject::What what, const Value& dict);
  Value range(int64_t start, int64_t stop, int64_t step);
  Value ns();
  Value undefined_name(std::string_view name);
  Value undefined_attribute(const Value& owner, const Value& name);
  Value undefined_hint(std::string message);
  Value unsafe_attribute(const Value& owner, std::string_view name);
  Value big_integer(std::string digits);

  /// Takes over a new object: its bytes, and its depth (1 + the depth of what it holds), against the limits.
  template <class T>
  Ref<T> adopt(T* object, size_t bytes, uint32_t depth = 0) {
    Ref<T> owner(object);  // frees the object when a limit is passed here
    check_depth(depth);
    reserve(bytes);
    object->heap = this;
    object->bytes = bytes;
    object->depth = depth;
    return owner;
  }
  /// Keeps the object until the rendering ends and empties it then.
  void keep(Ref<Breakable> object) { breakables_.push_back(std::move(object)); }

  /// Fails when a string of this many bytes would be over the limit: asked before one is built.
  void check_text_size(size_t bytes) const;
  void check_depth(uint32_t depth) const;
  /// Fails when this many more values would not fit the memory: asked before they are gathered.
  void check_items(size_t count) const;

  /// One level of recursion on the C++ stack; fails, as Python does, when there are too many.
  class Level {
   public:
    explicit Level(Heap& heap) : heap_(heap) {
      if (heap.level_ >= heap.limits_.depth_max) fail_level();
      ++heap.level_;
    }
    ~Level() { --heap_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    [[noreturn]] static void fail_level();
    Heap& heap_;
  };

 private:
  [[noreturn]] void fail_steps() const;
  [[noreturn]] void fail_memory() const;
  Value sequence(Kind kind, std::vector<Value> items);

  const Limits limits_;
  uint64_t steps_ = 0;
  size_t bytes_ = 0;
  int level_ = 0;
  std::vector<Ref<Breakable>> breakables_;
};

}  // namespace weir::engine::jinja
