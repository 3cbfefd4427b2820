// The engine thread's own part of an engine that writes: it owns scheduler and backend and runs
//
//   take mail -> step(now) -> submit -> take mail -> wait -> commit -> text -> publish figures -> push to outboxes
//
// Over a backend that works by itself (a GPU) the next step is planned and submitted before this one is waited for, so
// that the device goes on while tokens become text and the step after is planned. Whatever ends a sequence is then seen
// one step late, and the token that this step computed for it is dropped.
//
// Mail is taken again while the step is in flight, so an abort that came meanwhile costs no further step. Figures are
// published before the outboxes are pushed: who has seen a finish finds its blocks given back.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "engine/engine_loop.h"
#include "engine/engine_outbox.h"
#include "engine/engine_text.h"
#include "engine/sched/scheduler.h"
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {

/// What an engine is made of. The tokenizer may be null: outputs then carry tokens and no text, and no
/// stop string is ever found. The chat template may be null.
struct EngineParts {
  std::string name;
  SchedulerConfig scheduler;
  int32_t context_wanted = 0;  // Engine::context_wanted
  int32_t queue_max = 0;       // ≥ 0, sequences beyond those that may run
  Duration step_max{};         // > 0; a step that takes longer has stalled
  std::unique_ptr<Backend> backend;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;
  std::vector<TokenId> eos_ids;
};

class SequenceLoop final : public EngineLoop {
 public:
  /// Takes the backend; shares tokenizer.
  explicit SequenceLoop(EngineParts parts);

  const std::shared_ptr<Inbox>& inbox() const { return inbox_; }
  EngineStats stats() const;  // any thread

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

  void fail_all(const Error& reason) override;  // any thread; all others on the engine thread
  void run() override;
  bool take_mail(bool wait);
  void begin(Arrival arrival);
  Result<void> run_step();
  void digest(Progress progress);
  std::optional<Finish> digest_token(Live& live, Progress& progress);
  Result<void> submit_steps(TimePoint now);
  void tell();
  void deliver();
  void end_all(const Error& reason);
  Result<void> start_anew();
  void publish();
  void check_invariants() const;

  const std::string name_;
  const std::unique_ptr<Backend> backend_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<Inbox> inbox_;  // shared with the streams

  Scheduler scheduler_;  // engine thread only, as everything up to stats_mutex_
  std::unordered_map<uint64_t, Live> live_;
  std::vector<Progress> progress_;
  std::deque<StepSeen> under_way_;  // those submitted, in order
  std::vector<Delivery> deliveries_;
  std::vector<uint64_t> ended_;  // sequences that ended since the inbox was last told

  mutable std::mutex stats_mutex_;
  EngineStats stats_;
};

}  // namespace weir::engine
