// The in-process engine as a provider: chat template, tokenizer, one engine sequence a choice; tokens come back as
// neutral events. Dropping the reply drops the engine's streams, which aborts their sequences at once.
#include <algorithm>
#include <atomic>
#include <random>
#include <utility>

#include "engine/engine.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "providers/net/event.h"
#include "providers/provider.h"

namespace weir::providers {
namespace {

Error refused(std::string param, std::string detail) {
  Error error{ErrorKind::bad_request, "engine", Retry::no, 400, std::move(detail), "invalid_request_error"};
  error.param = std::move(param);
  return error;
}

std::string_view role_name(Role role) {
  switch (role) {
    case Role::system:
      return "system";
    case Role::developer:
      return "system";  // templates know no developer
    case Role::user:
      return "user";
    case Role::assistant:
      return "assistant";
    case Role::tool:
      return "tool";
  }
  return "user";
}

/// The messages as chat templates expect them: text as a string, tool arguments as objects.
Result<Json> template_messages(const ChatRequest& request) {
  Json messages = Json::array();
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const Message& message = request.messages[i];
    for (const Part& part : message.parts)
      if (part.kind == Part::Kind::image || part.kind == Part::Kind::audio || part.kind == Part::Kind::file)
        return refused("messages[" + std::to_string(i) + "].content", "this model takes text parts only");
    Json out = {{"role", role_name(message.role)}, {"content", message.text()}};
    if (!message.name.empty()) out["name"] = message.name;
    if (!message.tool_call_id.empty()) out["tool_call_id"] = message.tool_call_id;
    for (const ToolCall& call : message.tool_calls()) {
      Json arguments = Json::parse(call.arguments, nullptr, false);
      if (arguments.is_discarded()) arguments = call.arguments;
      out["tool_calls"].push_back(
          {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", arguments}}}});
    }
    messages.push_back(std::move(out));
  }
  return messages;
}

/// What the engine cannot do is refused, never ignored.
Result<void> check_supported(const ChatRequest& request) {
  if (!request.tools.empty() && request.tool_choice.kind != ToolChoice::Kind::none)
    return refused("tools",
                   "this model runs in the local engine, which does not call tools in this version; leave tools out");
  if (request.response_format.kind != ResponseFormat::Kind::text)
    return refused("response_format",
                   "this model runs in the local engine, which does not constrain its output in this version; ask for "
                   "JSON in the prompt");
  if (request.n > 16)
    return refused("n", "n: this model gives at most 16 choices, asked for " + std::to_string(request.n));
  return {};
}

engine::GenerateRequest generate_request(const ChatRequest& request, const Attempt& attempt,
                                         const engine::Engine& engine, int32_t choice) {
  engine::GenerateRequest out;
  auto& sampling = out.sampling;
  sampling.temperature = static_cast<float>(request.temperature.value_or(1.0));
  sampling.top_p = static_cast<float>(request.top_p.value_or(1.0));
  sampling.top_k = request.top_k.value_or(0);
  sampling.min_p = static_cast<float>(request.min_p.value_or(0.0));
  sampling.presence_penalty = static_cast<float>(request.presence_penalty.value_or(0.0));
  sampling.frequency_penalty = static_cast<float>(request.frequency_penalty.value_or(0.0));
  sampling.repetition_penalty = static_cast<float>(request.repetition_penalty.value_or(1.0));
  sampling.seed =
      request.seed ? static_cast<uint64_t>(*request.seed) + static_cast<uint64_t>(choice) : std::random_device{}();
  if (request.logprobs) sampling.logprobs = request.top_logprobs;
  for (const auto& [token, bias] : request.logit_bias)
    sampling.logit_bias.emplace_back(token, static_cast<float>(bias));
  const int64_t wanted = std::min({request.output_tokens_max.value_or(engine.context_tokens()),
                                   attempt.output_tokens_cap.value_or(INT32_MAX), int64_t{INT32_MAX}});
  out.stop.output_tokens_max = static_cast<int32_t>(std::max<int64_t>(wanted, 1));
  out.stop.strings = request.stop;
  out.stop.token_ids = engine.eos_ids();
  out.stop.ignore_eos = request.ignore_eos;
  out.cache_salt = attempt.cache_salt;
  out.deadline = attempt.deadline;
  return out;
}

/// How the engine's thread wakes a core's coroutine. Shared with the wake functions, which may outlive the reply.
struct Waker {
  Waker(Core& owner) : core(owner), event(owner) {}  // NOLINT: one argument, made in one place
  Core& core;
  Event event;
  std::atomic<bool> posted{false};
};

std::function<void()> wake_function(const std::shared_ptr<Waker>& waker) {
  return [waker] {
    if (waker->posted.exchange(true, std::memory_order_acq_rel)) return;
    waker->core.post([waker] {
      waker->posted.store(false, std::memory_order_release);
      waker->event.set();
    });
  };
}

class LocalReply final : public Reply {
 public:
  LocalReply(const Attempt& attempt, std::vector<std::unique_ptr<engine::Stream>> streams)
      : abort_(attempt.abort), waker_(std::make_shared<Waker>(attempt.core)) {
    for (auto& stream : streams) choices_.push_back({std::move(stream), false});
  }
  ~LocalReply() override {
    for (Choice& choice : choices_) choice.stream->notify({});
  }
  LocalReply(const LocalReply&) = delete;
  LocalReply& operator=(const LocalReply&) = delete;

  bool native() const override { return false; }
  Usage usage() const override;
  Task<void> pull(ReplyBatch& batch) override;

 private:
  struct Choice {
    std::unique_ptr<engine::Stream> stream;
    bool finished = false;
  };
  void collect(ReplyBatch& batch);
  static void append(ReplyBatch& batch, int32_t index, engine::Output output);

  Abort& abort_;
  std::shared_ptr<Waker> waker_;
  std::vector<Choice> choices_;
};

Usage LocalReply::usage() const {
  Usage usage;
  usage.reported = true;
  for (const Choice& choice : choices_) {
    const engine::SequenceUsage one = choice.stream->usage();
    usage.counts.input = one.prompt_tokens;
    usage.counts.output += one.output_tokens;
    usage.counts.cached_input = std::max<int64_t>(usage.counts.cached_input, one.cached_tokens);
  }
  return usage;
}

void LocalReply::append(ReplyBatch& batch, int32_t index, engine::Output output) {
  if (!output.text.empty() || !output.logprobs.empty()) {
    ChatEvent event;
    event.index = index;
    event.text = std::move(output.text);
    for (auto& token : output.logprobs) {
      TokenLogprobs entry;
      entry.chosen = {token.bytes, token.bytes, token.logprob};
      for (const auto& alternative : token.top)
        entry.top.push_back({alternative.bytes, alternative.bytes, alternative.logprob});
      event.logprobs.push_back(std::move(entry));
    }
    batch.events.push_back(std::move(event));
  }
  if (!output.finish) return;
  if (*output.finish == engine::Finish::error || *output.finish == engine::Finish::cancelled) {
    batch.error = output.error.value_or(
        Error{ErrorKind::cancelled, "engine", Retry::no, 503, "the engine ended the sequence", "upstream_error"});
    return;
  }
  ChatEvent event;
  event.kind = ChatEvent::Kind::finish;
  event.index = index;
  event.stop = *output.finish == engine::Finish::length ? StopReason::length : StopReason::stop;
  batch.events.push_back(std::move(event));
}

void LocalReply::collect(ReplyBatch& batch) {
  bool all_finished = true;
  for (size_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    if (choice.finished) continue;
    if (auto output = choice.stream->pull()) {
      choice.finished = output->finish.has_value();
      append(batch, static_cast<int32_t>(i), std::move(*output));
    }
    all_finished = all_finished && choice.finished;
  }
  if (all_finished && !batch.error) batch.end = true;
}

Task<void> LocalReply::pull(ReplyBatch& batch) {
  batch.clear();
  while (true) {
    if (abort_.fired()) {
      batch.error = abort_.reason();
      co_return;
    }
    collect(batch);
    if (!batch.events.empty() || batch.end || batch.error) co_return;
    for (Choice& choice : choices_)
      if (!choice.finished) choice.stream->notify(wake_function(waker_));
    const AbortScope scope(abort_, waker_->event);
    co_await waker_->event.wait();
    waker_->event.reset();
  }
}

class LocalProvider final : public Provider {
 public:
  explicit LocalProvider(engine::Engine& engine) : engine_(engine) {}

  Task<Result<std::unique_ptr<Reply>>> start(const Attempt& attempt) override {
    auto request = attempt.neutral();
    if (!request) co_return std::move(request).error();
    co_return start_sequences(**request, attempt);
  }

 private:
  Result<std::unique_ptr<Reply>> start_sequences(const ChatRequest& request, const Attempt& attempt) const;
  Result<std::vector<engine::TokenId>> prompt_of(const ChatRequest& request) const;

  engine::Engine& engine_;
};

Result<std::vector<engine::TokenId>> LocalProvider::prompt_of(const ChatRequest& request) const {
  if (!engine_.chat_template())
    return refused("model", "the model of engine \"" + engine_.name() + "\" has no chat template");
  auto messages = template_messages(request);
  if (!messages) return std::move(messages).error();
  engine::ChatTemplate::Context context{.messages = *messages};
  context.add_generation_prompt = true;
  context.bos_token = engine_.tokenizer()->bos_token();
  context.eos_token = engine_.tokenizer()->eos_token();
  context.now = std::chrono::system_clock::now();
  if (request.template_arguments.is_object()) context.extra = request.template_arguments;
  auto text = engine_.chat_template()->render(context);
  if (!text) return std::move(text).error();
  return engine_.tokenizer()->encode(*text, {.parse_special = true, .add_special = false});
}

Result<std::unique_ptr<Reply>> LocalProvider::start_sequences(const ChatRequest& request,
                                                              const Attempt& attempt) const {
  if (auto supported = check_supported(request); !supported) return std::move(supported).error();
  auto prompt = prompt_of(request);
  if (!prompt) return std::move(prompt).error();
  std::vector<std::unique_ptr<engine::Stream>> streams;
  for (int32_t choice = 0; choice < request.n; ++choice) {
    auto generate = generate_request(request, attempt, engine_, choice);
    generate.prompt = *prompt;
    auto stream = engine_.submit(std::move(generate));
    if (!stream) return std::move(stream).error();
    streams.push_back(std::move(*stream));
  }
  return std::unique_ptr<Reply>(std::make_unique<LocalReply>(attempt, std::move(streams)));
}

}  // namespace

std::unique_ptr<Provider> make_local_provider(Core&, engine::Engine& engine) {
  return std::make_unique<LocalProvider>(engine);
}

}  // namespace weir::providers
