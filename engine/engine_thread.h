// The engine behind engine.h: one thread that owns scheduler and backend and runs
//
//   take mail -> step(now) -> submit -> take mail -> wait -> commit -> text -> publish figures -> push to outboxes
//
// Over a backend that works by itself (a GPU) the last three are those of the step before and come between submit and
// wait, as long as there is a next step: tokens are turned into text while others are computed. A stop string is then
// seen one step late, and what that step computed for its sequence is dropped.
//
// Mail is taken again while the step is in flight, so an abort that came meanwhile costs no further step. Figures are
// published before the outboxes are pushed: who has seen a finish finds its blocks given back.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "engine/engine_outbox.h"
#include "engine/engine_text.h"
#include "engine/sched/scheduler.h"
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text_thread.h"

namespace weir::engine {

/// What an engine is made of. The tokenizer may be null: outputs then carry tokens and no text, and no
/// stop string is ever found. The chat template may be null.
struct EngineParts {
  std::string name;
  SchedulerConfig scheduler;
  int32_t queue_max = 0;  // ≥ 0, sequences beyond those that may run
  std::unique_ptr<Backend> backend;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;
  std::vector<TokenId> eos_ids;
};

class EngineThread final : public Engine {
 public:
  explicit EngineThread(EngineParts parts);
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;
  ~EngineThread() override;

  /// Starts the thread. An Error means the system has none to give.
  Result<void> start();

  Result<std::unique_ptr<Stream>> submit(GenerateRequest request) override;
  EngineStats stats() const override;
  int32_t live_max() const override { return inbox_->live_max(); }
  bool post_text(std::function<void()> job) override { return text_thread_.post(std::move(job)); }
  const std::string& name() const override { return name_; }
  int32_t context_tokens() const override { return scheduler_config_.context_tokens; }
  const std::shared_ptr<const Tokenizer>& tokenizer() const override { return tokenizer_; }
  const std::shared_ptr<const ChatTemplate>& chat_template() const override { return chat_template_; }
  const std::vector<TokenId>& eos_ids() const override { return eos_ids_; }
  void on_step(std::function<void(double)> observer) override { on_step_ = std::move(observer); }

 private:
  struct Live {  // a sequence as the engine sees it
    std::shared_ptr<Outbox> outbox;
    OutputAssembler text;
    std::optional<Detokenizer> detokenizer;
    SequenceUsage usage;
  };
  struct Delivery {
    std::shared_ptr<Outbox> outbox;
    Output piece;
    SequenceUsage usage;
  };

  // All of these on the engine thread.
  void run();
  bool take_mail(bool wait);
  void begin(Arrival arrival);
  Result<void> run_step();
  void digest(Progress progress);
  std::optional<Finish> digest_token(Live& live, Progress& progress);
  void deliver();
  void tell();
  void end_all(const Error& reason);
  void publish();
  void check_invariants() const;

  const std::string name_;
  const SchedulerConfig scheduler_config_;
  const std::unique_ptr<Backend> backend_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<const ChatTemplate> chat_template_;
  const std::vector<TokenId> eos_ids_;
  const std::shared_ptr<Inbox> inbox_;  // shared with the streams
  std::function<void(double)> on_step_;
  std::atomic<uint64_t> next_id_{1};

  Scheduler scheduler_;  // engine thread only, as everything up to stats_mutex_
  std::unordered_map<uint64_t, Live> live_;
  std::vector<Progress> progress_;
  std::vector<Delivery> deliveries_;
  int32_t ended_ = 0;   // sequences that ended since the inbox was last told
  std::string broken_;  // why the backend is down; empty: it is not

  mutable std::mutex stats_mutex_;
  EngineStats stats_;
  std::thread thread_;
  TextThread text_thread_;
};

}  // namespace weir::engine
