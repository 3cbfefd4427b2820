// `previous_response_id` and `store` of /v1/responses, between a call's bytes and the store. An id that begins with
// "resp_weir_" is an answer of ours: the conversation behind it is written out into the call's `input` before anything
// else looks at it, so that pass-through, translation, estimates and limits see an ordinary call. Any other id is some
// upstream's own and stays in the body: an upstream that speaks Responses resolves it, any other refuses it. Pure but
// for the store; the request's core.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/response_store.h"

namespace weir::gateway {

bool is_own_response_id(std::string_view id);

/// A call that goes on from a stored answer.
struct ContinuedCall {
  std::string body;         // the client's, with the conversation in its `input` and previous_response_id null
  std::string previous_id;  // for AnswerContext::previous_id and stored_turn()
};

/// Before mark(): nothing where `body` names no answer of ours (or is not JSON, which mark() will say). `store` may be
/// null: then none is found. Errors: previous_response_not_found (400), request_too_large (413), the database's.
Result<std::optional<ContinuedCall>> continue_call(ResponseStore* store, std::string_view key, std::string_view body,
                                                   WallTime now);

/// What put() takes once an answer was encoded by us: `answer` is the whole body, or the text that
/// AnswerEncoder::final() wrote. `body` is the client's own, before continue_call(). Nothing where the client said
/// store: false, or the answer is not one of ours.
std::optional<StoredResponse> stored_turn(std::string_view key, std::string_view body, std::string_view previous_id,
                                          std::string_view answer);

}  // namespace weir::gateway
