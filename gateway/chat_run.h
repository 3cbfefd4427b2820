// One request to a model, in any client protocol, from its first byte to its ledger row: authenticate, mark the body,
// authorize, limits, hold, choose a target, stream, settle. One object and one coroutine for the whole life; settle()
// runs once on every way out. It keeps the policy it began with. Its core's thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/access/funding.h"
#include "gateway/accounting/prompt_size.h"
#include "gateway/accounting/text_sample.h"
#include "gateway/api/answer_size.h"
#include "gateway/api/client_api.h"
#include "gateway/api/openai_responses_state.h"
#include "gateway/core_context.h"
#include "gateway/server/byte_hold.h"
#include "gateway/server/http.h"
#include "providers/body.h"
#include "providers/provider.h"

namespace weir::gateway {

/// The credential that the request carries: Authorization: Bearer, x-api-key, api-key, x-goog-api-key, or ?key= as
/// Google's clients send it; empty: none. Valid until the thread's next call, and no longer than the request.
std::string_view presented_key(const Request& request);

class ChatRun {
 public:
  /// `rest` is the path behind a route that ends with '/'.
  ChatRun(CoreContext& context, const ClientApi& api, const Request& request, std::string_view rest,
          Exchange& exchange);
  ~ChatRun() { settle_left(); }  // every other way out has settled before
  ChatRun(const ChatRun&) = delete;
  ChatRun& operator=(const ChatRun&) = delete;

  Task<void> run();

 private:
  /// Ends the attempt when the request is aborted, or by itself at a deadline, so that another attempt can follow.
  struct AttemptAbort final : providers::Closable {
    explicit AttemptAbort(ChatRun& owner) : run(owner), request(owner.exchange_.abort()) { request.attach(this); }
    ~AttemptAbort() { request.attach(nullptr); }
    AttemptAbort(const AttemptAbort&) = delete;
    AttemptAbort& operator=(const AttemptAbort&) = delete;
    void close_now() noexcept override;
    ChatRun& run;
    Abort& request;
    Abort own;
    providers::Deadline deadline;
  };

  Result<void> admit();
  Result<void> authenticate();
  Result<void> mark();
  Result<void> find_route();
  Result<void> take_funds(const Route& route);
  bool fund_another(const Route& route, Error& error);
  Task<Result<void>> reach();
  Task<Result<void>> reach_model(const Route& route, bool fallback);
  Task<Result<void>> attempt(const Route& route);
  Task<Result<void>> collect();
  Task<void> answer_whole();
  Task<void> answer_stream();
  bool usage_is_told() const;
  bool begin_to_hear_out();
  Task<void> hear_out();
  bool shows_the_whole() const;
  bool encode_batch(std::string& out);
  int64_t book_attempt(const Error& error);
  void blame_target(const Error& error, int64_t tokens_used);
  Task<void> answer_error(Error error);
  Task<void> answer_count();
  template <class Work>
  void translate(const Work& work);
  void make_encoder();
  void keep_answer(std::string_view answer);
  std::vector<size_t> elsewhere(const Route& route) const;
  Result<const providers::ChatRequest*> neutral();
  static std::string_view counted_model(const RouteTarget& target, const Route& route);
  int64_t prompt_most(const Route& route) const;
  uint64_t inline_bytes_max() const { return policy_->policy().config().server.limits.inline_bytes_max; }
  ResponseHead head(int status, std::string_view content_type);
  void count_answer();
  void bound_answer();
  bool wants_count() const;
  bool count_is_large() const;
  void count_untold();
  Task<void> count_untold_aside();
  NanoUsd cost() const { return charge(usage()) + spent_.charge; }  // of all attempts
  /// Of this attempt.
  NanoUsd charge(const providers::Usage& used) const;
  std::string_view tier(const providers::Usage& used) const;
  providers::Usage usage() const;
  providers::Usage raw_usage() const;
  void settle(int status, std::string_view error_code);
  /// Nobody takes the answer: the exchange knows whether the client left or did not read.
  void settle_left();
  metrics::RequestLabels labels() const;
  void record(int status, std::string_view error_code, const providers::Usage& usage, NanoUsd charge, WallTime wall);
  /// Nobody waits for the answer any more, or nobody may: the client left, or the drain's time is over.
  bool client_gone() const { return exchange_.abort().fired(); }
  bool shutting_down() const { return client_gone() && exchange_.abort().reason().code == "shutting_down"; }

  CoreContext& context_;
  const ClientApi& api_;
  const Request& request_;
  std::string_view rest_;
  Exchange& exchange_;
  std::shared_ptr<const BoundPolicy> policy_;
  std::string id_;
  const Key* key_ = nullptr;
  const Route* route_ = nullptr;
  std::string referred_body_;               // Responses: with what the client's items name in their place
  std::optional<ContinuedCall> continued_;  // Responses: what it goes on from
  ByteHold written_out_{context_.services().conversation_bytes};
  providers::CallBody body_;
  std::optional<Result<providers::ChatRequest>> neutral_;
  std::function<Result<const providers::ChatRequest*>()> decode_;
  std::function<std::string_view(std::string_view)> client_header_;

  Admission admission_;
  LimitView limits_left_;
  RowReservation row_;
  Funding funding_;
  const Route* funded_ = nullptr;
  PromptSize prompt_size_;
  int64_t prompt_estimate_ = 0;  // the most, for limits
  int64_t prompt_likely_ = 0;    // by the rules of the last target
  int64_t prompt_media_ = 0;     // what of that is no text
  TimePoint deadline_ = kNever;

  Lease lease_;
  const RouteTarget* target_ = nullptr;   // the last one tried
  const config::Price* price_ = nullptr;  // its price; of the policy's
  std::optional<AttemptAbort> abort_;     // outlives reply_
  std::optional<providers::Attempt> attempt_;
  std::unique_ptr<providers::Reply> reply_;
  providers::ReplyBatch batch_;
  std::unique_ptr<AnswerEncoder> encoder_;
  TextSample answer_text_;  // where the target has a tokenizer
  struct Counted {
    int64_t prompt = 0;
    int64_t answer = 0;
    uint64_t answer_bytes = 0;  // of answer_text_, by then
  };
  std::optional<Counted> counted_;  // by it, once it is known that nobody else did
  struct Spent {
    config::TokenCounts tokens;
    NanoUsd charge;
    bool estimated = false;
    std::vector<Hold> holds;  // what was set aside for them, until all is settled
  };
  Spent spent_;                // by the attempts before this one
  AnswerSize answer_size_;     // of a translated stream
  uint64_t answer_bytes_ = 0;  // of text, for an estimate where the upstream's usage makes no sense
  int32_t attempts_ = 0;
  uint32_t retries_ = 0;  // attempts after another of the same model
  uint32_t fallbacks_ = 0;
  bool sent_upstream_ = false;  // an upstream may have read of this attempt's call
  bool streams_ = false;        // the client's stream has begun
  bool heard_out_ = false;      // it left, and the upstream is still listened to
  Duration upstream_time_{0};
  std::optional<TimePoint> first_token_;
  Duration overhead_{0};
  bool accepted_ = false;
  bool settled_ = false;
};

}  // namespace weir::gateway
