// What a model costs: its rates, those for long prompts, those of other tiers of service; and the table of all models,
// kept by name. The file format is dollars a million tokens (config/prices.yaml, and `prices:` of a config, which
// wins). Pure values, immutable after load.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/rates.h"

namespace weir::config {

/// What holds for the whole of a call whose prompt has more than `tokens`, cache reads and writes included.
struct LongPrompt {
  int64_t tokens = 0;
  Rates rates;
  friend bool operator==(const LongPrompt&, const LongPrompt&) = default;
};

struct RateCard : Rates {
  std::vector<LongPrompt> above = {};  // by rising tokens
  friend bool operator==(const RateCard&, const RateCard&) = default;

  /// The rates of a call with that many prompt tokens.
  const Rates& of_prompt(int64_t tokens) const;
};

/// A tier of service that costs something else: rates of its own, or a multiple of those that hold without it.
struct Tier {
  std::optional<RateCard> card = {};
  int64_t millionths = 1'000'000;  // where it has no card
  friend bool operator==(const Tier&, const Tier&) = default;
};

/// Tiers are named by what an answer says of itself, one term or several joined by '+' ("priority", "fast+us"); the
/// empty name is the standard tier, which the card itself is of.
struct Price : RateCard {
  std::map<std::string, Tier, std::less<>> tiers = {};  // by term
  std::optional<int64_t> output_tokens_max = {};        // the model's own maximum, where known
  std::optional<int64_t> context_tokens = {};
  bool own = false;  // of the config's prices:, not of the list that is built in
  friend bool operator==(const Price&, const Price&) = default;

  /// The rates of a call that was served at `tier`. A term without a price changes nothing: unpriced() names it.
  Rates at(std::string_view tier, int64_t prompt_tokens) const;
  /// At least what a call can cost that asks for `tier`, is served at it, at a part of it or at the standard one, and
  /// whose prompt is at most that long: of each kind the highest rate.
  Rates most(std::string_view tier, int64_t prompt_tokens) const;
  /// Those terms of `tier` that have no price here, joined by '+'.
  std::string unpriced(std::string_view tier) const;
};

/// What a call costs that was served at `tier`: by this alone, budgets are settled, answers say what they cost, and
/// ledger and metrics are written.
NanoUsd charge(const Price& price, const TokenCounts& counts, std::string_view tier = {});

class PriceTable {
 public:
  /// By exact name, else by the longest listed name that is followed in `model` by a date or version suffix
  /// ("gpt-4o-2024-08-06" finds "gpt-4o"), else without what stands before a '/' ("openai/gpt-4o") or without Bedrock's
  /// region ("eu.anthropic.…"). nullptr: unknown, which costs 0 and is said once at start.
  const Price* find(std::string_view model) const;
  /// Of a call: by the upstream's name of the model, else by the public one; but what the config says of either goes
  /// before what is built in.
  const Price* find(std::string_view upstream_model, std::string_view public_model) const;
  void set(std::string model, Price price) { by_model_[std::move(model)] = std::move(price); }
  const std::map<std::string, Price, std::less<>>& all() const { return by_model_; }

 private:
  const Price* find_one(std::string_view name) const;

  std::map<std::string, Price, std::less<>> by_model_;
};

}  // namespace weir::config
