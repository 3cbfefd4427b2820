// The anthropic codec's answers: every kind of block, errors and broken streams, estimates, damaged bytes. Recorded
// traffic is in wire_corpus_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "providers/anthropic.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using Kind = ChatEvent::Kind;

const Codec& codec() {
  static const std::unique_ptr<Codec> made = make_anthropic_codec({}, "");
  return *made;
}

Protocol client(bool native) {
  return native ? Protocol::anthropic_messages : Protocol::openai_chat;
}

Decoded decode(const std::vector<std::string_view>& pieces, bool native) {
  CodecRig rig(client(native), "", true);
  return decode_pieces(codec(), rig, "a", pieces);
}

Decoded decode_body(std::string_view body, bool native) {
  CodecRig rig(client(native));
  return decode_whole(codec(), rig, "a", body);
}

/// Anthropic's events have their type in an event line too.
std::string stream(std::initializer_list<std::string_view> events) {
  return sse(events, true);
}

TEST(AnthropicDecode, CountsThatMakeNoSenseAreNotBelieved) {
  for (const char* usage : {R"({"input_tokens":2147483648,"output_tokens":41})",
                            R"({"input_tokens":1,"output_tokens":9000000000000000000})",
                            R"({"input_tokens":1,"cache_read_input_tokens":9223372036854775807,"output_tokens":1})"}) {
    const Decoded out =
        decode_body(R"({"type":"message","role":"assistant","content":[{"type":"text","text":"hello you"}],)"
                    R"("stop_reason":"end_turn","usage":)" +
                        std::string(usage) + "}",
                    false);
    EXPECT_EQ(out.text(), "hello you");
    EXPECT_FALSE(out.reported) << usage;
    EXPECT_LT(out.counts.input, 1000) << usage;
    EXPECT_EQ(out.counts.output, 3) << usage;
  }
}

TEST(AnthropicDecode, EveryKindOfBlock) {
  const std::string text = stream(
      {R"({"type":"message_start","message":{"usage":{"input_tokens":10,"cache_creation_input_tokens":30,
"cache_read_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":1}}})",
       R"({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a\n\u00e9\ud83d\ude00"}})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"b\\\""}  })",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}})",
       R"({"type":"content_block_stop","index":0})",
       R"({"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"enc"}})",
       R"({"type":"content_block_stop","index":1})",
       R"({"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"s","name":"web_search"}})",
       R"({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"q\""}})",
       R"({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":":\"\u00e9\"}"}})",
       R"({"type":"content_block_stop","index":2})",
       R"({"type":"content_block_start","index":3,"content_block":{"type":"text","text":""}})",
       R"({"type":"ping"})",
       R"({"type":"a_new_kind_of_event","x":{}})",
       R"({"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"hi"}})",
       R"({"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":" there"}   })",
       R"({"type":"content_block_delta","index":3,"delta":{"type":"citations_delta","citation":{"type":"char_location"}}})",
       R"({"type":"content_block_stop","index":3})",
       R"({"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}})",
       R"({"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}})",
       R"({"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"1}"}})",
       R"({"type":"content_block_stop","index":4})",
       R"({"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"t2","name":"g","input":{}}})",
       R"({"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":""}})",
       R"({"type":"content_block_stop","index":5})",
       R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":10,"cache_creation_input_tokens":30,
"cache_read_input_tokens":5,"output_tokens":50,"output_tokens_details":{"thinking_tokens":7}}})",
       R"({"type":"message_stop"})"});
  CodecRig rig(Protocol::openai_chat, "", true);
  const Decoded out = decode_every_way(codec(), rig, "a", text);
  EXPECT_TRUE(out.end && out.reported);
  EXPECT_EQ(out.all(Kind::reasoning), "a\n\u00e9\U0001F600b\\\"");
  EXPECT_EQ(out.all(Kind::text), "hi there");
  EXPECT_EQ(out.all(Kind::tool_call), R"({"a":1}{})") << "a call without arguments has an empty object";
  EXPECT_EQ(out.stop(), StopReason::tool_calls);
  EXPECT_EQ(out.counts.input, 45);
  EXPECT_EQ(out.counts.cached_input, 5);
  EXPECT_EQ(out.counts.cache_write_5m, 10);
  EXPECT_EQ(out.counts.cache_write_1h, 20);
  EXPECT_EQ(out.counts.output, 50);
  EXPECT_EQ(out.counts.reasoning, 7);
  std::vector<Kind> kinds;
  for (const ChatEvent& event : out.events)
    if (kinds.empty() || kinds.back() != event.kind) kinds.push_back(event.kind);
  EXPECT_THAT(kinds, testing::ElementsAre(Kind::reasoning, Kind::signature, Kind::native, Kind::text, Kind::citation,
                                          Kind::tool_call, Kind::finish));
  const auto item =
      std::find_if(out.events.begin(), out.events.end(), [](const auto& event) { return event.kind == Kind::native; });
  EXPECT_EQ(item->native, read_json<Json>(R"({"type":"anthropic:server_tool_use","item":{"type":"server_tool_use",
"id":"s","name":"web_search","input":{"q":"\u00e9"}}})"));
}

/// What no event tells yet is work under way all the same: a first token, as for Anthropic's own clients.
TEST(AnthropicDecode, WorkThatShowsNothingHasBegun) {
  for (const auto& [block, begun] : {std::pair(R"({"type":"thinking","thinking":"","signature":""})", true),
                                     std::pair(R"({"type":"server_tool_use","id":"s","name":"web_search"})", true),
                                     std::pair(R"({"type":"mcp_tool_result","tool_use_id":"s"})", true),
                                     std::pair(R"({"type":"text","text":""})", false)}) {
    CodecRig rig(Protocol::openai_chat, "", true);
    const auto decoder = codec().decoder(rig.attempt("a"));
    ReplyBatch batch;
    decoder->feed(stream({R"({"type":"message_start","message":{}})", R"({"type":"ping"})"}), batch);
    EXPECT_FALSE(batch.begun);
    const std::string start = std::string(R"({"type":"content_block_start","index":0,"content_block":)") + block + "}";
    decoder->feed(stream({start}), batch);
    EXPECT_EQ(batch.begun, begun) << block;
    EXPECT_TRUE(batch.events.empty() && !batch.error) << block;
  }
}

/// What a block cites comes before its text or behind it, and is about all of it and nothing else.
TEST(AnthropicDecode, CitationsWaitForTheEndOfTheirBlock) {
  const std::string cited =
      stream({R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
              R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"in"}})",
              R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"tro"}})",
              R"({"type":"content_block_stop","index":0})",
              R"({"type":"content_block_start","index":1,"content_block":{"citations":[],"type":"text","text":""}})",
              R"({"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"url":"a"}}})",
              R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"fa"}})",
              R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"ct"}})",
              R"({"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"url":"b"}}})"});
  const std::string block_end = stream({R"({"type":"content_block_stop","index":1})"});
  const std::string stop = stream({R"({"type":"message_delta","delta":{"stop_reason":"end_turn"}})"});
  const std::string end = stream({R"({"type":"message_stop"})"});
  for (const std::string& rest : {block_end + stop + end, stop + end, stop, end}) {
    CodecRig rig(Protocol::openai_chat, "", true);
    const Decoded out = decode_every_way(codec(), rig, "a", cited + rest);
    std::string told;
    for (const ChatEvent& event : out.events) {
      if (event.kind == Kind::finish) continue;
      told += (event.opens_block ? "[" : "") + event.text;
      if (event.kind == Kind::citation) told += "]" + event.citation["url"].get<std::string>();
    }
    EXPECT_EQ(told, "[intro[fact]a]b") << rest;
  }
}

TEST(AnthropicDecode, BytesThatAreNoTextAreMarkedHoweverTheyArrive) {
  std::string text =
      stream({R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
              R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}})",
              R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"HALF"}})",
              R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"SURROGATE"}})",
              R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}})",
              R"({"type":"message_stop"})"});
  text.replace(text.find("HALF"), 4, "\xe4\xbd");
  text.replace(text.find("SURROGATE"), 9, "\\ud83d");
  CodecRig rig(Protocol::openai_chat, "", true);
  EXPECT_EQ(decode_every_way(codec(), rig, "a", text).text(), "a\uFFFD") << "the last still waits for its other half";
  text.replace(text.find("\xe4\xbd"), 2, "\xf0\x9f");
  text.replace(text.find("\\ud83d"), 6, "\x98\x80");
  EXPECT_EQ(decode_every_way(codec(), rig, "a", text).text(), "a\xf0\x9f\x98\x80");
}

TEST(AnthropicDecode, WhatCompactingTookIsCounted) {
  CodecRig rig(Protocol::anthropic_messages);
  const Decoded out = decode_whole(codec(), rig, "a", R"({"type":"message","content":[],"usage":{"input_tokens":23,
"output_tokens":10,"iterations":[{"type":"compaction","input_tokens":1800,"output_tokens":35},
{"type":"message","input_tokens":23,"output_tokens":10}]}})");
  EXPECT_EQ(out.counts.input, 1823);
  EXPECT_EQ(out.counts.output, 45);
}

TEST(AnthropicDecode, AnEventThatIsNoJsonIsAFault) {
  CodecRig rig(Protocol::openai_chat, "", true);
  const Decoded out = decode_every_way(codec(), rig, "a", "data: {\"type\":\"content_block_delta\",}\n\n");
  ASSERT_TRUE(out.error);
  EXPECT_EQ(out.error->http_status, 502);
}

TEST(AnthropicDecode, ErrorsBreaksAndEstimates) {
  const Decoded error =
      decode({stream({R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})"})}, true);
  EXPECT_TRUE(error.error && !error.bytes.empty());
  const std::string begun =
      stream({R"({"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}})",
              R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
              R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"some words of text"}})"});
  const Decoded broken = decode({begun}, false);
  EXPECT_TRUE(broken.error && !broken.end && !broken.reported);
  EXPECT_EQ(broken.counts.input, 10);
  EXPECT_EQ(broken.counts.output, 5) << "what came is charged as an estimate";
  for (const char* reason : {"end_turn", "max_tokens", "stop_sequence", "refusal", "pause_turn",
                             "model_context_window_exceeded", "something_new"}) {
    const std::string text = begun + "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" +
                             std::string(reason) + "\"},\"usage\":{\"output_tokens\":2}}\n\n";
    EXPECT_TRUE(decode({text}, false).end) << reason;
  }
  EXPECT_TRUE(decode_body("not json", false).error);
  EXPECT_TRUE(decode({"data: [1,2]\n\ndata: {\"type\":\"content_block_delta\",\"index\":9}\n\n"}, false).error);
}

TEST(AnthropicDecode, TheContainerIsToldWithTheEnd) {
  const std::string told =
      stream({R"({"type":"message_start","message":{"container":null,"usage":{"input_tokens":10,"output_tokens":1}}})",
              R"({"type":"message_delta","delta":{"stop_reason":"pause_turn","container":{"id":"c1","expires_at":"x"}},
"usage":{"output_tokens":2}})",
              R"({"type":"message_stop"})"});
  const Decoded out = decode({told}, false);
  ASSERT_FALSE(out.events.empty());
  EXPECT_EQ(out.events.back().container["id"], "c1");
  EXPECT_EQ(out.stop(), StopReason::pause_turn);
  const Decoded whole = decode_body(R"({"type":"message","content":[],"stop_reason":"end_turn","container":{"id":"c2"},
"usage":{"input_tokens":1,"output_tokens":1}})",
                                    false);
  EXPECT_EQ(whole.events.back().container["id"], "c2");
  EXPECT_EQ(decode({told}, true).bytes, told) << "as it came";
}

TEST(AnthropicDecode, WhereTheEndMarkIsMissingClientsGetOurs) {
  const std::string_view mark = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  const std::string stop =
      stream({R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}})"});
  EXPECT_EQ(decode({stop}, true).bytes, stop + std::string(mark));
  EXPECT_TRUE(decode({stop}, true).done);
  const std::string cut = stop.substr(0, stop.size() - 1);  // without its blank line
  EXPECT_EQ(decode({cut}, true).bytes, cut + "\n\n" + std::string(mark));
  EXPECT_EQ(decode({stop + std::string(mark)}, true).bytes, stop + std::string(mark));
}

TEST(AnthropicDecode, DamagedBytesEndInAnErrorOrAnAnswer) {
  const auto streams = files_of(shared_wire() / "best/anthropic", "", ".response.sse");
  const std::string own = stream(
      {R"({"type":"message_start","message":{"usage":{"input_tokens":10}}})",
       R"({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}})",
       R"({"type":"content_block_stop","index":0})",
       R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}})"});
  std::mt19937 random(7);
  constexpr std::string_view kBytes = "{}[]\",:0n\\\n-9u";
  for (int round = 0; round < 400; ++round) {
    std::string text = streams.empty() || round % 2 == 0 ? own : read_file(streams[random() % streams.size()]);
    for (int change = 0; change < 1 + round % 6; ++change)
      text[random() % text.size()] = kBytes[random() % kBytes.size()];
    const size_t at = random() % text.size();
    const std::vector<std::string_view> pieces = {std::string_view(text).substr(0, at),
                                                  std::string_view(text).substr(at)};
    const std::string rest = text.substr(std::min(text.find('{'), text.size()));
    for (const bool native : {true, false}) {
      const Decoded out = decode(pieces, native);
      EXPECT_TRUE(out.end || out.error);
      const Decoded whole = decode_body(rest, native);
      EXPECT_TRUE(whole.end || whole.error);
    }
  }
}

TEST(AnthropicDecode, UsageIsMarkedWhereTheCostGoes) {
  CodecRig rig(Protocol::anthropic_messages, "", true);
  const auto decoder = codec().decoder(rig.attempt("a"));
  ReplyBatch batch;
  const std::string text =
      stream({R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}})"});
  decoder->feed(text, batch);
  ASSERT_EQ(batch.segments.size(), 1U);
  EXPECT_EQ(batch.segments[0].kind, Segment::Kind::usage);
  EXPECT_EQ(batch.segments[0].bytes.substr(batch.segments[0].usage_object), "\"output_tokens\":2}}\n\n");
}

TEST(AnthropicDecode, BareEventsBecomeServerSentOnes) {
  CodecRig rig(Protocol::anthropic_messages, "", true);
  const auto decoder = make_anthropic_decoder(rig.attempt("a"));
  ReplyBatch batch;
  decoder->event(R"({"type":"ping"})", batch);
  decoder->event("{\"type\":\n\"message_stop\"}", batch);
  std::string bytes;
  for (const Segment& segment : batch.segments) bytes += segment.bytes;
  EXPECT_EQ(bytes,
            "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: message_stop\ndata: {\"type\": \"message_stop\"}\n\n");
  batch.clear();
  decoder->finish(batch);
  EXPECT_TRUE(batch.end);
}

TEST(AnthropicDecode, CountingTokensIsFree) {
  CodecRig rig(Protocol::anthropic_count);
  const Decoded out = decode_whole(codec(), rig, "a", R"({"input_tokens":14})");
  EXPECT_TRUE(out.end && out.reported);
  EXPECT_EQ(out.counts, config::TokenCounts{});
}

}  // namespace
}  // namespace weir::providers
