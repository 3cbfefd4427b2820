// What a request may cost before it is sent: how many tokens its prompt is likely to have, and what prompt and output
// may come to. Pure. The charge after the fact is config::charge().
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/prices.h"
#include "providers/body.h"

namespace weir::gateway {

/// Output allowance of a model whose maximum nobody told us.
inline constexpr int64_t kOutputTokensMaxUnknown = 16'384;
/// Tokens that one image or base64 blob in a body counts for: its bytes, or its address, say nothing about its tokens.
inline constexpr int64_t kBlobTokens = 2'000;

/// About how many prompt tokens a JSON body has, rather too many than too few: a token for three ASCII bytes and one
/// for two others, over the whole body with its quotes and names, and 8 more. English and code are 3.5 to 4.5 bytes a
/// token, CJK 2 to 4, digits and base64 text 2 to 3; the JSON around each message (≥ 30 bytes) pays for the template's
/// 3 to 8 tokens. Base64 blobs of 1 KiB and more and images by address count kBlobTokens each. Checked against recorded
/// usage in tests/gateway.
int64_t estimate_prompt_tokens(std::string_view body);

/// The same for a call of any protocol, in what its model's price list counts: characters of speech, searches of a
/// rerank (one for up to 100 documents), else tokens. Audio to be transcribed is taken for as many seconds as its bytes
/// give at 2 KB/s, and for at least 10 tokens a second.
int64_t estimate_input(const providers::CallBody& body);

/// About how many tokens a text that a model wrote has (for streams that broke before their usage chunk): bytes / 3.
int64_t estimate_output_tokens(uint64_t text_bytes);

/// What a request asks for.
struct Ask {
  config::Price price;
  int64_t prompt_tokens = 0;                 // known or estimated; all at the dearest of the input prices
  std::optional<int64_t> max_tokens;         // as the client set it, a choice
  std::optional<int64_t> output_tokens_max;  // the model's maximum, a choice; unset: price's, else the constant above
  int64_t choices = 1;                       // `n`
};

/// Money for the ask: `most` for all it may use, `least` for the smallest use that makes sense (all of an explicit
/// max_tokens; else one token a choice).
struct AskBounds {
  NanoUsd least;
  NanoUsd most;
};
AskBounds bounds(const Ask& ask);

/// Output tokens a choice that `amount` buys once the prompt is paid; 0 if it does not pay for the prompt and one
/// token; at most the ask's own maximum.
int64_t output_tokens_for(const Ask& ask, NanoUsd amount);

/// The ask's maximum of output tokens a choice: max_tokens, else the model's, else kOutputTokensMaxUnknown.
int64_t output_tokens_max(const Ask& ask);

}  // namespace weir::gateway
