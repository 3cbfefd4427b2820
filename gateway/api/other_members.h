// What a client wrote in a message, a part or an item beside the members that its protocol's decoder reads. Nothing of
// it vanishes: what a client says is kept by its place, and a codec of another protocol refuses it (or, told to, leaves
// it out); what a model said and a client gives back with the next turn is named, and refuses nothing, for official
// clients give back whatever an answer held. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "providers/chat.h"

namespace weir::gateway {

/// Whose words an object is: a client's own, or an answer's that comes back.
enum class Author : uint8_t { client, model };
inline Author author_of(providers::Role role) {
  return role == providers::Role::assistant ? Author::model : Author::client;
}

/// The mistake of a body that is no object, or one with more fields (1,024) than are meant.
std::optional<Error> no_request(const providers::Json& body);

/// Puts `value` into `out.unmodelled` by its place, unless that holds as many as anybody reads (1,024, half of them
/// hints): the request is refused, or answered without all of them, as it is. For names that a client makes up, and
/// places that may be many.
void keep_unmodelled(const std::string& name, const providers::Json& value, providers::ChatRequest& out);

/// Puts the members of `in`, which stands at `where` ("messages[2].content[0]"), that are none of `known` into
/// `out.unmodelled`: a client's as "messages[2].content[0].NAME", a model's as the hint "messages.NAME", once for all
/// turns (Refusals::unmodelled). Ids, states, logprobs and empty values say nothing, nor does a model's false.
void keep_others(const providers::Json& in, Author author, const std::string& where,
                 std::initializer_list<std::string_view> known, providers::ChatRequest& out);

/// A wish of OpenAI's prompt_cache_options that is no hint: to fill the cache and answer nothing.
void keep_prewarm(const providers::Json& body, providers::ChatRequest& out);

/// OpenAI's prompt_cache_breakpoint of a part as the mark that Anthropic writes; null: there is none.
providers::Json cache_of_breakpoint(const providers::Json& part);

}  // namespace weir::gateway
