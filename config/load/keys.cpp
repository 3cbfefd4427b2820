// `keys:`, the clients that may call. Of a key only its SHA-256 is kept.
#include <map>
#include <set>

#include "config/load/scalars.h"
#include "config/load/sections.h"

namespace weir::config {
namespace {

constexpr size_t kSafeKeyBytes = 20;  // shorter client keys are warned about
constexpr int64_t kPriorityMax = 100;
constexpr auto kBudgetPeriodMax = std::chrono::hours(24 * 366 * 10);

/// What earlier entries of the list have taken.
struct Taken {
  std::set<std::string> names;
  std::map<Sha256, std::string> name_by_key;  // as it may be shown
};

std::optional<BudgetConfig> read_budget(const Cursor& cursor) {
  BudgetConfig budget;
  MapReader map(cursor);
  if (const auto usd = map.require("usd", "the limit in dollars, such as 5.00")) {
    if (const auto text = usd->text("dollars such as 5.00")) {
      const auto amount = parse_usd(*text);
      if (amount && *amount > NanoUsd{0})
        budget.limit = *amount;
      else
        usd->mistake("must be dollars above 0, with at most nine decimals, such as 5.00, is " + usd->shown());
    }
  }
  if (const auto per = map.get("per")) {
    const Node& node = per->node();
    const bool for_ever = node.kind == Node::Kind::scalar && (node.text == "never" || node.text == "total");
    if (!for_ever)
      if (const auto period = per->duration(std::chrono::seconds(1), kBudgetPeriodMax)) {
        budget.period = std::chrono::duration_cast<std::chrono::seconds>(*period);
        if (budget.period != *period) per->mistake("must be whole seconds, is " + to_text(*period));
      }
  }
  map.finish();
  if (budget.limit <= NanoUsd{0}) return std::nullopt;
  return budget;
}

void read_key_text(MapReader& map, Reading& reading, Taken& taken, const std::string& shown, KeyConfig& key) {
  const auto cursor = map.require("key", "what the client sends, such as ${TEAM_KEY}");
  if (!cursor) return;
  const auto secret = cursor->secret();
  if (!secret) return;
  if (secret->empty()) return cursor->mistake("is empty; give the key a value or remove its entry");
  if (secret->reveal().size() < kSafeKeyBytes)
    reading.report.warning(cursor->path(), "shorter than " + std::to_string(kSafeKeyBytes) +
                                               " characters; easy to guess, fit for a demo only");
  key.key_sha256 = sha256(secret->reveal());
  if (secret->reveal() == reading.config.admin_key.reveal())
    cursor->mistake("is the same as admin_key; a client key must not open the management API");
  const auto [other, fresh] = taken.name_by_key.try_emplace(key.key_sha256, shown);
  if (!fresh) cursor->mistake("is the same key as that of " + other->second + "; give each its own");
}

void read_key(const Cursor& cursor, Reading& reading, Taken& taken) {
  KeyConfig key;
  MapReader map(cursor);
  if (const auto name = map.require("name", "what the ledger and the metrics show")) {
    if (auto text = name->text("a name")) {
      key.name = std::move(*text);
      if (const auto bad = bad_name(key.name, ""))
        name->mistake(*bad);
      else if (!taken.names.insert(key.name).second)
        name->mistake(name->shown() + " is the name of an earlier key; names are unique");
    }
  }
  const std::string shown = reading.report.shown(path_of(cursor.path(), "name"), key.name);
  read_key_text(map, reading, taken, shown, key);
  if (const auto models = map.get("models"))
    models->items([&](const Cursor& item) {
      auto text = item.text("a model or a pattern such as \"gpt-*\"");
      if (text && text->empty()) return item.mistake("is empty; name a model, or \"*\" for all");
      if (text) key.models.push_back(std::move(*text));
    });
  if (!map.has("models")) key.models = {"*"};
  if (const auto budget = map.get("budget")) key.budget = read_budget(*budget);
  if (const auto limits = map.get("limits")) read_rate_limits(*limits, key.limits);
  if (const auto team = map.get("team"))
    if (auto text = team->text("the name of a team")) {
      if (const auto bad = bad_name(*text, "")) team->mistake(*bad);
      key.team = std::move(*text);
    }
  map.integer("priority", key.priority, -kPriorityMax, kPriorityMax);
  map.boolean("blocked", key.blocked);
  if (const auto expires = map.get("expires"))
    if (const auto text = expires->text("a date such as 2027-01-31")) {
      key.expires_unix_s = parse_rfc3339(*text);
      if (!key.expires_unix_s)
        expires->mistake("must be a date such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z, is " +
                         expires->shown());
    }
  map.finish();
  if (map.has("models") && key.models.empty())
    reading.report.warning(cursor.path() + ".models",
                           "is empty, so key " + shown + " may use no model; name some, or \"*\" for all");
  const auto unix_s = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  if (reading.touch_files && key.expires_unix_s && *key.expires_unix_s <= unix_s)
    reading.report.warning(cursor.path() + ".expires", "key " + shown + " has expired (" +
                                                           rfc3339_to_text(*key.expires_unix_s) +
                                                           ") and opens nothing; give it a later date or remove it");
  reading.config.keys.push_back(std::move(key));
}

}  // namespace

void read_keys(const Cursor& cursor, Reading& reading) {
  if (cursor.node().kind == Node::Kind::null) return;
  Taken taken;
  cursor.items([&](const Cursor& item) { read_key(item, reading, taken); });
}

}  // namespace weir::config
