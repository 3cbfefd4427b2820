// What one provider alone can say, kept whole where an answer goes to clients of another protocol: a tool that it ran
// itself, and what came of it. An item names its family before its type, as the Open Responses specification asks of
// items that are an implementor's own (https://www.openresponses.org/specification, "Extending Open Responses"):
// {"type": "anthropic:server_tool_use", "item": {…}}, the item being what the provider wrote. Sent back to that family
// it is that again. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "providers/chat.h"

namespace weir::providers {

/// What Refusals::leave_out() calls items that this upstream did not make.
inline constexpr std::string_view kItemsOfOthers = "messages.provider_items";

/// What a tool that a provider ran itself is told, or says, at most.
inline constexpr size_t kNativeItemBytesMax = 16U << 20;

/// `family`: "anthropic", "gemini", "bedrock".
inline Json native_item(std::string_view family, std::string_view type, Json item) {
  std::string named(family);
  named.append(":").append(type);
  return {{"type", std::move(named)}, {"item", std::move(item)}};
}

inline ChatEvent native_event(std::string_view family, std::string_view type, Json item) {
  ChatEvent event;
  event.kind = ChatEvent::Kind::native;
  event.native = native_item(family, type, std::move(item));
  return event;
}

/// Whether `json` has an item's form.
inline bool is_native_item(const Json& json) {
  if (!json.is_object()) return false;
  const auto type = json.find("type");
  const auto item = json.find("item");
  return type != json.end() && type->is_string() && item != json.end() && item->is_object() &&
         type->get_ref<const std::string&>().find(':') != std::string::npos;
}

/// The part that stands for an item in the messages of a call. REQUIRES: is_native_item(item).
inline Part native_part(const Json& item) {
  Part part;
  part.kind = Part::Kind::native;
  part.native = {{"type", item["type"]}, {"item", item["item"]}};
  return part;
}

/// What the provider wrote, where it is of `family`; null otherwise.
inline Json item_of_family(const Json& item, std::string_view family) {
  if (!is_native_item(item)) return nullptr;
  const std::string_view type = item["type"].get_ref<const std::string&>();
  return type.starts_with(family) && type.substr(family.size()).starts_with(":") ? item["item"] : Json(nullptr);
}

/// An item as a signature of a thought in Gemini's protocol, whose official clients drop parts and fields that they do
/// not know, and give signatures back: base64 of "weir-item:…".
std::string item_signature(const Json& item);
/// Null where `signature` is none that item_signature() made.
Json item_of_signature(std::string_view signature);

struct OwnItems {
  std::string json;
  bool left_out = false;  // items of others were taken out
};
/// A body that passes to an upstream of its own protocol, with the items of `family` as that wrote them and without
/// those of others, which it would refuse. Unset: it has none. Where CallBody::items is false there is nothing to look
/// for.
std::optional<OwnItems> with_own_items(std::string_view json, Protocol protocol, std::string_view family);

}  // namespace weir::providers
