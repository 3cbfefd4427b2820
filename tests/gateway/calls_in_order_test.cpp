// Calls whose arguments come in turns are told one after the other, and those that come one by one at once.
#include "gateway/api/calls_in_order.h"

#include <gtest/gtest.h>

#include "gateway/api/answer_size.h"

#include <string>

namespace weir::gateway {
namespace {

using providers::ChatEvent;

/// "0:NAME" begins call 0, "0+TEXT" goes on with it, "!" is the end, "s" a signature, anything else text.
std::string told(std::initializer_list<const char*> script) {
  CallsInOrder order;
  std::string out;
  const auto to = [&](const ChatEvent& event) {
    if (event.kind == ChatEvent::Kind::tool_call)
      out += std::to_string(event.tool_index) + event.tool_call.name + event.tool_call.arguments + " ";
    else
      out += event.kind == ChatEvent::Kind::finish ? "!" : event.kind == ChatEvent::Kind::signature ? "s " : "t ";
  };
  for (const std::string word : script) {
    ChatEvent event;
    if (word == "!") event.kind = ChatEvent::Kind::finish;
    if (word == "s") event.kind = ChatEvent::Kind::signature;
    if (word.size() > 1 && (word[1] == ':' || word[1] == '+')) {
      event.kind = ChatEvent::Kind::tool_call;
      event.tool_index = word[0] - '0';
      (word[1] == ':' ? event.tool_call.name : event.tool_call.arguments) = word.substr(2);
    }
    order.pass(event, to);
    out += word == "!" ? "" : "|";
  }
  return out;
}

TEST(CallsInOrder, OneByOneIsNotDelayed) {
  EXPECT_EQ(told({"t", "0:f", "0+{\"a\":\"}", "0+\"}", "1:g", "1+{}", "!"}), "t |0f |0{\"a\":\"} |0\"} |1g |1{} |!");
}

TEST(CallsInOrder, TurnsAreParted) {
  EXPECT_EQ(told({"0:f", "1:g", "0+{\"a\":", "1+{\"b\":", "0+1}", "1+2}", "!"}),
            "0f ||0{\"a\": ||01} 1g 1{\"b\": |12} |!");
  EXPECT_EQ(told({"0:f", "1:g", "2:h", "2+{}", "1+{}", "0+{}", "!"}), "0f |||||0{} 1g 1{} 2h 2{} |!");
}

TEST(CallsInOrder, NoArgumentsAtAll) {
  EXPECT_EQ(told({"0:f", "1:g", "2:h", "!"}), "0f |||1g 2h !");
}

TEST(CallsInOrder, WhatComesBetweenThePiecesOfACallWaitsForItsEnd) {
  EXPECT_EQ(told({"0:f", "t", "0+{\"a\":", "t", "0+1}", "t", "!"}), "0f ||0{\"a\": ||01} t t |t |!");
  EXPECT_EQ(told({"0:f", "t", "1:g", "1+{}", "!"}), "0f ||||t 1g 1{} !");
}

TEST(CallsInOrder, ASignatureStaysWithItsCall) {
  EXPECT_EQ(told({"0:f", "1:g", "s", "0+{}", "!"}), "0f |||0{} 1g |s !");
  EXPECT_EQ(told({"0:f", "0+{}", "s", "!"}), "0f |0{} |s |!");
}

TEST(CallsInOrder, ASignatureWaitsForTheArgumentsOfItsCall) {
  EXPECT_EQ(told({"0:f", "s", "0+{\"a\":", "0+1}", "t", "!"}), "0f ||0{\"a\": |01} s |t |!");
  EXPECT_EQ(told({"0:f", "s", "1:g", "s", "0+{}", "1+{}", "!"}), "0f ||||0{} s 1g |1{} s |!");
  EXPECT_EQ(told({"0:f", "1:g", "s", "1+{}", "0+{}", "!"}), "0f ||||0{} 1g 1{} s |!");
  EXPECT_EQ(told({"0:f", "0+{", "s", "!"}), "0f |0{ ||s !") << "an answer cut off within the arguments";
}

TEST(CallsInOrder, ManyThatWaitAreToldInTheOrderOfTheirFirstPieces) {
  CallsInOrder order;
  std::string out;
  const auto to = [&](const ChatEvent& event) { out += std::to_string(event.tool_index) + event.tool_call.arguments; };
  ChatEvent piece;
  piece.kind = ChatEvent::Kind::tool_call;
  std::string expected;
  for (const char* arguments : {"{", "1", "}"})
    for (piece.tool_index = 0; piece.tool_index < 500; ++piece.tool_index) {
      piece.tool_call.arguments = arguments;
      order.pass(piece, to);
    }
  for (int i = 0; i < 500; ++i)
    for (const char* arguments : {"{", "1", "}"}) expected += std::to_string(i) + arguments;
  EXPECT_EQ(out, expected);
}

TEST(CallsInOrder, OfVeryManyPiecesThatWaitThoseOfOneKindAreOne) {
  CallsInOrder order;
  size_t told = 0;
  std::string out;
  const auto to = [&](const ChatEvent& event) {
    ++told;
    out += event.text + event.tool_call.arguments;
  };
  ChatEvent piece;
  piece.kind = ChatEvent::Kind::tool_call;
  piece.tool_call.arguments = "{";
  order.pass(piece, to);
  ChatEvent word;
  word.text = "a";
  for (int i = 0; i < 5000; ++i) order.pass(word, to);
  word.kind = ChatEvent::Kind::reasoning;
  for (int i = 0; i < 5000; ++i) order.pass(word, to);
  EXPECT_EQ(told, 1U);
  piece.tool_call.arguments = "}";
  order.pass(piece, to);
  EXPECT_EQ(told, 1U + 1 + 4096 + 1);
  EXPECT_EQ(out, "{}" + std::string(10000, 'a'));
}

TEST(AnswerSize, CountsWhatIsKept) {
  AnswerSize size;
  ChatEvent event;
  event.text = std::string(100, 'x');
  size.add(event);
  size.add(event);
  EXPECT_EQ(size.bytes(), 512U + 200) << "text goes on";
  event.index = 1;
  size.add(event);
  event.index = 0;
  size.add(event);
  EXPECT_EQ(size.bytes(), 2 * 512U + 400) << "choices each go on with their own";
  event = {};
  event.kind = ChatEvent::Kind::tool_call;
  event.tool_call = {"id", "name", "{"};
  size.add(event);
  event.tool_call = {"", "", "}"};
  size.add(event);
  EXPECT_EQ(size.bytes(), 3 * 512U + 400 + 8);
  event.tool_index = 1;
  size.add(event);
  EXPECT_EQ(size.bytes(), 4 * 512U + 400 + 9) << "another call";
  event = {};
  event.kind = ChatEvent::Kind::citation;
  event.citation = {{"url", "u"}};
  size.add(event);
  size.add(event);
  EXPECT_EQ(size.bytes(), 6 * 512U + 400 + 9 + 2 * 11) << "each of them is kept";
}

}  // namespace
}  // namespace weir::gateway
