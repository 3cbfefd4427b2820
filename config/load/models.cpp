// `models:`, the public names, each with its targets in order.
#include <filesystem>

#include "config/load/scalars.h"
#include "config/load/sections.h"

namespace weir::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr int64_t kWeightMax = 1'000'000;
constexpr size_t kTargetsMax = 1000;

/// One that is not there is a warning, as a model's folder is: another machine may have it. What is there must be one.
void read_tokenizer(MapReader& map, Reading& reading, std::string& out) {
  const auto cursor = map.get("tokenizer");
  if (!cursor) return;
  auto place = cursor->text("a folder with a tokenizer.json, or such a file");
  if (!place) return;
  if (place->empty()) return cursor->mistake("must be a folder with a tokenizer.json, or such a file, is empty");
  out = std::move(*place);
  if (!reading.touch_files || !reading.known.bad_tokenizer) return;
  std::error_code problem;
  if (!std::filesystem::exists(out, problem))
    return reading.report.warning(cursor->path(), "there is no file or folder " + cursor->shown() + " on this machine");
  const auto [known, first] = reading.tokenizers.try_emplace(out);
  if (first) known->second = reading.known.bad_tokenizer(out);
  if (known->second) cursor->mistake(*known->second);
}

void read_target(const Cursor& cursor, Reading& reading, ModelConfig& model) {
  TargetConfig target;
  MapReader map(cursor);
  map.text("account", target.account);
  map.text("engine", target.engine);
  map.text("model", target.model);
  map.integer("weight", target.weight, 0, kWeightMax);
  read_tokenizer(map, reading, target.tokenizer);
  map.finish();
  if (cursor.node().kind == Node::Kind::map && map.has("account") == map.has("engine"))
    cursor.mistake(map.has("account") ? "has account and engine; keep one of them"
                                      : "needs account: a name under accounts, or engine: a name under engines");
  if (map.has("engine") && map.has("model"))
    cursor.report().mistake(path_of(cursor.path(), "model"), "an engine serves one model; remove this key");
  if (map.has("engine") && map.has("tokenizer"))
    cursor.report().mistake(path_of(cursor.path(), "tokenizer"), "an engine has its own tokenizer; remove this key");
  model.targets.push_back(std::move(target));
}

void read_timeout(const Cursor& cursor, ModelConfig& model) {
  MapReader map(cursor);
  map.duration("first_token", model.first_token_timeout, milliseconds(1), hours(24));
  map.duration("total", model.total_timeout, milliseconds(1), hours(24));
  milliseconds attempt{0};
  map.duration("attempt", attempt, milliseconds(1), hours(24));
  if (attempt.count() > 0) model.attempt_timeout = attempt;
  map.finish();
  if (attempt > model.total_timeout && map.has("total"))
    cursor.report().mistake(path_of(cursor.path(), "attempt"),
                            "must be ≤ total (" + to_text(model.total_timeout) + "), is " + to_text(attempt));
  if (model.first_token_timeout <= model.total_timeout) return;
  if (!map.has("first_token"))
    model.first_token_timeout = model.total_timeout;
  else if (!map.has("total"))
    model.total_timeout = model.first_token_timeout;
  else
    cursor.report().mistake(path_of(cursor.path(), "first_token"), "must be ≤ total (" + to_text(model.total_timeout) +
                                                                       "), is " + to_text(model.first_token_timeout));
}

void read_model(const Cursor& cursor, Reading& reading, ModelConfig model) {
  MapReader map(cursor);
  if (const auto strategy = map.get("strategy"))
    if (auto name = strategy->choice(reading.known.strategies)) model.strategy = std::move(*name);
  if (const auto targets = map.require("targets", "a list such as [{account: NAME, model: NAME}]")) {
    targets->items([&](const Cursor& target) {
      if (model.targets.size() < kTargetsMax) return read_target(target, reading, model);
      if (model.targets.size() == kTargetsMax)
        target.mistake("a model may have at most " + std::to_string(kTargetsMax) + " targets");
    });
    if (targets->node().kind == Node::Kind::sequence && targets->node().values.empty())
      targets->mistake("is empty; a model needs at least one target");
  }
  read_tokenizer(map, reading, model.tokenizer);
  if (const auto fallbacks = map.get("fallbacks"))
    fallbacks->items([&](const Cursor& item) {
      if (auto name = item.text("the name of a model")) model.fallbacks.push_back(std::move(*name));
    });
  map.integer("retries", model.retries, 0, 100);
  if (const auto timeout = map.get("timeout")) read_timeout(*timeout, model);
  map.integer("max_output_tokens", model.output_tokens_max, 1, kTokensMax);
  map.finish();
  reading.config.models.push_back(std::move(model));
}

}  // namespace

void read_models(const Cursor& cursor, Reading& reading) {
  cursor.named([&](const std::string& name, const Cursor& entry) {
    if (const auto bad = bad_name(name, "")) return reading.report.mistake(entry.owner(), entry.path(), *bad);
    ModelConfig model;
    model.name = name;
    read_model(entry, reading, std::move(model));
  });
}

}  // namespace weir::config
