// Every recorded answer of a corpus through the production codec, whole and cut at every byte, against what the raw
// JSON says, and every error classified. A folder of other recordings in the same form is tested by naming it:
// WEIR_WIRE_DIR=… tests/run -L golden.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "tests/providers/codec_rig.h"
#include "tests/providers/recorded.h"

namespace weir::providers {
namespace {

TEST(WireCorpus, IsThere) {
  const fs::path folder = corpus_folder();
  if (!fs::is_directory(folder)) {
    ASSERT_EQ(std::getenv("WEIR_WIRE_DIR"), nullptr) << "WEIR_WIRE_DIR is no folder: " << folder;
    GTEST_SKIP() << "no recordings: " << folder << " is not there";
  }
  EXPECT_FALSE(corpus().empty()) << folder << " has no PROVIDER/NAME.response.meta.json";
  std::map<std::string, int> kinds;
  std::set<std::string> providers;
  for (const Recording& recording : corpus()) {
    EXPECT_EQ(recording.fault, "");
    providers.insert(recording.provider);
    ++kinds[!recording.good()                         ? "errors"
            : !answers_a_call_of_ours(recording)      ? "of calls that Weir does not make"
            : recording.form == Recording::Form::json ? "whole answers"
                                                      : "streams"];
  }
  std::printf("%zu recordings of %zu providers in %s:", corpus().size(), providers.size(), folder.c_str());
  for (const auto& [kind, count] : kinds) std::printf(" %d %s", count, kind.c_str());
  std::printf("\n");
}

// --- good answers ----------------------------------------------------------------------------------------------------

class RecordedAnswer : public Recorded {
 protected:
  /// The answer to a client of `protocol`.
  Decoded decode(const RecordedCall& to, Protocol protocol) {
    const bool same = to.native == protocol && recording().request.is_object();
    std::string text;
    if (same) {
      Json body = recording().request;
      if (to.is_claude_on_bedrock) body["model"] = to.model;  // it stands in the URL there
      text = body.dump();
    }
    CodecRig rig(protocol, std::move(text), to.stream);
    rig.body.stream = to.stream;
    return to.stream ? decode_every_way(*to.codec, rig, to.model, recording().response)
                     : decode_whole(*to.codec, rig, to.model, recording().response);
  }

  /// Whole, but for a safety system's last word, or an error of the upstream's that stands in the answer itself.
  void check_end(const Decoded& out, const WireTruth& truth) const {
    const bool filtered = out.error && out.error->kind == ErrorKind::content_policy;
    if (truth.error.empty()) {
      EXPECT_TRUE((out.end && !out.error) || filtered) << out;
      return;
    }
    EXPECT_FALSE(out.end);
    ASSERT_TRUE(out.error);
    EXPECT_EQ(out.error->detail, truth.error);
  }

  void check_usage(const Decoded& out, const WireTruth& truth, Protocol protocol) const {
    if (protocol == Protocol::anthropic_count) return;
    EXPECT_EQ(out.reported, truth.usage.has_value());
    if (!truth.usage) {
      EXPECT_GT(out.counts.input + out.counts.output, 0) << "usage that nobody reports is estimated";
      return;
    }
    EXPECT_EQ(out.counts.input, truth.usage->input);
    EXPECT_EQ(out.counts.cached_input, truth.usage->cached_input);
    EXPECT_EQ(out.counts.cache_write_5m, truth.usage->cache_write_5m);
    EXPECT_EQ(out.counts.cache_write_1h, truth.usage->cache_write_1h);
    EXPECT_EQ(out.counts.output, truth.usage->output);
    EXPECT_EQ(out.counts.reasoning, truth.usage->reasoning);
    EXPECT_EQ(out.counts.audio_input, truth.usage->audio_input);
    EXPECT_EQ(out.counts.audio_output, truth.usage->audio_output);
  }

  void check_native(const RecordedCall& to, const WireTruth& truth);
  void check_translated(const RecordedCall& to, const WireTruth& truth);
};

/// A calls' answer waits for their results, whatever word the API has for its end.
StopReason stop_of(const WireTruth& truth) {
  static const std::map<std::string, StopReason> kWords = {
      {"length", StopReason::length},
      {"max_tokens", StopReason::length},
      {"MAX_TOKENS", StopReason::length},
      {"model_context_window_exceeded", StopReason::length},
      {"stop_sequence", StopReason::stop_sequence},
      {"STOP_SEQUENCE", StopReason::stop_sequence},
      {"tool_calls", StopReason::tool_calls},
      {"function_call", StopReason::tool_calls},
      {"tool_use", StopReason::tool_calls},
      {"TOOL_CALL", StopReason::tool_calls},
      {"content_filter", StopReason::content_filter},
      {"content_filtered", StopReason::content_filter},
      {"guardrail_intervened", StopReason::content_filter},
      {"SAFETY", StopReason::content_filter},
      {"PROHIBITED_CONTENT", StopReason::content_filter},
      {"RECITATION", StopReason::content_filter},
      {"refusal", StopReason::refusal},
      {"pause_turn", StopReason::pause_turn},
  };
  if (!truth.calls.empty()) return StopReason::tool_calls;
  const auto word = kWords.find(truth.stop);
  return word == kWords.end() ? StopReason::stop : word->second;
}

void RecordedAnswer::check_native(const RecordedCall& to, const WireTruth& truth) {
  SCOPED_TRACE("passed through to a client of " + std::string(to_string(*to.native)));
  const Decoded out = decode(to, *to.native);
  check_end(out, truth);
  EXPECT_TRUE(out.events.empty());
  if (out.error) {
    EXPECT_TRUE(recording().response.starts_with(out.bytes));
    return;
  }
  if (recording().form != Recording::Form::event_stream) {
    EXPECT_EQ(out.bytes, recording().response) << "bytes pass in order, untouched";
  }
  for (const size_t place : out.usage_places) {
    ASSERT_GT(place, 0U);
    std::string before = out.bytes.substr(0, place - 1);
    before.resize(before.find_last_not_of(" \t\r\n") + 1);
    EXPECT_EQ(out.bytes[place - 1], '{');
    EXPECT_TRUE(before.ends_with("\"usage\":") || before.ends_with("\"usageMetadata\":")) << "where the cost goes";
  }
  check_usage(out, truth, *to.native);
}

void RecordedAnswer::check_translated(const RecordedCall& to, const WireTruth& truth) {
  SCOPED_TRACE("translated for a client of " + std::string(to_string(*to.translate)));
  const Decoded out = decode(to, *to.translate);
  check_end(out, truth);
  if (out.error) return;
  check_usage(out, truth, *to.translate);
  if (!generates_chat(*to.translate)) {
    EXPECT_TRUE(Json::accept(out.bytes)) << out.bytes;
    return;
  }
  EXPECT_EQ(out.text(), truth.text);
  EXPECT_EQ(out.all(ChatEvent::Kind::reasoning), truth.reasoning);
  std::vector<std::pair<std::string, Json>> calls;
  for (const std::string& said : out.calls()) {
    const size_t name = said.find(' ') + 1;
    EXPECT_GT(name, 1U) << "a call has an id";
    const size_t arguments = said.find(' ', name) + 1;
    const std::string text = said.substr(arguments);
    calls.emplace_back(said.substr(name, arguments - name - 1), text.empty() ? Json::object() : read_json<Json>(text));
  }
  EXPECT_EQ(calls, truth.calls);
  EXPECT_GE(out.count(ChatEvent::Kind::finish), 1U);
  EXPECT_EQ(out.stop(), stop_of(truth)) << truth.stop;
}

TEST_P(RecordedAnswer, IsDecoded) {
  SCOPED_TRACE(recording().file.string());
  ASSERT_EQ(recording().fault, "");
  const RecordedCall to = call();
  // How production tells a stream: two cassettes have lost the type of theirs.
  if (to.stream && !recording().content_type().empty() && recording().content_type() != "application/json") {
    const bool array = recording().form == Recording::Form::json;  // Gemini's without alt=sse
    EXPECT_TRUE(is_event_stream(recording().content_type(), array)) << recording().content_type();
  }
  const WireTruth truth = truth_of(recording(), to);
  if (to.native) check_native(to, truth);
  if (to.translate) check_translated(to, truth);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RecordedAnswer);
INSTANTIATE_TEST_SUITE_P(Corpus, RecordedAnswer, testing::ValuesIn(those([](const Recording& recording) {
                           return recording.good() && answers_a_call_of_ours(recording);
                         })),
                         test_name);

// --- errors ----------------------------------------------------------------------------------------------------------

/// What the errors beside the repository mean where their status alone does not tell.
std::optional<ErrorKind> known_kind(const Recording& recording) {
  static const std::map<std::string, ErrorKind> kKnown = {
      {"bedrock/error-1", ErrorKind::not_found},  // 400, "The provided model identifier is invalid."
      {"bedrock/error-5", ErrorKind::not_found},
      {"bedrock/error-6", ErrorKind::not_found},
      {"bedrock/error-2", ErrorKind::authentication},  // 403, UnrecognizedClientException
      {"bedrock/error-3", ErrorKind::authentication},  // 403, ExpiredTokenException
      {"bedrock/error-4", ErrorKind::authentication},
      {"gemini/error-1", ErrorKind::authentication},  // 400, API_KEY_INVALID
      {"vertex/error-3", ErrorKind::context_length},  // 400, too many tokens
      {"xai/error-1", ErrorKind::authentication},     // 400, "Incorrect API key provided."
  };
  if (std::getenv("WEIR_WIRE_DIR") != nullptr) return {};
  if (const auto known = kKnown.find(recording.provider + "/" + recording.name); known != kKnown.end())
    return known->second;
  switch (recording.status) {
    case 400:
      return ErrorKind::bad_request;
    case 401:
      return ErrorKind::authentication;
    case 403:
      return ErrorKind::permission;
    case 429:
      return ErrorKind::rate_limit;
    default:
      return {};
  }
}

/// What each status may mean, by what its body says.
std::vector<ErrorKind> kinds_of(int status) {
  using K = ErrorKind;
  switch (status) {
    case 401:
      return {K::authentication, K::permission};
    case 402:
      return {K::quota};
    case 403:
      return {K::permission, K::authentication, K::quota, K::content_policy, K::context_length};
    case 404:
      return {K::not_found};
    case 408:
    case 504:
      return {K::timeout};
    case 413:
      return {K::too_large, K::context_length};
    case 429:
      return {K::rate_limit, K::quota, K::overloaded, K::too_large};
    default:
      if (status >= 500) return {K::upstream, K::overloaded, K::timeout, K::rate_limit};
      return {K::bad_request, K::context_length, K::content_policy, K::too_large,
              K::not_found,   K::authentication, K::permission,     K::quota};
  }
}

class RecordedError : public Recorded {};

TEST_P(RecordedError, IsClassified) {
  SCOPED_TRACE(recording().file.string());
  ASSERT_EQ(recording().fault, "");
  const int status = recording().status;
  const Error error = classified(*call().codec, status, recording().response, recording().headers);
  EXPECT_THAT(kinds_of(status), testing::Contains(error.kind)) << status << " " << error.detail;
  if (const auto known = known_kind(recording())) {
    EXPECT_EQ(error.kind, *known) << error.detail;
  }
  const bool callers = error.kind == ErrorKind::bad_request || error.kind == ErrorKind::content_policy ||
                       (error.kind == ErrorKind::too_large && error.code != "rate_limit_exceeded");
  EXPECT_EQ(error.retry, callers ? Retry::no : Retry::other_target) << "another model may do better, or nobody";
  EXPECT_EQ(error.http_status, status < 500 ? status : 502);
  std::vector<std::string> said;
  for (const Json& value : values_of(recording())) strings_of(value, said);
  EXPECT_THAT(said, testing::Contains(error.detail)) << "the upstream's own words";
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RecordedError);
INSTANTIATE_TEST_SUITE_P(Corpus, RecordedError,
                         testing::ValuesIn(those([](const Recording& recording) { return !recording.good(); })),
                         test_name);

// --- calls that Weir does not make -----------------------------------------------------------------------------------

class ForeignAnswer : public Recorded {};

/// Files, model lists, telemetry, bodies of models that Bedrock has no common form for: nobody asks for them through
/// Weir. Their bytes are still bytes of an upstream's: each decoder ends in an answer or an error, however they are
/// cut.
TEST_P(ForeignAnswer, EndsInAnAnswerOrAnError) {
  SCOPED_TRACE(recording().file.string());
  ASSERT_EQ(recording().fault, "");
  const RecordedCall to = call();
  for (const Protocol protocol : {Protocol::openai_chat, Protocol::anthropic_messages, Protocol::gemini_generate}) {
    SCOPED_TRACE(to_string(protocol));
    CodecRig rig(protocol, "", true);
    const Decoded streamed = decode_every_way(*to.codec, rig, to.model, recording().response);
    EXPECT_TRUE(streamed.end || streamed.error) << streamed;
    CodecRig once(protocol);
    const Decoded whole = decode_whole(*to.codec, once, to.model, recording().response);
    EXPECT_TRUE(whole.end || whole.error) << whole;
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ForeignAnswer);
INSTANTIATE_TEST_SUITE_P(Corpus, ForeignAnswer, testing::ValuesIn(those([](const Recording& recording) {
                           return recording.good() && !answers_a_call_of_ours(recording);
                         })),
                         test_name);

}  // namespace
}  // namespace weir::providers
