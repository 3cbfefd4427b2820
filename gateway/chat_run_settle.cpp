// What a request used, what it costs, and the one place where it is settled.
#include <algorithm>
#include <utility>

#include "gateway/accounting/charge.h"
#include "gateway/accounting/transcription.h"
#include "gateway/api/errors.h"
#include "gateway/chat_run.h"
#include "gateway/server/server.h"
#include "providers/made.h"
#include "providers/net/workers.h"
#include "providers/transcription.h"

namespace weir::gateway {
namespace {

// How an answer is listened to whose client left. A shutdown gives those who stayed as long for their last words.
constexpr std::chrono::milliseconds kHeardOutTime = kShutdownGrace;
constexpr uint64_t kHeardOutBytesMax = 16 * 1024 * 1024;
constexpr size_t kHeardOutMax = 256;  // of a core, at once

}  // namespace

/// Text of the answer so far; of bytes that pass through, a quarter is taken for text.
void ChatRun::count_answer() {
  for (const providers::ChatEvent& event : batch_.events)
    answer_bytes_ += event.text.size() + event.tool_call.arguments.size();
  for (const providers::Segment& segment : batch_.segments) answer_bytes_ += segment.bytes.size() / 4;
  if (target_->tokenizer == nullptr) return;
  for (const providers::ChatEvent& event : batch_.events) {
    answer_text_.add(event.text);
    answer_text_.add(event.tool_call.arguments);
  }
  if (!body_.stream) return;  // a whole body is looked at if it must be
  for (const providers::Segment& segment : batch_.segments)
    add_answer_text(body_.protocol, true, segment.bytes, answer_text_);
}

/// A whole answer is bounded where it is read; of a stream that is translated its encoder may keep as much.
void ChatRun::bound_answer() {
  for (const providers::ChatEvent& event : batch_.events) answer_size_.add(event);
  if (answer_size_.bytes() > attempt_->response_bytes_max && !batch_.error)
    batch_.error = answer_too_large(attempt_->response_bytes_max);
}

/// Has the target a tokenizer for what nobody says?
bool ChatRun::wants_count() const {
  if (!accepted_ || !sent_upstream_ || target_ == nullptr || target_->tokenizer == nullptr) return false;
  if (counted_ && counted_->answer_bytes == answer_text_.bytes()) return false;
  return generates_chat(body_.protocol) && !usage().reported;
}

bool ChatRun::count_is_large() const {
  const bool whole = reply_ && reply_->native() && !body_.stream && !batch_.segments.empty();
  return body_.json.size() > inline_bytes_max() || (whole && batch_.segments.front().bytes.size() > inline_bytes_max());
}

/// A prompt that has no neutral form stays counted by its bytes.
void ChatRun::count_untold() {
  const engine::Tokenizer& tokenizer = *target_->tokenizer;
  if (!counted_) {
    counted_.emplace(Counted{.prompt = prompt_likely_});
    if (const auto request = neutral()) counted_->prompt = count_prompt_tokens(tokenizer, **request) + prompt_media_;
  }
  if (reply_ && reply_->native() && !body_.stream)
    for (const providers::Segment& segment : batch_.segments)
      add_answer_text(body_.protocol, false, segment.bytes, answer_text_);
  counted_->answer = count_tokens(tokenizer, answer_text_);
  counted_->answer_bytes = answer_text_.bytes();
}

/// At the end of an answer. Decoding the prompt is what takes long.
Task<void> ChatRun::count_untold_aside() {
  const auto count = [&] { count_untold(); };
  co_await providers::run_aside(context_.core(), exchange_.abort(), count_is_large(), count);
}

/// Bounded here once, so that charge, row, log line and metrics have the same counts, whoever said them.
providers::Usage ChatRun::usage() const {
  providers::Usage usage = raw_usage();
  auto& counts = usage.counts;
  // What an upstream reports of an answer may make no sense; the answer itself is then the better witness.
  const auto makes_sense = [](int64_t count) { return count >= 0 && count < providers::kPlausibleTokensMax; };
  const bool nothing = counts.input == 0 && counts.output == 0;
  if (reply_ && usage.reported && generates_chat(body_.protocol) &&
      (nothing || !makes_sense(counts.input) || !makes_sense(counts.output))) {
    usage = {.tier = std::move(usage.tier)};
    counts.input = prompt_likely_;
    counts.output = estimate_output_tokens(answer_bytes_);
  }
  if (counted_ && !usage.reported) {
    if (!usage.told.input) counts.input = counted_->prompt;
    if (!usage.told.output && counted_->answer > 0) counts.output = counted_->answer;
  }
  if (price_ != nullptr) count_as_priced(*price_, usage);
  for (int64_t* count : {&counts.input, &counts.cached_input, &counts.output, &counts.reasoning, &counts.cache_write_5m,
                         &counts.cache_write_1h, &counts.audio_input, &counts.audio_output, &counts.web_searches})
    *count = std::clamp<int64_t>(*count, 0, providers::kPlausibleTokensMax);
  return usage;
}

providers::Usage ChatRun::raw_usage() const {
  if (reply_) return reply_->usage();
  providers::Usage usage;
  // The client left while the upstream was working on the prompt: that much it will charge us, as far as we know. An
  // engine of our own had not begun.
  const bool working = sent_upstream_ && accepted_ && target_ != nullptr && target_->account != nullptr;
  if (working && body_.protocol == providers::Protocol::openai_transcriptions)
    return providers::usage_of_transcription(body_, {});
  if (working && providers::makes_media(body_.protocol)) {
    usage = providers::usage_of_made(body_, {});
    usage.made->tokens.output = 0;
    usage.reported = false;
    return usage;
  }
  if (working) usage.counts.input = prompt_likely_;
  usage.reported = !working;
  return usage;
}

/// The tier that is charged: what the answer says; where it says nothing, what was asked for, if that is dearer.
std::string_view ChatRun::tier(const providers::Usage& used) const {
  if (used.tier) return *used.tier;
  const bool dearer = price_ != nullptr && !body_.tier.empty() &&
                      config::charge(*price_, used.counts, body_.tier) > config::charge(*price_, used.counts);
  return dearer ? std::string_view(body_.tier) : std::string_view();
}

NanoUsd ChatRun::charge(const providers::Usage& used) const {
  return price_ == nullptr ? NanoUsd{} : config::charge(*price_, used.counts, tier(used));
}

namespace {

void add(const config::TokenCounts& more, config::TokenCounts& sum) {
  using Counts = config::TokenCounts;
  for (int64_t Counts::*const count :
       {&Counts::input, &Counts::cached_input, &Counts::output, &Counts::reasoning, &Counts::cache_write_5m,
        &Counts::cache_write_1h, &Counts::audio_input, &Counts::audio_output, &Counts::web_searches})
    sum.*count += more.*count;
}

}  // namespace

/// An attempt failed before the client saw any of it: what its upstream told of its usage is charged, since that much
/// was spent, and so is an answer that was made, told or not. Nothing else is, nor what our own engine failed at. The
/// attempt's reply is gone then; returns its tokens.
int64_t ChatRun::book_attempt(const Error& error) {
  if (!reply_) return 0;
  const providers::Told told = reply_->usage().told;
  const bool upstreams = target_->account != nullptr && (told.input || told.output);
  config::TokenCounts tokens;
  if (accepted_ && (error.kind == ErrorKind::unusable || upstreams)) {
    if (wants_count() && !count_is_large()) count_untold();
    const providers::Usage used = usage();
    tokens = used.counts;
    const NanoUsd charge = this->charge(used);
    add(tokens, spent_.tokens);
    spent_.charge += charge;
    spent_.estimated = spent_.estimated || !used.reported;
    if (charge.nanos > 0) {
      spent_.holds.push_back(std::move(funding_.hold));
      funded_ = nullptr;
    }
    context_.services().registry.series(context_.core().index(), labels()).spent(tokens, charge);
  }
  reply_.reset();
  return tokens.input + tokens.output;
}

void ChatRun::settle(int status, std::string_view error_code) {
  if (std::exchange(settled_, true)) return;
  if (std::exchange(heard_out_, false)) --context_.heard_out;
  // Who left did not wait for a worker: what is large is then estimated by its bytes.
  if (wants_count() && !count_is_large()) count_untold();
  const providers::Usage used = usage();
  const NanoUsd charge = this->charge(used) + spent_.charge;
  const WallTime wall = wall_now();  // one for row and booking: a reload parts them by it
  record(status, error_code, used, charge, wall);
  (spent_.holds.empty() ? funding_.hold : spent_.holds.front()).settle(charge, wall);
  spent_.holds.clear();
  funding_.hold.cancel();
  if (key_ != nullptr && key_->meter != nullptr) key_->meter->book(charge, wall);
  const int64_t tokens = used.counts.input + used.counts.output;
  admission_.settle(tokens + spent_.tokens.input + spent_.tokens.output, now());
  const auto outcome = status == 200 ? Outcome::success : Outcome::neutral;
  lease_.report(outcome, {}, tokens, now(), policy_->policy().config().health);
}

// --- an answer whose client left ------------------------------------------------------------------------------------

void ChatRun::AttemptAbort::close_now() noexcept {
  if (run.begin_to_hear_out())
    deadline.arm(run.context_.core().wheel(), std::min(run.deadline_, now() + kHeardOutTime), own, request.reason());
  else
    own.fire(request.reason());
}

bool ChatRun::usage_is_told() const {
  providers::Usage used = reply_->usage();
  if (price_ != nullptr) count_as_priced(*price_, used);
  return used.reported;
}

/// What a stream cost is told at its end, which may be near, and of reasoning that nobody saw nothing else tells. The
/// key's place in flight is free meanwhile. False: there is nothing to wait for, or too much of it.
bool ChatRun::begin_to_hear_out() {
  if (!streams_ || shutting_down() || usage_is_told() || context_.heard_out >= kHeardOutMax) return false;
  ++context_.heard_out;
  heard_out_ = true;
  admission_.leave();
  return true;
}

Task<void> ChatRun::hear_out() {
  uint64_t bytes = 0;
  while (heard_out_ && !batch_.end && !batch_.error && !usage_is_told() && bytes < kHeardOutBytesMax) {
    co_await reply_->pull(batch_);
    count_answer();
    for (const providers::ChatEvent& event : batch_.events)
      bytes += event.text.size() + event.tool_call.arguments.size();
    for (const providers::Segment& segment : batch_.segments) bytes += segment.bytes.size();
  }
}

void ChatRun::settle_left() {
  settle(499, client_gone() && !shutting_down() ? std::string_view(exchange_.abort().reason().code) : "client_closed");
}

metrics::RequestLabels ChatRun::labels() const {
  return {.model = route_ == nullptr ? std::string_view{} : std::string_view(route_->model->name),
          .target = target_ == nullptr ? std::string_view{} : std::string_view(target_->state->label),
          .key = key_ == nullptr ? std::string_view{} : std::string_view(key_->config->name),
          .team = key_ == nullptr ? std::string_view{} : std::string_view(key_->config->team)};
}

void ChatRun::record(int status, std::string_view error_code, const providers::Usage& used, NanoUsd charge,
                     WallTime wall) {
  Services& services = context_.services();
  const Duration total = now() - request_.accepted;
  const auto micros = [](Duration d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); };
  const int64_t first_us = first_token_ ? micros(*first_token_ - request_.received) : -1;
  const auto [model, target, key, team] = labels();
  config::TokenCounts tokens = used.counts;
  add(spent_.tokens, tokens);
  const bool estimated = !used.reported || spent_.estimated;
  const std::string_view tier = this->tier(used);
  const std::string unpriced = price_ == nullptr || tier.empty() ? std::string{} : price_->unpriced(tier);
  if (accepted_ && row_)
    row_.append(LedgerRow{.settled = wall,
                          .request_id = id_,
                          .key = key,
                          .team = team,
                          .model = model,
                          .target = target,
                          .upstream_model = target_ == nullptr ? std::string_view{} : target_->upstream_model,
                          .error_code = error_code,
                          .tier = tier,
                          .tokens = tokens,
                          .charge = charge,
                          .status = status,
                          .attempts = attempts_,
                          .total_us = micros(total),
                          .first_token_us = first_us,
                          .estimated = estimated,
                          .stream = body_.stream,
                          .cancelled = status == 499,
                          .fallback = fallbacks_ > 0,
                          .unpriced = !unpriced.empty()});
  metrics::RequestSample sample{
      .status = status, .tokens = used.counts, .cost = charge - spent_.charge, .duration = total};
  if (first_token_) {
    sample.first_token = *first_token_ - request_.received;
    sample.overhead = overhead_;
    if (body_.stream && used.counts.output > 1)
      sample.per_output_token = (now() - *first_token_) / (used.counts.output - 1);
  }
  sample.retries = retries_;
  sample.fallbacks = fallbacks_;
  const int core = context_.core().index();
  services.registry.request(core, labels(), sample);
  if (!unpriced.empty()) services.registry.unpriced_tier(target);
  services.registry.in_flight(core, -1);
  if (policy_->policy().config().log.requests)
    services.log.request({.time = wall,
                          .id = id_,
                          .key = key,
                          .team = team,
                          .model = model,
                          .target = target,
                          .error_code = error_code,
                          .tier = tier,
                          .unpriced_tier = unpriced,
                          .status = status,
                          .attempts = attempts_,
                          .input_tokens = tokens.input,
                          .cached_tokens = tokens.cached_input,
                          .output_tokens = tokens.output,
                          .cache_write_tokens = tokens.cache_write_5m + tokens.cache_write_1h,
                          .audio_input_tokens = tokens.audio_input,
                          .audio_output_tokens = tokens.audio_output,
                          .web_searches = tokens.web_searches,
                          .cost = charge,
                          .total_us = micros(total),
                          .first_token_us = first_us,
                          .overhead_us = micros(overhead_),
                          .stream = body_.stream,
                          .cancelled = status == 499});
}

}  // namespace weir::gateway
