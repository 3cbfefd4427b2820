// A local model being served: one engine thread runs inbox → schedule → submit → commit → outbox. Any thread may
// submit, pull and abort. The inbox and every outbox are bounded; a full inbox is an Error (429 engine_overloaded), and
// a consumer that does not pull for long only holds its own tokens (an outbox can never hold more than
// output_tokens_max tokens). Destroying a Stream aborts its sequence at once and frees its blocks at the next step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/config.h"
#include "engine/backend/backend.h"
#include "engine/core/sampling.h"
#include "engine/core/types.h"

namespace weir::engine {

class Tokenizer;
class ChatTemplate;
namespace grammar {
class Grammar;
struct Source;
}  // namespace grammar

struct GenerateRequest {
  std::vector<TokenId> prompt;  // not empty
  SamplingParams sampling;
  StopConditions stop;
  uint64_t cache_salt = 0;      // sequences share prefix blocks only under the same salt
  TimePoint deadline = kNever;  // on expiry the sequence ends with an error
  int32_t priority = 0;         // -100 to 100; the higher goes first, see sched/policy.h
  bool skip_special = true;     // special tokens do not show in the text
  /// What the answer must look like, from this engine's grammar(); null: anything. An answer that is whole and to which
  /// nothing may be added has finished; stop.ignore_eos does not go beyond.
  std::shared_ptr<const grammar::Grammar> grammar = nullptr;
  bool continues_text = false;  // a raw completion: no blank is cut from the output's start
};

/// A piece of a sequence's output.
struct Output {
  std::string text;                    // new text, whole UTF-8 characters, never a part of a stop string
  int32_t tokens = 0;                  // tokens this piece accounts for; over all pieces, usage().output_tokens
  std::vector<TokenId> token_ids;      // the tokens themselves, one that ended the sequence included
  std::vector<TokenLogprob> logprobs;  // if asked for, one for each token that shows: none for what ended the sequence
  std::optional<Finish> finish;        // set on the last piece
  std::optional<Error> error;          // with Finish::error
};

struct SequenceUsage {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;  // prompt tokens whose KV was reused
  int32_t output_tokens = 0;  // tokens sampled, the end-of-sequence token included
};

/// The consumer's end of one sequence. One consumer thread at a time.
class Stream {
 public:
  virtual ~Stream() = default;  // aborts if not finished
  /// All pieces since the last call, folded into one; nullopt if there is nothing new.
  virtual std::optional<Output> pull() = 0;
  /// `wake` is called on a thread of the engine (or on this one, if there is already output) when pull() would give
  /// something; once for each call of notify(). It must not block. An empty function disarms and, on return, no call
  /// is under way.
  virtual void notify(std::function<void()> wake) = 0;
  virtual SequenceUsage usage() const = 0;
};

/// One vector a text, all of one width.
using Embeddings = std::vector<std::vector<float>>;
/// Called once, on a thread of the engine; it must not block, and must not drop its EmbedJob.
using OnEmbedded = std::function<void(Result<Embeddings>)>;

/// What a model's vectors are.
struct EmbeddingShape {
  int32_t width = 0;        // numbers of a vector; 0: the model makes none
  bool normalized = false;  // of length 1
  bool shortens = false;    // the first numbers of a vector are a vector too (Matryoshka), once of length 1 again…
  std::vector<int32_t> widths;  // …of one of these widths; empty: of any
};

/// Texts that are being embedded.
class EmbedJob {
 public:
  virtual ~EmbedJob() = default;  // gives up
  /// On return no step takes more of its texts, and OnEmbedded neither runs nor is called any more.
  virtual void give_up() = 0;
  /// Of the texts that a step has taken: what the job used, whenever it is dropped.
  virtual int64_t tokens_taken() const = 0;
};

/// Called when the engine goes down, and when it is up again, from whichever thread noticed; it must not block.
using OnHealth = std::function<void(bool healthy, const std::string& reason)>;

/// A step as it was, for the step histogram and for benchmarks.
struct StepSeen {
  double seconds = 0;
  int32_t sequences = 0;  // that it took in or went on with; an encoder's are texts
  int32_t tokens = 0;     // as many as sequences: all of them decoded
};
using OnStep = std::function<void(const StepSeen&)>;

struct EngineStats {
  int32_t running = 0;
  int32_t waiting = 0;
  int32_t blocks_total = 0;
  int32_t blocks_free = 0;         // unused
  int32_t blocks_cached = 0;       // hold a reusable prefix, evictable
  int32_t blocks_active = 0;       // named by a running sequence
  int32_t host_blocks_total = 0;   // of the second tier, in host memory
  int32_t host_blocks_cached = 0;  // hold a reusable prefix
  uint64_t prefix_hit_tokens = 0;
  uint64_t host_hit_tokens = 0;    // of the hits, those that lay on the host
  uint64_t blocks_copied_out = 0;  // to the host
  uint64_t blocks_copied_in = 0;   // and back
  uint64_t prefix_miss_tokens = 0;
  uint64_t prefill_tokens = 0;
  uint64_t decode_tokens = 0;
  uint64_t steps = 0;
  uint64_t preemptions = 0;
  uint64_t stalls = 0;  // steps that took longer than step_timeout
  bool healthy = true;
  std::string reason;  // why not healthy
  std::string device;  // what computes, and why: "cpu (device: auto; no NVIDIA driver …)"
};

class Engine {
 public:
  virtual ~Engine() = default;  // ends every sequence with an error, joins the thread (one that stalls is left alone)

  /// Never blocks. The engine's eos_ids() are added to stop.token_ids (but for ignore_eos). Errors: context_length
  /// (prompt + 1 > context), overloaded (max_sequences + queue_max sequences live already), bad_request (a parameter,
  /// named), internal (the engine is down), cancelled (it is shutting down).
  virtual Result<std::unique_ptr<Stream>> submit(GenerateRequest request) = 0;
  /// False: an encoder, which only embeds; submit() refuses.
  virtual bool generates() const { return true; }
  virtual const EmbeddingShape& embeddings() const;
  /// Never blocks. `texts` as the tokenizer gives them, with its special tokens. Errors: bad_request (it makes none, a
  /// text without tokens, an id outside the vocabulary), context_length, overloaded.
  virtual Result<std::unique_ptr<EmbedJob>> embed(std::vector<std::vector<TokenId>> texts, OnEmbedded done);
  /// A grammar for this model's tokens; known ones are kept. Up to half a second of work: see post_text(). Errors:
  /// bad_request, which names the place in the request.
  virtual Result<std::shared_ptr<const grammar::Grammar>> grammar(const grammar::Source& source);
  virtual EngineStats stats() const = 0;
  /// stats().healthy, cheaply. Down: its thread died, its backend broke, or a step stalls; submit() refuses.
  virtual bool healthy() const = 0;
  /// How many sequences may live at once: max_sequences + queue_max.
  virtual int32_t live_max() const = 0;
  /// Where a long prompt is prepared (TextThread::post). False: too many wait.
  virtual bool post_text(uint64_t tenant, std::function<void()> job) = 0;

  virtual const std::string& name() const = 0;
  /// The least of the model's, the config's and what the KV blocks hold.
  virtual int32_t context_tokens() const = 0;
  /// The same with more blocks: above context_tokens() if kv_cache.memory is too small for the model's context.
  virtual int32_t context_wanted() const = 0;
  virtual const std::shared_ptr<const Tokenizer>& tokenizer() const = 0;
  virtual const std::shared_ptr<const ChatTemplate>& chat_template() const = 0;  // null: the model has none
  virtual const std::vector<TokenId>& eos_ids() const = 0;
  /// Called on the engine thread after each step. Set before the first submit.
  virtual void on_step(OnStep observer) = 0;
  virtual void on_health(OnHealth observer) = 0;
};

/// Loads the model that the config names ("builtin:weir-tiny" or a folder) and starts its thread. Slow; `progress` is
/// told on this thread how much of the quantizing is done, in parameters, where the config asks for it.
Result<std::unique_ptr<Engine>> make_engine(const config::EngineConfig& config,
                                            const std::function<void(uint64_t done, uint64_t total)>& progress = {});

/// An engine over any backend: for tests (Sim) and for backends made elsewhere. Without a tokenizer, outputs carry
/// tokens and no text, and no stop string is ever found. Errors: config.
Result<std::unique_ptr<Engine>> make_engine(const config::EngineConfig& config, std::unique_ptr<Backend> backend,
                                            std::shared_ptr<const Tokenizer> tokenizer,
                                            std::shared_ptr<const ChatTemplate> chat_template,
                                            std::vector<TokenId> eos_ids);

}  // namespace weir::engine
