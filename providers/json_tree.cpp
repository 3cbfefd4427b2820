#include "providers/json_tree.h"

#include <simdjson.h>

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>
#include "config/base/json.h"

#include "providers/json_numbers.h"

namespace weir::providers {
namespace {

namespace dom = simdjson::dom;
using Json = nlohmann::ordered_json;
using Members = std::vector<std::pair<std::string, Json>>;

constexpr size_t kSmallBytesMax = 64 * 1024;  // of what each thread keeps a parser for
constexpr size_t kFewMembers = 16;            // compared with each other sooner than hashed

bool few_and_different(const Members& members) {
  if (members.size() > kFewMembers) return false;
  for (size_t i = 1; i < members.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (members[i].first == members[j].first) return false;
  return true;
}

/// Of several members of one name the last one's value counts, at the place of the first, as in JavaScript.
void drop_repeated(Members& members) {
  if (few_and_different(members)) return;
  std::unordered_map<std::string_view, size_t> first;
  first.reserve(members.size());
  std::vector<uint8_t> repeated(members.size());
  bool any = false;
  for (size_t i = 0; i < members.size(); ++i) {
    const auto [at, fresh] = first.try_emplace(members[i].first, i);
    if (fresh) continue;
    members[at->second].second = std::move(members[i].second);
    repeated[i] = 1;
    any = true;
  }
  if (!any) return;
  size_t kept = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (repeated[i] != 0) continue;
    if (kept != i) members[kept] = std::move(members[i]);
    ++kept;
  }
  members.resize(kept);
}

/// nlohmann's ordered object is a vector that is searched at every insertion; here it is filled once, of a known size.
Json object_of(Members members) {
  drop_repeated(members);
  Json::object_t object;
  object.reserve(members.size());
  for (auto& [name, value] : members) object.emplace_back(std::move(name), std::move(value));
  return Json(std::move(object));
}

Json number(Json read, NumberTexts& written) {
  return written.none() ? read : number_as_written(std::move(read), written.next());
}

/// What nlohmann's parser tells, put together from the leaves up.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(std::string_view written) : written_(written) {}
  Json take() { return std::move(root_); }

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(int64_t v) override { return value(number(v, written_)); }
  bool number_unsigned(uint64_t v) override { return value(number(v, written_)); }
  bool number_float(double v, const std::string&) override { return value(number(v, written_)); }
  bool string(std::string& v) override { return value(std::move(v)); }
  bool binary(binary_t& v) override { return value(std::move(v)); }
  bool start_object(size_t) override { return open(false); }
  bool key(std::string& name) override { return open_.back().members.emplace_back(std::move(name), nullptr), true; }
  bool end_object() override {
    Json object = object_of(std::move(open_.back().members));
    open_.pop_back();
    return value(std::move(object));
  }
  bool start_array(size_t) override { return open(true); }
  bool end_array() override {
    Json array(std::move(open_.back().elements));
    open_.pop_back();
    return value(std::move(array));
  }
  bool parse_error(size_t, const std::string&, const Json::exception&) override { return false; }

 private:
  struct Open {  // an object or array whose end has not come
    bool is_array = false;
    Members members;
    Json::array_t elements;
  };

  bool open(bool is_array) {
    if (open_.size() >= kJsonDepthMax) return false;
    open_.emplace_back().is_array = is_array;
    return true;
  }
  bool value(Json v) {
    if (open_.empty())
      root_ = std::move(v);
    else if (open_.back().is_array)
      open_.back().elements.push_back(std::move(v));
    else
      open_.back().members.back().second = std::move(v);
    return true;
  }

  NumberTexts written_;
  std::vector<Open> open_;
  Json root_;
};

/// Of a text that is JSON, so that nothing here can fail; as deep as simdjson reads, 1,024.
Json tree_of(const dom::element& element, NumberTexts& written) {  // NOLINT(misc-no-recursion)
  switch (element.type()) {
    case dom::element_type::OBJECT: {
      const dom::object from = element;
      Members members;
      members.reserve(from.size());
      for (const dom::key_value_pair member : from) members.emplace_back(member.key, tree_of(member.value, written));
      return object_of(std::move(members));
    }
    case dom::element_type::ARRAY: {
      const dom::array from = element;
      Json::array_t elements;
      elements.reserve(from.size());
      for (const dom::element one : from) elements.push_back(tree_of(one, written));
      return Json(std::move(elements));
    }
    case dom::element_type::STRING:
      return std::string(std::string_view(element));
    case dom::element_type::INT64: {
      const int64_t v = element;
      return number(v < 0 ? Json(v) : Json(static_cast<uint64_t>(v)), written);  // as nlohmann has them
    }
    case dom::element_type::UINT64:
      return number(uint64_t(element), written);
    case dom::element_type::DOUBLE:
      return number(double(element), written);
    case dom::element_type::BOOL:
      return bool(element);
    default:
      return nullptr;
  }
}

/// False: it is long, or no JSON, or holds a number or a depth that simdjson does not.
bool read_small(std::string_view text, std::string_view written, Json& tree) {
  if (text.empty() || text.size() > kSmallBytesMax) return false;
  static thread_local dom::parser parser;
  dom::element root;
  if (parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS) return false;
  NumberTexts numbers(written);
  tree = tree_of(root, numbers);
  return true;
}

}  // namespace

Json json_tree(std::string_view text, std::string_view written) {
  Json tree;
  if (read_small(text, written, tree)) return tree;
  Builder builder(written);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) return Json(Json::value_t::discarded);
  return builder.take();
}

}  // namespace weir::providers
