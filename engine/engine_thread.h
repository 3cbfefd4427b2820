// The engine behind engine.h for a model that writes: what other threads call, over the loop that its thread runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/grammar/shelf.h"
#include "engine/sequence_loop.h"
#include "engine/text_thread.h"

namespace weir::engine {

class EngineThread final : public Engine {
 public:
  explicit EngineThread(EngineParts parts);
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;
  ~EngineThread() override;

  /// Starts the thread. An Error means the system has none to give.
  Result<void> start() { return EngineLoop::start(loop_); }

  Result<std::unique_ptr<Stream>> submit(GenerateRequest request) override;
  Result<std::shared_ptr<const grammar::Grammar>> grammar(const grammar::Source& source) override {
    return grammars_.get(source);
  }
  EngineStats stats() const override { return loop_->stats(); }
  bool healthy() const override { return loop_->healthy(); }
  int32_t live_max() const override { return loop_->inbox()->live_max(); }
  bool post_text(uint64_t tenant, std::function<void()> job) override {
    return text_thread_.post(tenant, std::move(job));
  }
  const std::string& name() const override { return name_; }
  int32_t context_tokens() const override { return scheduler_config_.context_tokens; }
  int32_t context_wanted() const override { return context_wanted_; }
  const std::shared_ptr<const Tokenizer>& tokenizer() const override { return tokenizer_; }
  const std::shared_ptr<const ChatTemplate>& chat_template() const override { return chat_template_; }
  const std::vector<TokenId>& eos_ids() const override { return eos_ids_; }
  void on_step(OnStep observer) override { loop_->on_step(std::move(observer)); }
  void on_health(OnHealth observer) override { loop_->on_health(std::move(observer)); }

 private:
  const std::string name_;
  const SchedulerConfig scheduler_config_;
  const int32_t context_wanted_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<const ChatTemplate> chat_template_;
  const std::vector<TokenId> eos_ids_;
  grammar::Shelf grammars_;
  const std::shared_ptr<SequenceLoop> loop_;
  std::atomic<uint64_t> next_id_{1};
  TextThread text_thread_;
};

}  // namespace weir::engine
