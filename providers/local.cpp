// The in-process engine as a provider: prompts of tokens, one engine sequence a choice; tokens come back as neutral
// events, tool calls found in them. Dropping the reply drops the engine's streams, which aborts their sequences at
// once.
#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "engine/engine.h"
#include "engine/text/chat_template.h"
#include "providers/local_embeddings.h"
#include "providers/local_grammar.h"
#include "providers/local_request.h"
#include "providers/local_text.h"
#include "providers/local_tools.h"
#include "providers/net/event.h"
#include "providers/net/workers.h"
#include "providers/provider.h"

namespace weir::providers {
namespace {

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
  struct Choice {
    std::unique_ptr<engine::Stream> stream;
    std::optional<ToolSplitter> tools;
    bool finished = false;
    bool first_of_prompt = true;  // its usage counts the prompt
  };

  LocalReply(const Attempt& attempt, std::vector<Choice> choices, std::string left_out)
      : abort_(attempt.abort),
        waker_(std::make_shared<Waker>(attempt.core)),
        id_(attempt.request_id),
        choices_(std::move(choices)),
        left_out_(std::move(left_out)) {}
  ~LocalReply() override {
    for (Choice& choice : choices_) choice.stream->notify({});
  }
  LocalReply(const LocalReply&) = delete;
  LocalReply& operator=(const LocalReply&) = delete;

  bool native() const override { return false; }
  std::string_view dropped() const override { return left_out_; }
  Usage usage() const override;
  Task<void> pull(ReplyBatch& batch) override;

 private:
  void collect(ReplyBatch& batch);
  void append(ReplyBatch& batch, int32_t index, engine::Output output);
  bool append_calls(ReplyBatch& batch, int32_t index);

  Abort& abort_;
  std::shared_ptr<Waker> waker_;
  std::string id_;  // of the request: ids of tool calls are made from it
  std::vector<Choice> choices_;
  std::string left_out_;
};

Usage LocalReply::usage() const {
  Usage usage;
  usage.reported = true;
  for (const Choice& choice : choices_) {
    const engine::SequenceUsage one = choice.stream->usage();
    usage.counts.output += one.output_tokens;
    if (!choice.first_of_prompt) continue;
    usage.counts.input += one.prompt_tokens;
    usage.counts.cached_input += one.cached_tokens;
  }
  return usage;
}

/// The answer is whole: what was held back of it. True: there were tool calls.
bool LocalReply::append_calls(ReplyBatch& batch, int32_t index) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  if (!choice.tools) return false;
  engine::ToolReply reply = choice.tools->finish();
  if (!reply.content.empty()) {
    ChatEvent rest;
    rest.index = index;
    rest.text = std::move(reply.content);
    batch.events.push_back(std::move(rest));
  }
  for (size_t i = 0; i < reply.calls.size(); ++i) {
    ChatEvent event;
    event.kind = ChatEvent::Kind::tool_call;
    event.index = index;
    event.tool_index = static_cast<int32_t>(i);
    event.tool_call = {"call_" + id_.substr(id_.find('_') + 1) + "_" + std::to_string(index) + "_" + std::to_string(i),
                       std::move(reply.calls[i].name), std::move(reply.calls[i].arguments)};
    batch.events.push_back(std::move(event));
  }
  return !reply.calls.empty();
}

void LocalReply::append(ReplyBatch& batch, int32_t index, engine::Output output) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  if (choice.tools) output.text = choice.tools->push(output.text);
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
  const bool calls = append_calls(batch, index);
  ChatEvent event;
  event.kind = ChatEvent::Kind::finish;
  event.index = index;
  event.stop = calls ? StopReason::tool_calls : StopReason::stop;
  if (*output.finish == engine::Finish::length) event.stop = StopReason::length;
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

/// An answer that needs no model.
class WholeReply final : public Reply {
 public:
  explicit WholeReply(std::string body) : body_(std::move(body)) { usage_.reported = true; }
  bool native() const override { return true; }
  Usage usage() const override { return usage_; }
  Task<void> pull(ReplyBatch& batch) override {
    batch.clear();
    batch.segments.push_back({Segment::Kind::data, body_});
    batch.end = true;
    co_return;
  }

 private:
  std::string body_;
  Usage usage_;
};

class LocalProvider final : public Provider {
 public:
  explicit LocalProvider(engine::Engine& engine) : engine_(engine) {}

  Task<Result<std::unique_ptr<Reply>>> start(const Attempt& attempt) override {
    const Protocol protocol = attempt.body.protocol;
    if (protocol == Protocol::openai_embeddings && engine_.embeddings().width > 0)
      co_return co_await start_local_embeddings(attempt, engine_);
    if (!engine_.generates())
      co_return Error{ErrorKind::bad_request,
                      "engine",
                      Retry::other_target,
                      400,
                      "the model of engine \"" + engine_.name() + "\" only makes embeddings",
                      "unsupported_operation"};
    if (!generates_chat(protocol) && protocol != Protocol::anthropic_count)
      co_return Error{ErrorKind::bad_request,
                      "engine",
                      Retry::other_target,
                      400,
                      "the model of engine \"" + engine_.name() + "\" only writes text",
                      "unsupported_operation"};
    Result<const ChatRequest*> request = nullptr;
    const bool large = attempt.body.json.size() > attempt.inline_bytes_max;
    const auto decode = [&] { request = attempt.neutral(); };
    if (!co_await run_aside(attempt.core, attempt.abort, large, decode)) co_return attempt.abort.reason();
    if (!request) co_return std::move(request).error();
    if (protocol != Protocol::anthropic_count)
      if (auto supported = check_local_request(**request, engine_); !supported) co_return std::move(supported).error();
    const bool counts = protocol == Protocol::anthropic_count;
    auto source = counts ? std::optional<engine::grammar::Source>() : local_grammar(**request, tool_call_style());
    if (!source) co_return std::move(source).error();
    Result<LocalPrompts> prompts = LocalPrompts();
    Result<GrammarPtr> grammar = GrammarPtr();
    const auto prepare = [&] {
      if (*source) grammar = engine_.grammar(**source);
      if (grammar) prompts = local_prompts(**request, engine_);
    };
    if (auto prepared = co_await prepare_text(attempt, engine_, prepare, source->has_value()); !prepared)
      co_return std::move(prepared).error();
    if (!grammar) co_return std::move(grammar).error();
    if (!prompts) co_return std::move(prompts).error();
    if (attempt.abort.fired()) co_return attempt.abort.reason();
    if (counts) co_return count(*prompts);
    co_return start_sequences(**request, *prompts, *std::move(grammar), attempt);
  }

 private:
  using GrammarPtr = std::shared_ptr<const engine::grammar::Grammar>;

  engine::ToolCallStyle tool_call_style() const {
    const auto& chat_template = engine_.chat_template();
    return chat_template ? chat_template->tool_call_style() : engine::ToolCallStyle::none;
  }
  Result<std::unique_ptr<Reply>> start_sequences(const ChatRequest& request, const LocalPrompts& prompts,
                                                 GrammarPtr grammar, const Attempt& attempt) const;
  static Result<std::unique_ptr<Reply>> count(const LocalPrompts& prompts);

  engine::Engine& engine_;
};

/// How long the prompt is, as Anthropic's count_tokens answers it.
Result<std::unique_ptr<Reply>> LocalProvider::count(const LocalPrompts& prompts) {
  std::string body = "{\"input_tokens\":" + std::to_string(prompts.prompts.front().size()) + "}";
  return std::unique_ptr<Reply>(std::make_unique<WholeReply>(std::move(body)));
}

Result<std::unique_ptr<Reply>> LocalProvider::start_sequences(const ChatRequest& request, const LocalPrompts& prompts,
                                                              GrammarPtr grammar, const Attempt& attempt) const {
  const int64_t sequences = static_cast<int64_t>(prompts.prompts.size()) * request.n;
  if (sequences > engine_.live_max())
    return Error{ErrorKind::bad_request,
                 "engine",
                 Retry::other_target,
                 400,
                 "n: the model of engine \"" + engine_.name() + "\" writes at most " +
                     std::to_string(engine_.live_max()) + " answers at once, not " + std::to_string(sequences),
                 "invalid_request_error",
                 "n"};
  const bool tools = !request.tools.empty() && request.tool_choice.kind != ToolChoice::Kind::none;
  std::vector<LocalReply::Choice> choices;
  for (const auto& prompt : prompts.prompts)
    for (int32_t i = 0; i < request.n; ++i) {
      auto generate = local_generate_request(request, attempt, engine_, static_cast<int32_t>(choices.size()));
      generate.prompt = prompt;
      generate.grammar = grammar;
      auto stream = engine_.submit(std::move(generate));
      if (!stream) {
        Error error = std::move(stream).error();
        if (continues_text(request) && error.param == "messages")
          error.param = "prompt";  // the engine does not know what it was
        return error;
      }
      LocalReply::Choice choice{.stream = std::move(*stream), .tools = {}};
      if (tools) choice.tools.emplace(engine_.chat_template()->tool_call_style());
      choice.first_of_prompt = i == 0;
      choices.push_back(std::move(choice));
    }
  return std::unique_ptr<Reply>(std::make_unique<LocalReply>(attempt, std::move(choices), prompts.left_out));
}

}  // namespace

std::unique_ptr<Provider> make_local_provider(Core&, engine::Engine& engine) {
  return std::make_unique<LocalProvider>(engine);
}

}  // namespace weir::providers
