// The engine thread's own part of an engine that embeds: it takes texts from the jobs in turn, as many as a step's
// budget of tokens holds, and computes them together. A job of two thousand texts therefore does not keep a job of one
// waiting. Jobs are bounded, and giving one up saves what no step has taken.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "engine/engine.h"
#include "engine/engine_loop.h"
#include "engine/model/encoder.h"

namespace weir::engine {

class EncoderLoop final : public EngineLoop {
 public:
  EncoderLoop(const config::EngineConfig& config, std::shared_ptr<const EncoderModel> model);

  // Any thread.
  /// REQUIRES: texts that the model takes. Errors: overloaded; or why the engine is down.
  Result<std::unique_ptr<EmbedJob>> add(std::vector<std::vector<TokenId>> texts, OnEmbedded done);
  void stop();
  EngineStats stats() const;
  int32_t jobs_max() const { return jobs_max_; }

 private:
  struct Job;
  class Handle;
  struct Batch {
    std::vector<std::pair<std::shared_ptr<Job>, size_t>> from;  // whose text, and which
    std::vector<std::vector<TokenId>> texts;
    uint64_t tokens = 0;
  };

  void run() override;
  void fail_all(const Error& reason) override;
  Batch take_batch();  // REQUIRES: mutex_
  Result<Embeddings> compute(const Batch& batch);
  std::vector<std::shared_ptr<Job>> book(const Batch& batch, Result<Embeddings> vectors);  // REQUIRES: mutex_

  const std::string name_;
  const std::shared_ptr<const EncoderModel> model_;
  const int32_t jobs_max_;
  const uint64_t step_tokens_max_;
  ThreadPool pool_;  // the engine thread only, as the next
  EncoderScratch scratch_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> jobs_;  // not finished
  std::optional<Error> closed_;            // why no job is taken
  EngineStats stats_;
  bool stopping_ = false;
};

}  // namespace weir::engine
