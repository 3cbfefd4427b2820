#include "providers/native_item.h"

#include <algorithm>
#include <utility>

#include "providers/anthropic.h"
#include "providers/base64.h"
#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/refusals.h"

namespace weir::providers {
namespace {

constexpr std::string_view kSigned = "weir-item:";

/// The item that stands for `one`: itself, its providerItem, or what its signature says; null: it is something else.
Json item_in(const Json& one, bool gemini) {
  if (!gemini) return is_native_item(one) ? one : Json(nullptr);
  if (const Json* item = member_of(one, "providerItem"); item != nullptr && is_native_item(*item)) return *item;
  return item_of_signature(text_of(one, "thoughtSignature"));
}

/// What becomes of the items of one body.
class Items {
 public:
  explicit Items(std::string_view family) : family_(family) {}
  bool changed() const { return changed_; }
  bool left_out() const { return left_out_; }

  /// A list without the elements that are items; those of the family stay, as it wrote them.
  void sift(Json& list, bool gemini = false) {
    if (!list.is_array()) return;
    Json kept = Json::array();
    for (Json& one : list) {
      const Json item = item_in(one, gemini);
      if (item.is_null()) {
        kept.push_back(std::move(one));
        continue;
      }
      changed_ = true;
      if (Json own = item_of_family(item, family_); own.is_null())
        left_out_ = true;
      else
        kept.push_back(std::move(own));
    }
    list = std::move(kept);
  }

  /// The same in `key` of each of `turns`; a turn of which nothing is left goes.
  void sift_turns(Json& turns, const char* key, bool gemini = false) {
    if (!turns.is_array()) return;
    Json kept = Json::array();
    for (Json& turn : turns) {
      const bool has = array_of(turn, key) != nullptr && !turn[key].empty();
      if (has) sift(turn[key], gemini);
      if (!has || !turn[key].empty()) kept.push_back(std::move(turn));
    }
    turns = std::move(kept);
  }

  /// Chat's upstreams have no items of their own.
  void erase_from(Json& messages) {
    if (!messages.is_array()) return;
    for (Json& message : messages) {
      if (!message.is_object() || message.erase("provider_items") == 0) continue;
      changed_ = left_out_ = true;
      // Items alone: an assistant's turn must say something, if nothing.
      if (member_of(message, "content") == nullptr && array_of(message, "tool_calls") == nullptr)
        message["content"] = "";
    }
  }

 private:
  std::string_view family_;
  bool changed_ = false;
  bool left_out_ = false;
};

}  // namespace

std::string item_signature(const Json& item) {
  return encode_base64(std::string(kSigned) + json_text(item));
}

Json item_of_signature(std::string_view signature) {
  std::string plain(signature);  // Google's clients write base64 for URLs
  std::replace(plain.begin(), plain.end(), '-', '+');
  std::replace(plain.begin(), plain.end(), '_', '/');
  std::string text;
  if (!plain.starts_with("d2Vpci1pdGVtO") || !decode_base64(plain, text) || !text.starts_with(kSigned)) return nullptr;
  Json item = parse_written(std::string_view(text).substr(kSigned.size()));
  return is_native_item(item) ? item : Json(nullptr);
}

std::optional<OwnItems> with_own_items(std::string_view json, Protocol protocol, std::string_view family) {
  Json body = parse_written(json);
  if (!body.is_object()) return {};
  Items items(family);
  const auto of = [&](const char* key) -> Json& { return body.contains(key) ? body[key] : body; };
  if (protocol == Protocol::openai_chat) items.erase_from(of("messages"));
  if (protocol == Protocol::openai_responses) items.sift(of("input"));
  if (speaks_anthropic(protocol)) items.sift_turns(of("messages"), "content");
  if (protocol == Protocol::gemini_generate) items.sift_turns(of("contents"), "parts", true);
  if (!items.changed()) return {};
  return OwnItems{json_text(body), items.left_out()};
}

}  // namespace weir::providers
