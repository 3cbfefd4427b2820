// What a codec cannot say to its upstream. Nothing vanishes silently: a field that the client gave and the upstream has
// no word for refuses the attempt (another target may do better), or, where the account says `drop_params: true`, is
// left out and named in the answer's x-weir-dropped-params.
#pragma once

#include <string>
#include <string_view>

#include "config/config.h"
#include "providers/chat.h"
#include "providers/codec.h"

namespace weir::providers {

/// What leave_out() calls earlier thinking that this upstream cannot verify, or takes none of.
inline constexpr std::string_view kReasoningOfOthers = "messages.reasoning";
/// Why a file's id is refused elsewhere.
inline constexpr std::string_view kFileOfOthers = "a file id means something only at the provider that holds the file";
/// Before the result of a failed tool call, where the upstream has no mark for one.
inline constexpr const char* kFailedResult = "Error: ";

/// Whether a field that the client's protocol does not know would steer what the gateway decides itself, or must know:
/// which model answers, whom it is told, in which form, how many times, and how much of it at most. Any spelling:
/// max_output_tokens, maxOutputTokens.
bool steers(std::string_view name);

/// Whether a field of ChatRequest::unmodelled changes no answer, or is what a model said and a client gave back: asks
/// for more of an answer than another upstream has to tell, is of no one turn ("messages.annotations"), says how to
/// cache, or stands beside a tool.
bool is_hint(std::string_view name);

class Refusals {
 public:
  explicit Refusals(const config::AccountConfig& account);
  /// The client gave `field` ("logit_bias", "messages[2].content[1]"), and `upstream` ("Anthropic") cannot be told.
  void cannot_say(std::string_view field);
  /// As cannot_say, but the meaning of the answer hangs on it (tools, an image, response_format): never dropped.
  void must_say(std::string_view field, std::string_view why);
  /// A hint that changes no answer (cache_control), or what only the family that made it can use (its thinking): always
  /// left out, and named once. Clients send these unasked with every turn, so refusing them would refuse the client.
  void leave_out(std::string_view field);
  /// Every field of request.unmodelled, unless the codec speaks the client's protocol: refused, but for hints, which
  /// are left out as the citations of earlier turns are.
  void unmodelled(const ChatRequest& request);
  /// Gives each field that the client's protocol does not know either to `add(name, value)`, for it may be one of the
  /// upstream's own; those that steer, and those in `taken` already, where the protocol's own word counts, are left
  /// out.
  template <class Add>
  void extensions(const Json& fields, const Json& taken, const Add& add) {
    if (!fields.is_object()) return;
    for (const auto& [name, value] : fields.items())
      if (steers(name) || taken.contains(name))
        leave_out(name);
      else
        add(name, value);
  }
  /// The settings of sampling that only OpenAI's API and its compatibles know, where the client gave them: min_p,
  /// penalties, seed, logit_bias, logprobs, n, ignore_eos, chat_template_kwargs, echo.
  void sampling_extras(const ChatRequest& request);
  /// A completion of several prompts, or of token numbers: `upstream` answers one text at a time.
  void prompts(const ChatRequest& request, std::string_view upstream);
  /// The error, if anything was refused; else writes what was dropped to `out`.
  Result<void> finish(std::string_view upstream, EncodedCall& out);

 private:
  bool drop_;
  std::string refused_;
  std::string why_;
  std::string dropped_;
};

}  // namespace weir::providers
