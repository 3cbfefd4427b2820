#include "engine/generate.h"

#include <chrono>
#include <memory>
#include <semaphore>
#include <utility>

#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {

Result<Generated> generate(Engine& engine, GenerateRequest request,
                           const std::function<bool(std::string_view)>& on_text) {
  auto stream = engine.submit(std::move(request));
  if (!stream) return std::move(stream).error();
  Generated result;
  // Shared with the waker: the engine thread may still be inside it when this function has what it needs.
  const auto woken = std::make_shared<std::binary_semaphore>(0);
  while (true) {
    auto piece = (*stream)->pull();
    if (!piece) {
      (*stream)->notify([woken] { woken->release(); });
      woken->acquire();
      continue;
    }
    result.text += piece->text;
    result.token_ids.insert(result.token_ids.end(), piece->token_ids.begin(), piece->token_ids.end());
    for (TokenLogprob& logprob : piece->logprobs) result.logprobs.push_back(std::move(logprob));
    if (piece->error) return *std::move(piece->error);
    const bool go_on = !on_text || piece->text.empty() || on_text(piece->text);
    if (!piece->finish && go_on) continue;
    result.finish = piece->finish.value_or(Finish::cancelled);
    result.usage = (*stream)->usage();
    return result;
  }
}

Result<std::vector<TokenId>> chat_prompt(const Engine& engine, const std::string& user, const std::string& system) {
  if (!engine.chat_template()) {
    return Error{.kind = ErrorKind::not_found,
                 .source = "engine",
                 .detail = "the model has no chat template: give the prompt as it is (--raw)"};
  }
  auto messages = nlohmann::ordered_json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", user}});
  ChatTemplate::Context context{.messages = messages};
  context.bos_token = engine.tokenizer()->bos_token();
  context.eos_token = engine.tokenizer()->eos_token();
  context.now = std::chrono::system_clock::now();
  auto text = engine.chat_template()->render(context);
  if (!text) return std::move(text).error();
  return engine.tokenizer()->encode(*text, {.parse_special = true, .add_special = false});
}

}  // namespace weir::engine
