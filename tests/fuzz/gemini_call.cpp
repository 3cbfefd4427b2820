// generateContent as a client's call: decoded, and encoded for every upstream.
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::Protocol;

void run(std::string_view input) {
  check_call(Protocol::gemini_generate, input);
}

}  // namespace

const Target kGeminiCall{
    "gemini_call",
    run,
    {R"({"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"AA=="}},{"fileData":{"fileUri":"gs://x"}}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"c2ln"}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"y":2}}}]}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object"}}]},{"googleSearch":{}}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},"generationConfig":{"temperature":1,"topP":0.5,"topK":3,"maxOutputTokens":9,"stopSequences":["x"],"responseMimeType":"application/json","responseSchema":{"type":"OBJECT"},"thinkingConfig":{"thinkingBudget":-1,"includeThoughts":true},"candidateCount":1,"seed":3},"safetySettings":[],"cachedContent":"c"})",
     R"({"contents":[{"parts":[{"text":"a"}]}]})"},
    {"wire/best/gemini/*.request.json", "wire/best/vertex/*.request.json"}};

}  // namespace weir::fuzz
