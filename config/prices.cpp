#include "config/prices.h"

#include <algorithm>
#include <array>
#include <vector>

namespace weir::config {
namespace {

constexpr size_t kModelNameBytesMax = 256;  // longer names have no price; keeps a lookup bounded

bool is_digits(std::string_view text, size_t count) {
  return text.size() == count && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_version(std::string_view text) {  // "v1", "v12"
  return text.size() >= 2 && text.size() <= 3 && text.front() == 'v' && is_digits(text.substr(1), text.size() - 1);
}

/// Whether "-2024-08-06", "@20240620", "-0613", "-09-2025", "-001", "-latest", "-v1:0" or several of these in a row say
/// which issue of a model is meant. Other words ("-mini") and lone digits ("-4" and "-4-1") are other models.
bool is_version_suffix(std::string_view suffix) {
  std::vector<std::string_view> parts;
  while (!suffix.empty()) {
    suffix.remove_prefix(1);  // the separator
    const size_t end = std::min(suffix.find_first_of("-@:"), suffix.size());
    parts.push_back(suffix.substr(0, end));
    suffix.remove_prefix(end);
  }
  for (size_t i = 0; i < parts.size();) {
    const auto two_follow = [&](size_t at) { return at < parts.size() && is_digits(parts[at], 2); };
    if (is_digits(parts[i], 4)) {
      i += two_follow(i + 1) && two_follow(i + 2) ? 3 : 1;
    } else if (is_digits(parts[i], 2) && i + 1 < parts.size() && is_digits(parts[i + 1], 4)) {
      i += 2;
    } else if (is_version(parts[i])) {
      i += i + 1 < parts.size() && is_digits(parts[i + 1], 1) ? 2 : 1;
    } else if (is_digits(parts[i], 8) || is_digits(parts[i], 3) || parts[i] == "latest") {
      i += 1;
    } else {
      return false;
    }
  }
  return !parts.empty();
}

/// Bedrock's inference profiles name the region before the model; the price list has the model once for all regions.
std::string_view without_region(std::string_view name) {
  constexpr std::array<std::string_view, 7> kRegions = {"us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca."};
  for (const auto region : kRegions)
    if (name.starts_with(region)) return name.substr(region.size());
  return name;
}

/// Calls `each` with every term of "a+b".
template <class Each>
void for_each_term(std::string_view tier, const Each& each) {
  while (!tier.empty()) {
    const size_t plus = std::min(tier.find('+'), tier.size());
    if (plus > 0) each(tier.substr(0, plus));
    tier.remove_prefix(std::min(plus + 1, tier.size()));
  }
}

}  // namespace

const Rates& RateCard::of_prompt(int64_t tokens) const {
  const Rates* rates = this;
  for (const LongPrompt& step : above)
    if (tokens > step.tokens) rates = &step.rates;
  return *rates;
}

Rates Price::at(std::string_view tier, int64_t prompt_tokens) const {
  const RateCard* card = this;
  for_each_term(tier, [&](std::string_view term) {
    const auto found = tiers.find(term);
    if (found != tiers.end() && found->second.card) card = &*found->second.card;
  });
  Rates rates = card->of_prompt(prompt_tokens);
  rates.web_search = web_search;  // the same whoever served it
  for_each_term(tier, [&](std::string_view term) {
    const auto found = tiers.find(term);
    if (found != tiers.end() && !found->second.card) rates = rates.times(found->second.millionths);
  });
  return rates;
}

Rates Price::most(std::string_view tier, int64_t prompt_tokens) const {
  const Rates& standard = *this;
  Rates most = standard;
  const auto raise = [&](const RateCard& card) {
    most.raise(card);
    for (const LongPrompt& step : card.above)
      if (prompt_tokens > step.tokens) most.raise(step.rates);
  };
  raise(*this);
  for_each_term(tier, [&](std::string_view term) {
    const auto found = tiers.find(term);
    if (found != tiers.end() && found->second.card) raise(*found->second.card);
  });
  for_each_term(tier, [&](std::string_view term) {
    const auto found = tiers.find(term);
    if (found != tiers.end() && !found->second.card && found->second.millionths > 1'000'000)
      most = most.times(found->second.millionths);
  });
  return most;
}

std::string Price::unpriced(std::string_view tier) const {
  std::string names;
  for_each_term(tier, [&](std::string_view term) {
    if (!tiers.contains(term)) names.append(names.empty() ? "" : "+").append(term);
  });
  return names;
}

NanoUsd charge(const Price& price, const TokenCounts& counts, std::string_view tier) {
  return charge(price.at(tier, counts.input), counts);
}

const Price* PriceTable::find_one(std::string_view name) const {
  if (const auto exact = by_model_.find(name); exact != by_model_.end()) return &exact->second;
  for (size_t end = name.find_last_of("-@:"); end != std::string_view::npos && end > 0;
       end = name.find_last_of("-@:", end - 1)) {
    const auto listed = by_model_.find(name.substr(0, end));
    if (listed != by_model_.end() && is_version_suffix(name.substr(end))) return &listed->second;
  }
  return nullptr;
}

const Price* PriceTable::find(std::string_view model) const {
  if (model.size() > kModelNameBytesMax) return nullptr;
  for (std::string_view name = model;;) {
    if (const Price* price = find_one(name)) return price;
    if (const Price* price = find_one(without_region(name))) return price;
    const size_t slash = name.find('/');
    if (slash == std::string_view::npos) return nullptr;
    name.remove_prefix(slash + 1);
  }
}

const Price* PriceTable::find(std::string_view upstream_model, std::string_view public_model) const {
  const Price* const upstream = find(upstream_model);
  if (upstream != nullptr && upstream->own) return upstream;
  const Price* const named = find(public_model);
  return named != nullptr && (named->own || upstream == nullptr) ? named : upstream;
}

}  // namespace weir::config
