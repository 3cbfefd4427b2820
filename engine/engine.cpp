#include "engine/engine.h"

#include <algorithm>
#include <random>
#include <utility>

#include "engine/backend/engine_limits.h"
#include "engine/engine_thread.h"
#include "engine/engine_validate.h"

namespace weir::engine {
const EmbeddingShape& Engine::embeddings() const {
  static const EmbeddingShape none;
  return none;
}

Result<std::unique_ptr<EmbedJob>> Engine::embed(std::vector<std::vector<TokenId>>, OnEmbedded) {
  return Error{.kind = ErrorKind::bad_request,
               .source = "engine",
               .retry = Retry::other_target,
               .http_status = 400,
               .detail = "the model of engine \"" + name() + "\" only writes text",
               .code = "unsupported_operation"};
}

Result<std::shared_ptr<const grammar::Grammar>> Engine::grammar(const grammar::Source& source) {
  return Error{.kind = ErrorKind::bad_request,
               .source = "engine",
               .retry = Retry::other_target,
               .http_status = 400,
               .detail = source.place + ": the model of engine \"" + name() + "\" writes no text",
               .code = "unsupported_operation",
               .param = source.place};
}

EngineThread::EngineThread(EngineParts parts)
    : name_(parts.name),
      scheduler_config_(parts.scheduler),
      context_wanted_(parts.context_wanted),
      tokenizer_(parts.tokenizer),
      chat_template_(std::move(parts.chat_template)),
      eos_ids_(std::move(parts.eos_ids)),
      grammars_(tokenizer_, eos_ids_, scheduler_config_.vocab_size),
      loop_(std::make_shared<SequenceLoop>(std::move(parts))) {}

EngineThread::~EngineThread() {
  loop_->inbox()->stop();
  loop_->end();
}

Result<std::unique_ptr<Stream>> EngineThread::submit(GenerateRequest request) {
  const Limits limits{.vocab_size = scheduler_config_.vocab_size,
                      .context_tokens = scheduler_config_.context_tokens,
                      .context_wanted = context_wanted_};
  if (auto valid = validate(request, limits); !valid) {
    return std::move(valid).error();
  }
  if (!request.stop.ignore_eos || request.grammar) {
    auto& ids = request.stop.token_ids;
    ids.insert(ids.end(), eos_ids_.begin(), eos_ids_.end());
  }
  const uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
  auto outbox = std::make_shared<Outbox>();
  outbox->set_usage({.prompt_tokens = static_cast<int32_t>(request.prompt.size())});
  const std::shared_ptr<Inbox>& inbox = loop_->inbox();
  if (auto sent = inbox->submit({id, std::move(request), outbox}); !sent) return std::move(sent).error();
  return make_stream(id, std::move(outbox), inbox);
}

namespace {

Error context_does_not_fit(const config::EngineConfig& config, const BackendInfo& info) {
  const uint32_t tokens = *config.context_tokens;
  const auto block_tokens = static_cast<uint32_t>(info.block_tokens);
  const uint64_t blocks = (uint64_t{tokens} + block_tokens - 1) / block_tokens;
  const uint64_t bytes = info.kv_bytes / static_cast<uint64_t>(info.blocks) * blocks;
  return config_error(config, "context",
                      std::to_string(tokens) + " tokens take " + std::to_string((bytes + (1 << 20) - 1) >> 20) +
                          "MiB of keys and values, and kv_cache.memory holds " + std::to_string(info.context_held()) +
                          " tokens; raise it to that, or lower context");
}

}  // namespace

Result<std::unique_ptr<Engine>> make_engine(const config::EngineConfig& config, std::unique_ptr<Backend> backend,
                                            std::shared_ptr<const Tokenizer> tokenizer,
                                            std::shared_ptr<const ChatTemplate> chat_template,
                                            std::vector<TokenId> eos_ids) {
  const auto wrong = [&](std::string what) {
    return Error{
        .kind = ErrorKind::config, .source = "engine", .detail = "engine " + config.name + ": " + std::move(what)};
  };
  if (!backend) return wrong("has no backend");
  const BackendInfo& info = backend->info();
  const int64_t slots = int64_t{info.blocks} * info.block_tokens;
  if (info.blocks < 1 || info.block_tokens < 1 || info.vocab_size < 1)
    return wrong("its backend has no KV or no model");
  if (slots > INT32_MAX) return wrong("more than 2^31 KV slots; lower kv_cache.memory");
  if (config.max_sequences < 1) return wrong("max_sequences must be at least 1");
  if (config.step_tokens_max < 1) return wrong("step_tokens must be at least 1");
  if (config.step_timeout.count() < 1) return wrong("step_timeout must be at least 1ms");
  const auto bounded = [](uint32_t n) { return static_cast<int32_t>(std::min<uint32_t>(n, INT32_MAX)); };
  if (config.kv_cache.policy != "lru" && config.kv_cache.policy != "cost")
    return wrong("kv_cache.policy must be lru or cost, is '" + config.kv_cache.policy + "'");
  if (info.host_blocks > 0 && !config.kv_cache.prefix_reuse)
    return wrong("kv_cache.host_memory keeps prefixes, and kv_cache.prefix: false keeps none");
  const int64_t wanted = std::min<int64_t>(info.context_tokens, config.context_tokens.value_or(INT32_MAX));
  const int64_t context = std::min(wanted, slots);
  if (context < 2) return wrong("its context is " + std::to_string(context) + " tokens; at least 2 are needed");
  if (config.context_tokens && context < wanted) return context_does_not_fit(config, info);

  EngineParts parts{
      .name = config.name,
      .scheduler = {.blocks = info.blocks,
                    .block_tokens = info.block_tokens,
                    .context_tokens = static_cast<int32_t>(context),
                    .vocab_size = info.vocab_size,
                    .max_sequences = bounded(std::min(config.max_sequences, config.step_tokens_max)),
                    .step_tokens_max = bounded(config.step_tokens_max),
                    .prefix_reuse = config.kv_cache.prefix_reuse,
                    .hash_seed = std::random_device{}(),
                    .eviction = config.kv_cache.policy == "cost" ? EvictionPolicy::cost : EvictionPolicy::lru,
                    .host_blocks = info.host_blocks,
                    .copies_in_max = std::max(1, info.copies_in_max),
                    .fetch_blocks_min = (info.fetch_tokens_min + info.block_tokens - 1) / info.block_tokens},
      .context_wanted = static_cast<int32_t>(wanted),
      .queue_max = bounded(config.queue_max),
      .step_max = config.step_timeout,
      .backend = std::move(backend),
      .tokenizer = std::move(tokenizer),
      .chat_template = std::move(chat_template),
      .eos_ids = std::move(eos_ids)};
  auto engine = std::make_unique<EngineThread>(std::move(parts));
  if (auto started = engine->start(); !started) return std::move(started).error();
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace weir::engine
