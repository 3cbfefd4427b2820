// How many tokens a call and its answer have where nobody else counted them: by the tokenizer that the configuration
// names for the model, else by that of an engine that serves the same model. At most kTextSampleBytes of each are
// tokenized and the rest is taken to be like them, so that no core is held up. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "config/config.h"
#include "engine/text/tokenizer.h"
#include "gateway/accounting/text_sample.h"
#include "providers/chat.h"

namespace weir::gateway {

/// By what the configuration calls them: a folder or a tokenizer.json.
using Tokenizers = std::map<std::string, std::shared_ptr<const engine::Tokenizer>, std::less<>>;

/// Reads those that the models and targets of a configuration name. Slow. Errors: of the first that cannot be read, its
/// place in the configuration before it.
Result<Tokenizers> load_tokenizers(const config::Config& config);

/// Of all that the sample stands for.
int64_t count_tokens(const engine::Tokenizer& tokenizer, const TextSample& sample);

/// The prompt's text: messages, calls and their results, tools, the form of the answer, and a few tokens a message for
/// the chat template. Images and other media count elsewhere (prompt_size.h); thinking of earlier turns does not count.
int64_t count_prompt_tokens(const engine::Tokenizer& tokenizer, const providers::ChatRequest& request);

}  // namespace weir::gateway
