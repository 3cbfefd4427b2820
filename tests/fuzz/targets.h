// Every fuzz target by name, one a file of this folder: what the table in fuzz.cpp and libfuzzer.cpp choose from.
#pragma once

#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {

extern const Target kSse, kEventStream, kHttpHead, kHttpChunks, kMultipart;                    // framing
extern const Target kMarks;                                                                    // body marking
extern const Target kOpenAiReply, kAnthropicReply, kGeminiReply, kBedrockReply, kCohereReply;  // codecs' decoders
extern const Target kPassedReply, kErrorReply;                                                 // answers that pass
extern const Target kChatCall, kCompletionsCall, kResponsesCall, kMessagesCall, kGeminiCall, kUnaryCall;  // client APIs
extern const Target kLoadConfig;                                                        // configuration
extern const Target kChatTemplate, kToolCalls, kTokenizer, kSafetensors, kModelConfig;  // model files
extern const Target kGrammar;                                                           // the form of an answer

}  // namespace weir::fuzz
