#include "engine/text/jinja/objects.h"

#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <cassert>

namespace weir::engine::jinja {
namespace {

constexpr size_t kIndexedFrom = 9;  // a dict with fewer keys is searched faster without an index

uint32_t depth_of(const Value& value) {
  return value.is_object() ? value.raw()->depth : 0;
}

uint32_t depth_around(const std::vector<Value>& items) {
  uint32_t deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, depth_of(item));
  return deepest + 1;
}

}  // namespace

void retain(Object* object) {
  ++object->references;
}

void release(Object* object) {
  if (--object->references > 0) return;
  if (object->heap) object->heap->release(object->bytes);
  delete object;
}

const std::string& Value::text() const {
  return string().text;
}
const StringObject& Value::string() const {
  return static_cast<const StringObject&>(*bits_.object);
}
const SequenceObject& Value::sequence() const {
  return static_cast<const SequenceObject&>(*bits_.object);
}
SequenceObject& Value::generator() const {
  return static_cast<SequenceObject&>(*bits_.object);
}
const DictObject& Value::dict() const {
  return static_cast<const DictObject&>(*bits_.object);
}
const ViewObject& Value::view() const {
  return static_cast<const ViewObject&>(*bits_.object);
}
const RangeObject& Value::range() const {
  return static_cast<const RangeObject&>(*bits_.object);
}
NamespaceObject& Value::ns() const {
  return static_cast<NamespaceObject&>(*bits_.object);
}
NativeObject& Value::native() const {
  return static_cast<NativeObject&>(*bits_.object);
}
const UndefinedObject& Value::undefined() const {
  return static_cast<const UndefinedObject&>(*bits_.object);
}

const Value* DictObject::find(std::string_view key) const {
  if (!index.empty()) {
    const auto found = index.find(key);
    return found == index.end() ? nullptr : &entries[found->second].second;
  }
  heap->charge(entries.size() / 16);
  for (const auto& [name, value] : entries)
    if (name.is(Kind::string) && name.text() == key) return &value;
  return nullptr;
}

const Value* DictObject::find(const Value& key) const {
  if (key.is(Kind::string)) return find(std::string_view(key.text()));
  heap->charge(entries.size());
  for (const auto& [name, value] : entries)
    if (!name.is(Kind::string) && equal(*heap, name, key)) return &value;
  return nullptr;
}

const Value* NamespaceObject::find(std::string_view name) const {
  heap->charge(members.size() / 16);
  for (const auto& [key, value] : members)
    if (key == name) return &value;
  return nullptr;
}

void NamespaceObject::set(std::string_view name, Value value) {
  if (const Value* old = find(name)) {
    *const_cast<Value*>(old) = std::move(value);
    return;
  }
  const size_t size = sizeof(members[0]) + name.size();
  heap->reserve(size);
  bytes += size;
  members.emplace_back(std::string(name), std::move(value));
}

std::string UndefinedObject::message() const {
  switch (why) {
    case Why::name:
      return quote(subject) + " is undefined";
    case Why::attribute:
      return "'" + owner + "' has no attribute " + quote(subject);
    case Why::item:
      return owner + " has no element " + subject;
    case Why::unsafe:
      return "access to attribute '" + subject + "' of '" + owner + "' object is unsafe.";
    case Why::hint:
      break;
  }
  return subject;
}

std::string NativeObject::repr() const {
  return "<" + std::string(type_name()) + " object>";
}
Value NativeObject::attribute(Heap&, std::string_view) {
  return {};
}

Heap::~Heap() {
  for (const Ref<Breakable>& object : breakables_) object->clear();
  breakables_.clear();
  assert(bytes_ == 0 && "a value outlives its heap");
}

void Heap::fail_steps() const {
  fail_limit("the template did more than steps_max = " + std::to_string(limits_.steps_max) + " steps of work");
}

void Heap::Level::fail_level() {
  fail("RecursionError", "maximum recursion depth exceeded");
}

void Heap::fail_memory() const {
  fail_limit("the template needs more than memory_bytes_max = " + std::to_string(limits_.memory_bytes_max) +
             " bytes at one time");
}

void Heap::reserve(size_t bytes) {
  if (bytes > limits_.memory_bytes_max - bytes_) fail_memory();
  bytes_ += bytes;
}

void Heap::check_items(size_t count) const {
  if (count > (limits_.memory_bytes_max - bytes_) / sizeof(Value)) fail_memory();
}

void Heap::check_text_size(size_t bytes) const {
  if (bytes > limits_.output_bytes_max)
    fail_limit("the template makes a text over output_bytes_max = " + std::to_string(limits_.output_bytes_max) +
               " bytes");
}

void Heap::check_depth(uint32_t depth) const {
  if (depth > static_cast<uint32_t>(limits_.nesting_max))
    fail_limit("values are nested deeper than nesting_max = " + std::to_string(limits_.nesting_max));
}

Value Heap::string(std::string text, bool markup) {
  check_text_size(text.size());
  charge_bytes(text.size());
  auto object = adopt(new StringObject, sizeof(StringObject) + text.size());
  object->ascii = is_ascii(text);
  object->markup = markup;
  object->text = std::move(text);
  return Value::object(Kind::string, object.get());
}

Value Heap::string_like(const Value& like, std::string text) {
  return string(std::move(text), like.is(Kind::string) && like.string().markup);
}

Value Heap::big_integer(std::string digits) {
  auto object = adopt(new StringObject, sizeof(StringObject) + digits.size());
  object->text = std::move(digits);
  return Value::object(Kind::big_integer, object.get());
}

Value Heap::sequence(Kind kind, std::vector<Value> items) {
  charge(items.size() / 4 + 1);
  const uint32_t depth = depth_around(items);
  auto object = adopt(new SequenceObject, sizeof(SequenceObject) + items.size() * sizeof(Value), depth);
  object->items = std::move(items);
  return Value::object(kind, object.get());
}

Value Heap::pair(Value first, Value second) {
  std::vector<Value> items;
  items.reserve(2);
  items.push_back(std::move(first));
  items.push_back(std::move(second));
  return tuple(std::move(items));
}

Value Heap::generator(std::vector<Value> items, const char* type_name) {
  Value made = sequence(Kind::generator, std::move(items));
  made.generator().type_name = type_name;
  return made;
}

Value Heap::dict(std::vector<std::pair<Value, Value>> entries) {
  charge(entries.size() + 1);
  uint32_t deepest = 0;
  for (const auto& [key, value] : entries) {
    check_hashable(*this, key);
    deepest = std::max({deepest, depth_of(key), depth_of(value)});
  }
  const size_t bytes = sizeof(DictObject) + entries.size() * (2 * sizeof(Value) + 48);
  auto object = adopt(new DictObject, bytes, deepest + 1);
  object->entries.reserve(entries.size());
  const bool indexed = entries.size() >= kIndexedFrom;
  for (auto& [key, value] : entries) {
    if (const Value* old = object->find(key)) {
      *const_cast<Value*>(old) = std::move(value);
      continue;
    }
    object->entries.emplace_back(std::move(key), std::move(value));
    const Value& kept = object->entries.back().first;
    if (indexed && kept.is(Kind::string)) object->index.emplace(kept.text(), object->entries.size() - 1);
  }
  return Value::object(Kind::dict, object.get());
}

Value Heap::view(ViewObject::What what, const Value& dict) {
  auto object = adopt(new ViewObject, sizeof(ViewObject), depth_of(dict) + 1);
  object->what = what;
  object->dict = dict;
  return Value::object(Kind::view, object.get());
}

Value Heap::range(int64_t start, int64_t stop, int64_t step) {
  if (step == 0) fail("ValueError", "range() arg 3 must not be zero");
  const __int128 span = step > 0 ? __int128{stop} - start : __int128{start} - stop;
  const __int128 stride = step > 0 ? __int128{step} : -__int128{step};
  const __int128 size = span <= 0 ? 0 : (span + stride - 1) / stride;
  if (size > limits_.range_items_max)
    fail("OverflowError", "Range too big. The sandbox blocks ranges larger than MAX_RANGE (" +
                              std::to_string(limits_.range_items_max) + ").");
  auto object = adopt(new RangeObject, sizeof(RangeObject));
  object->start = start;
  object->stop = stop;
  object->step = step;
  object->size = static_cast<int64_t>(size);
  return Value::object(Kind::range, object.get());
}

Value Heap::ns() {
  auto object = adopt(new NamespaceObject, sizeof(NamespaceObject));
  keep(Ref<Breakable>(object.get()));
  return Value::object(Kind::ns, object.get());
}

Value Heap::undefined_name(std::string_view name) {
  auto object = adopt(new UndefinedObject, sizeof(UndefinedObject));
  object->subject = name;
  return Value::object(Kind::undefined, object.get());
}

Value Heap::undefined_attribute(const Value& owner, const Value& name) {
  auto object = adopt(new UndefinedObject, sizeof(UndefinedObject));
  const bool named = name.is(Kind::string);
  object->why = named ? UndefinedObject::Why::attribute : UndefinedObject::Why::item;
  object->subject = named ? name.text() : repr(*this, name);
  object->owner = qualified_type_name(owner);
  return Value::object(Kind::undefined, object.get());
}

Value Heap::undefined_hint(std::string message) {
  auto object = adopt(new UndefinedObject, sizeof(UndefinedObject));
  object->why = UndefinedObject::Why::hint;
  object->subject = std::move(message);
  return Value::object(Kind::undefined, object.get());
}

Value Heap::unsafe_attribute(const Value& owner, std::string_view name) {
  auto object = adopt(new UndefinedObject, sizeof(UndefinedObject));
  object->why = UndefinedObject::Why::unsafe;
  object->subject = name;
  object->owner = type_name(owner);
  return Value::object(Kind::undefined, object.get());
}

}  // namespace weir::engine::jinja
