#include "engine/encoder_engine.h"

#include <utility>

#include "engine/backend/engine_limits.h"
#include "engine/encoder_loop.h"
#include "engine/text_thread.h"

namespace weir::engine {
namespace {

Error refused(const char* code, std::string why) {
  return {.kind = ErrorKind::bad_request,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 400,
          .detail = std::move(why),
          .code = code};
}

EmbeddingShape shape_of(const EncoderSpec& spec) {
  EmbeddingShape shape{.width = static_cast<int32_t>(spec.hidden),
                       .normalized = spec.normalize,
                       .shortens = spec.shortens,
                       .widths = {}};
  for (const int64_t width : spec.widths) shape.widths.push_back(static_cast<int32_t>(width));
  return shape;
}

class EncoderEngine final : public Engine {
 public:
  EncoderEngine(const config::EngineConfig& config, std::shared_ptr<const EncoderModel> model,
                std::shared_ptr<const Tokenizer> tokenizer)
      : name_(config.name),
        vocab_(model->spec.vocab),
        tokenizer_(std::move(tokenizer)),
        shape_(shape_of(model->spec)),
        context_tokens_(
            static_cast<int32_t>(config.context_tokens.value_or(static_cast<uint32_t>(model->spec.context_tokens)))),
        loop_(std::make_shared<EncoderLoop>(config, std::move(model))) {}
  EncoderEngine(const EncoderEngine&) = delete;
  EncoderEngine& operator=(const EncoderEngine&) = delete;
  ~EncoderEngine() override {
    loop_->stop();
    loop_->end();
  }
  Result<void> start() { return EngineLoop::start(loop_); }

  bool generates() const override { return false; }
  Result<std::unique_ptr<Stream>> submit(GenerateRequest) override {
    return refused("unsupported_operation",
                   "the model of engine \"" + name_ + "\" makes embeddings and writes no text");
  }
  const EmbeddingShape& embeddings() const override { return shape_; }
  Result<std::unique_ptr<EmbedJob>> embed(std::vector<std::vector<TokenId>> texts, OnEmbedded done) override {
    if (auto checked = check(texts); !checked) return std::move(checked).error();
    return loop_->add(std::move(texts), std::move(done));
  }
  EngineStats stats() const override { return loop_->stats(); }
  bool healthy() const override { return loop_->healthy(); }
  int32_t live_max() const override { return loop_->jobs_max(); }
  bool post_text(uint64_t tenant, std::function<void()> job) override {
    return text_thread_.post(tenant, std::move(job));
  }
  const std::string& name() const override { return name_; }
  int32_t context_tokens() const override { return context_tokens_; }
  int32_t context_wanted() const override { return context_tokens_; }
  const std::shared_ptr<const Tokenizer>& tokenizer() const override { return tokenizer_; }
  const std::shared_ptr<const ChatTemplate>& chat_template() const override { return no_template_; }
  const std::vector<TokenId>& eos_ids() const override { return no_ids_; }
  void on_step(OnStep observer) override { loop_->on_step(std::move(observer)); }
  void on_health(OnHealth observer) override { loop_->on_health(std::move(observer)); }

 private:
  Result<void> check(const std::vector<std::vector<TokenId>>& texts) const;

  const std::string name_;
  const int64_t vocab_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<const ChatTemplate> no_template_;
  const std::vector<TokenId> no_ids_;
  const EmbeddingShape shape_;
  const int32_t context_tokens_;
  const std::shared_ptr<EncoderLoop> loop_;
  TextThread text_thread_;
};

Result<void> EncoderEngine::check(const std::vector<std::vector<TokenId>>& texts) const {
  const auto bad = [](const std::string& what) {
    Error error = refused("invalid_request_error", "input: " + what);
    error.param = "input";
    return error;
  };
  if (texts.empty()) return bad("must hold at least one text");
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string which = texts.size() == 1 ? "the text" : "text " + std::to_string(i);
    if (texts[i].empty()) return bad(which + " has no tokens");
    if (texts[i].size() > static_cast<size_t>(context_tokens_)) {
      Error error = bad(which + " has " + std::to_string(texts[i].size()) + " tokens, and this model takes at most " +
                        std::to_string(context_tokens_) + "; shorten it or send it in parts");
      error.kind = ErrorKind::context_length;
      error.code = "context_length_exceeded";
      return error;
    }
    for (const TokenId id : texts[i]) {
      if (id >= 0 && id < vocab_) continue;
      return bad(which + " has the token " + std::to_string(id) + ", and this model's tokens are 0 to " +
                 std::to_string(vocab_ - 1));
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> make_encoder_engine(const config::EngineConfig& config,
                                                    std::shared_ptr<const EncoderModel> model,
                                                    std::shared_ptr<const Tokenizer> tokenizer) {
  const EncoderSpec& spec = model->spec;
  if (config.quantization != "none") {
    return config_error(config, "quantization",
                        "must be none for " + spec.architecture + ", is '" + config.quantization + "'");
  }
  if (config.context_tokens && (*config.context_tokens < 1 || *config.context_tokens > spec.context_tokens)) {
    return config_error(config, "context", "must be between 1 and the model's " + std::to_string(spec.context_tokens));
  }
  if (config.step_timeout.count() < 1) return config_error(config, "step_timeout", "must be at least 1ms");
  if (config.max_sequences < 1) return config_error(config, "max_sequences", "must be at least 1");
  if (tokenizer->vocab_size() > spec.vocab) {
    return config_error(config, "model",
                        "tokenizer.json has ids up to " + std::to_string(tokenizer->vocab_size() - 1) +
                            ", and config.json's vocab_size is " + std::to_string(spec.vocab));
  }
  auto engine = std::make_unique<EncoderEngine>(config, std::move(model), std::move(tokenizer));
  if (auto started = engine->start(); !started) return std::move(started).error();
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace weir::engine
