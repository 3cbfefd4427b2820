#include "providers/refusals.h"

namespace weir::providers {
namespace {

void append_name(std::string& list, std::string_view name) {
  if (!list.empty()) list += ",";
  list += name;
}

}  // namespace

Refusals::Refusals(const config::AccountConfig& account) : drop_(account.drop_params) {}

void Refusals::cannot_say(std::string_view field) {
  append_name(drop_ ? dropped_ : refused_, field);
}

void Refusals::must_say(std::string_view field, std::string_view why) {
  if (why_.empty()) why_ = why;
  append_name(refused_, field);
}

void Refusals::unmodelled(const ChatRequest& request) {
  for (const auto& [name, value] : request.unmodelled.items()) cannot_say(name);
}

Result<void> Refusals::finish(std::string_view upstream, EncodedCall& out) {
  if (refused_.empty()) {
    out.dropped = std::move(dropped_);
    return {};
  }
  std::string detail = std::string(upstream) + " cannot be told: " + refused_;
  if (!why_.empty())
    detail += " (" + why_ + ")";
  else
    detail += "; leave it out, or set drop_params: true on the account";
  Error error{ErrorKind::bad_request, "gateway", Retry::other_target, 400, std::move(detail), "unsupported_parameter"};
  error.param = refused_.substr(0, refused_.find(','));
  return error;
}

}  // namespace weir::providers
