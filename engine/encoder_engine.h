// An encoder being served: one thread takes texts from the jobs in turn, as many as a step's budget of tokens holds,
// and computes them together. A job of two thousand texts therefore does not keep a job of one waiting. Any thread may
// call embed(); jobs are bounded, and dropping one gives up what no step has taken.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "config/config.h"
#include "engine/engine.h"
#include "engine/model/encoder.h"
#include "engine/text/tokenizer.h"
#include "engine/text_thread.h"

namespace weir::engine {

/// Errors (config): a quantization, or a context that the model has not; no thread; a tokenizer of more tokens than the
/// model has.
Result<std::unique_ptr<Engine>> make_encoder_engine(const config::EngineConfig& config,
                                                    std::shared_ptr<const EncoderModel> model,
                                                    std::shared_ptr<const Tokenizer> tokenizer);

class EncoderEngine final : public Engine {
 public:
  EncoderEngine(const config::EngineConfig& config, std::shared_ptr<const EncoderModel> model,
                std::shared_ptr<const Tokenizer> tokenizer);
  EncoderEngine(const EncoderEngine&) = delete;
  EncoderEngine& operator=(const EncoderEngine&) = delete;
  ~EncoderEngine() override;

  /// Starts the thread. An Error means the system has none to give.
  Result<void> start();

  bool generates() const override { return false; }
  Result<std::unique_ptr<Stream>> submit(GenerateRequest request) override;
  const EmbeddingShape& embeddings() const override { return shape_; }
  Result<std::unique_ptr<EmbedJob>> embed(std::vector<std::vector<TokenId>> texts, OnEmbedded done) override;
  EngineStats stats() const override;
  int32_t live_max() const override { return jobs_max_; }
  bool post_text(std::function<void()> job) override { return text_thread_.post(std::move(job)); }
  const std::string& name() const override { return name_; }
  int32_t context_tokens() const override { return context_tokens_; }
  const std::shared_ptr<const Tokenizer>& tokenizer() const override { return tokenizer_; }
  const std::shared_ptr<const ChatTemplate>& chat_template() const override { return no_template_; }
  const std::vector<TokenId>& eos_ids() const override { return no_ids_; }
  void on_step(std::function<void(double)> observer) override { on_step_ = std::move(observer); }

 private:
  struct Job;
  class Handle;
  struct Batch {
    std::vector<std::pair<std::shared_ptr<Job>, size_t>> from;  // whose text, and which
    std::vector<std::vector<TokenId>> texts;
    uint64_t tokens = 0;
  };

  Result<void> check(const std::vector<std::vector<TokenId>>& texts) const;
  void run();
  Batch take_batch();  // REQUIRES: mutex_
  Result<Embeddings> compute(const Batch& batch);
  std::vector<std::shared_ptr<Job>> book(const Batch& batch, Result<Embeddings> vectors);  // REQUIRES: mutex_

  const std::string name_;
  const std::shared_ptr<const EncoderModel> model_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<const ChatTemplate> no_template_;
  const std::vector<TokenId> no_ids_;
  const EmbeddingShape shape_;
  const int32_t context_tokens_;
  const int32_t jobs_max_;
  const uint64_t step_tokens_max_;
  std::function<void(double)> on_step_;
  ThreadPool pool_;  // the engine thread only, as the next
  EncoderScratch scratch_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> jobs_;  // not finished
  EngineStats stats_;
  bool closing_ = false;
  std::thread thread_;
  TextThread text_thread_;
};

}  // namespace weir::engine
