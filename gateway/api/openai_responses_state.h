// `previous_response_id` and `store` of /v1/responses, between a call and the store. An answer that we encoded is ours:
// the conversation behind its id is written out into the call's `input` before anything else looks at it, so that
// pass-through, translation, estimates and limits see an ordinary call. So is one that passed through from an upstream
// that keeps none; any other belongs to the account that made it: its id stays in the body, and the call goes to that
// account and no other. Either way a key can go on only from its own answers. Pure but for the store; the request's
// core.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/response_store.h"
#include "providers/body.h"

namespace weir::gateway {

/// A call that goes on from a stored answer.
struct ContinuedCall {
  providers::CallBody call;  // the client's own
  std::string previous_id;   // for AnswerContext::previous_id and stored_turn()
  std::string body;  // with the conversation in its `input` and previous_response_id null. Empty: the client's as it is
  std::string account;      // the upstream account that holds the conversation; empty: `body` does
  int64_t held_tokens = 0;  // of what that account holds, by its own word; 0: it said nothing
};

/// What the items of a call's input that only name another (item_reference) stand for.
struct ReferredItems {
  std::string body;         // with those in their place that we hold; empty: the client's as it is
  std::string account;      // the upstream account that holds the others; empty: there are none
  int64_t held_tokens = 0;  // of the answers that have those
};

/// Errors: item_not_found (404) where an item is none of this key's, bad_request where two accounts hold them, the
/// database's. `store` may be null: then none is found.
Result<ReferredItems> refer_to_items(ResponseStore* store, std::string_view key, const providers::CallBody& call,
                                     WallTime now);

/// Nothing where the call names no answer. `store` may be null: then none is found. Errors: previous_response_not_found
/// (400), request_too_large (413), the database's.
Result<std::optional<ContinuedCall>> continue_call(ResponseStore* store, std::string_view key,
                                                   const providers::CallBody& call, WallTime now);

/// What put() takes once an answer is complete: `answer` is the whole body, or the last events of a stream. `call` is
/// the client's own, `account` the upstream's that keeps the answer, empty where we hold it. Nothing where the
/// client said store: false, or the answer has no id or did not come to its end.
std::optional<StoredResponse> stored_turn(std::string_view key, const providers::CallBody& call,
                                          std::string_view previous_id, std::string_view account,
                                          std::string_view answer);

}  // namespace weir::gateway
