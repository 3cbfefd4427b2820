// What the targets of codecs and client protocols share: the two oracles, of answers and of calls. What an attempt
// needs (an account for each provider, a core, no network) is inside.
#pragma once

#include <string_view>

#include "providers/protocol.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {

/// The oracle of every codec's decoder, for an answer of `provider` to a call in `protocol`: the input as a stream at
/// once and in pieces is the same answer, what comes out stays in proportion to what went in, and neutral events can be
/// told in the client's protocol, as JSON. The same of the input as a whole body.
void check_reply(std::string_view provider, providers::Protocol protocol, std::string_view model,
                 std::string_view input);

/// The oracle of answers that are no 2xx: every codec classifies them, and the error can be told to a client.
void check_error(int status, std::string_view header, std::string_view body);

/// The oracle of every client protocol: a body that is marked is JSON; what decodes is encoded for every upstream, to
/// JSON; an error can be told to the client.
void check_call(providers::Protocol protocol, std::string_view json);

/// The protocol of a client that generates chat: which, hangs on the input.
providers::Protocol client_of(std::string_view input);

/// Whether it is JSON text, in the judgement of a parser that is none of ours.
bool is_json(std::string_view text);

}  // namespace weir::fuzz
