#include "engine/engine_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/rng.h"

namespace weir::engine {
namespace {

/// What StopFilter promises, said naively: byte by byte, the first stop string to complete ends the text.
std::string naive_cut(const std::string& text, const std::vector<std::string>& stops, bool& stopped) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const auto& stop : stops) {
      if (std::string_view(text).substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    stopped = longest > 0;
    if (stopped) return text.substr(0, end - longest);
  }
  return text;
}

TEST(StopFilter, HoldsBackWhatMayBecomeAStop) {
  StopFilter filter({"\n\nHuman"});
  std::string shown;
  EXPECT_FALSE(filter.feed("Yes.\n", shown));
  EXPECT_EQ(shown, "Yes.");
  EXPECT_FALSE(filter.feed("\nHum", shown));
  EXPECT_EQ(shown, "Yes.");
  EXPECT_FALSE(filter.feed("our", shown));
  EXPECT_EQ(shown, "Yes.\n\nHumour");
  EXPECT_TRUE(filter.feed(" me\n\nHuman: hi", shown));
  EXPECT_EQ(shown, "Yes.\n\nHumour me");
}

TEST(StopFilter, FlushGivesWhatWasHeld) {
  StopFilter filter({"END"});
  std::string shown;
  EXPECT_FALSE(filter.feed("the EN", shown));
  EXPECT_EQ(shown, "the ");
  filter.flush(shown);
  EXPECT_EQ(shown, "the EN");
}

TEST(StopFilter, TheCutDependsOnTheTextAloneNotOnItsParts) {
  Rng rng(3);
  for (int round = 0; round < 20'000; ++round) {
    const auto draw = [&](size_t most) {
      std::string text(1 + rng.below(most), 'a');
      for (char& c : text) c = static_cast<char>('a' + rng.below(2));
      return text;
    };
    std::vector<std::string> stops(1 + rng.below(3));
    for (auto& stop : stops) stop = draw(5) + (rng.below(2) == 0 ? "c" : "");
    std::string text = draw(30);
    for (char& c : text) {
      if (rng.below(6) == 0) c = 'c';
    }
    bool should_stop = false;
    const std::string expected = naive_cut(text, stops, should_stop);

    StopFilter filter(stops);
    std::string shown;
    bool stopped = false;
    for (size_t at = 0; at < text.size() && !stopped;) {
      const size_t n = std::min(text.size() - at, rng.below(5));
      stopped = filter.feed(std::string_view(text).substr(at, n), shown);
      at += n;
      ASSERT_TRUE(expected.starts_with(shown)) << "a part of a stop string was shown";
    }
    if (!stopped) filter.flush(shown);
    ASSERT_EQ(shown, expected) << text;
    ASSERT_EQ(stopped, should_stop);
  }
}

TokenLogprob logprob(TokenId token) {
  return {.token = token, .logprob = -1.0F};
}

std::vector<TokenId> explained(const Output& output) {
  std::vector<TokenId> ids;
  for (const auto& l : output.logprobs) ids.push_back(l.token);
  return ids;
}

TEST(OutputAssembler, TokensTravelWithTheirText) {
  OutputAssembler out({"xyz"}, true);
  EXPECT_FALSE(out.add(1, logprob(1), "ab"));
  EXPECT_EQ(out.take()->token_ids, (std::vector<TokenId>{1}));
  EXPECT_FALSE(out.add(2, logprob(2), "cx"));
  const auto piece = out.take();
  EXPECT_EQ(piece->text, "c");
  EXPECT_EQ(piece->tokens, 0);  // its text is not whole yet
  EXPECT_FALSE(out.add(3, logprob(3), "y"));
  EXPECT_FALSE(out.take().has_value());
  EXPECT_FALSE(out.add(4, logprob(4), "!"));
  EXPECT_EQ(out.take()->token_ids, (std::vector<TokenId>{2, 3, 4}));
}

TEST(OutputAssembler, AStopStringHidesItsTokensLogprobsButCountsThem) {
  OutputAssembler out({"STOP"}, true);
  out.add(1, logprob(1), "a");
  out.add(2, logprob(2), "bST");
  out.add(3, logprob(3), "O");
  EXPECT_TRUE(out.add(4, logprob(4), "P!"));
  EXPECT_EQ(out.finish(Finish::length, ""), Finish::stop);
  const auto last = out.take();
  EXPECT_EQ(last->text, "ab");
  EXPECT_EQ(last->tokens, 4);
  EXPECT_EQ(last->token_ids, (std::vector<TokenId>{1, 2, 3, 4}));
  EXPECT_EQ(explained(*last), (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(last->finish, Finish::stop);
}

TEST(OutputAssembler, TheEndFlushesAndTheFlushMayStillStop) {
  OutputAssembler out({"ab"}, true);
  out.add(1, logprob(1), "xa");
  EXPECT_EQ(out.finish(Finish::length, "b"), Finish::stop);
  EXPECT_EQ(out.take()->text, "x");

  OutputAssembler other({"ab"}, true);
  other.add(1, logprob(1), "xa");
  other.add_hidden(9);
  EXPECT_EQ(other.finish(Finish::stop, ""), Finish::stop);
  const auto last = other.take();
  EXPECT_EQ(last->text, "xa");
  EXPECT_EQ(last->tokens, 2);
  EXPECT_EQ(explained(*last), (std::vector<TokenId>{1}));
}

TEST(OutputAssembler, WithoutTextTokensAreHandedOnAsTheyCome) {
  OutputAssembler out({}, false);
  EXPECT_FALSE(out.take().has_value());
  out.add(5, std::nullopt, "");
  EXPECT_EQ(out.take()->token_ids, (std::vector<TokenId>{5}));
  EXPECT_FALSE(out.take().has_value());
  out.finish(Finish::length, "");
  EXPECT_EQ(out.take()->finish, Finish::length);
}

}  // namespace
}  // namespace weir::engine
