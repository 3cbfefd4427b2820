// An encoder behind engine.h: what other threads call, over the loop that its thread runs (encoder_loop.h).
#pragma once

#include <memory>

#include "config/config.h"
#include "engine/engine.h"
#include "engine/model/encoder.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {

/// Errors (config): a quantization, or a context that the model has not; no thread; a tokenizer of more tokens than the
/// model has.
Result<std::unique_ptr<Engine>> make_encoder_engine(const config::EngineConfig& config,
                                                    std::shared_ptr<const EncoderModel> model,
                                                    std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace weir::engine
