#include "engine/grammar/vocabulary.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/text/decoder.h"
#include "engine/text/tokenizer.h"

namespace weir::engine::grammar {
namespace {

constexpr size_t kDenseFrom = 512;      // tokens from which on a mask is quicker than a list
constexpr size_t kTokenBytesMax = 512;  // longer tokens are never allowed

void set_bit(Mask& mask, TokenId token) {
  mask[static_cast<size_t>(token) / 32] |= 1U << token % 32;
}

void clear_bit(Mask& mask, TokenId token) {
  mask[static_cast<size_t>(token) / 32] &= ~(1U << token % 32);
}

}  // namespace

size_t StateTokens::bytes() const {
  return sizeof *this + inside.size() * sizeof(TokenId) + upto.size() * sizeof(uint32_t) +
         dense.size() * sizeof(uint32_t) + crossings.size() * sizeof(Crossing) + last.size() * sizeof last[0];
}

DfaTokens::DfaTokens(const TokenTree& tree, int32_t vocab_size, Dfa dfa)
    : tree_(tree), vocab_size_(vocab_size), dfa_(std::move(dfa)), states_(static_cast<size_t>(dfa_.states())) {}

std::shared_ptr<const StateTokens> DfaTokens::of(int32_t state, Effort& effort) {
  const auto i = static_cast<size_t>(state);
  {
    const std::lock_guard lock(mutex_);
    if (states_[i]) return states_[i];
  }
  std::shared_ptr<const StateTokens> found = find(state);
  effort.spend(found->visited);
  const std::lock_guard lock(mutex_);
  if (states_[i]) return states_[i];  // another was first
  if (bytes_ > kStateBytesMax) {
    std::fill(states_.begin(), states_.end(), nullptr);
    bytes_ = 0;
  }
  bytes_ += found->bytes();
  return states_[i] = std::move(found);
}

std::shared_ptr<const StateTokens> DfaTokens::find(int32_t state) const {
  auto out = std::make_shared<StateTokens>();
  struct At {
    int32_t state;
    int32_t ticks;
  };
  std::vector<At> path(size_t{tree_.depth_max} + 1);
  path[0] = {state, 0};
  std::vector<std::pair<int32_t, TokenId>> inside;  // (need, token)
  const auto nodes = static_cast<uint32_t>(tree_.byte.size());
  for (uint32_t i = 1; i < nodes;) {
    const At before = path[tree_.depth[i] - 1u];
    ++out->visited;
    const int32_t to = dfa_.step(before.state, tree_.byte[i]);
    if (to < 0) {
      i = tree_.end[i];
      continue;
    }
    const At now{to, before.ticks + dfa_.tick(before.state, tree_.byte[i])};
    path[tree_.depth[i]] = now;
    const int32_t need = now.ticks + dfa_.cost_of(to);
    const bool must_end = !dfa_.ticks.empty() && !dfa_.goes_on(to);
    for (uint32_t t = tree_.ids_begin[i]; t < tree_.ids_begin[i + 1]; ++t) {
      if (must_end) {
        out->last.emplace_back(tree_.ids[t], now.ticks);
      } else {
        inside.emplace_back(need, tree_.ids[t]);
      }
    }
    if (dfa_.accepts_at(to) && tree_.end[i] > i + 1) out->crossings.push_back({i, now.ticks});
    ++i;
  }
  if (!dfa_.ticks.empty()) std::sort(inside.begin(), inside.end());
  for (const auto& [need, token] : inside) {
    while (out->upto.size() < static_cast<size_t>(need)) {
      out->upto.push_back(static_cast<uint32_t>(out->inside.size()));
    }
    out->inside.push_back(token);
  }
  out->upto.push_back(static_cast<uint32_t>(out->inside.size()));
  if (inside.size() >= kDenseFrom) {
    out->dense.resize((static_cast<size_t>(vocab_size_) + 31) / 32);
    for (const TokenId token : out->inside) set_bit(out->dense, token);
    if (dfa_.ticks.empty()) out->inside.clear();
  }
  out->inside.shrink_to_fit();
  return out;
}

int64_t add_inside(const StateTokens& tokens, int32_t ticks, Mask& mask) {
  constexpr int64_t kTokensOfNode = 8;  // looked at in the time that a node takes
  const bool all = ticks < 0 || static_cast<size_t>(ticks) + 1 >= tokens.upto.size();
  if (all && !tokens.dense.empty()) {
    for (size_t w = 0; w < mask.size(); ++w) mask[w] |= tokens.dense[w];
    return std::ssize(mask) / kTokensOfNode;
  }
  const size_t count = all ? tokens.inside.size() : tokens.upto[static_cast<size_t>(ticks)];
  if (tokens.dense.empty() || count < tokens.inside.size() / 2) {
    for (size_t i = 0; i < count; ++i) set_bit(mask, tokens.inside[i]);
    return static_cast<int64_t>(count) / kTokensOfNode;
  }
  Mask some = tokens.dense;
  for (size_t i = count; i < tokens.inside.size(); ++i) clear_bit(some, tokens.inside[i]);
  for (size_t w = 0; w < mask.size(); ++w) mask[w] |= some[w];
  return (std::ssize(mask) + std::ssize(tokens.inside) - static_cast<int64_t>(count)) / kTokensOfNode;
}

Vocabulary::Vocabulary(std::vector<std::string> tokens, Options options)
    : tokens_(std::move(tokens)), options_(std::move(options)) {
  std::sort(options_.stops.begin(), options_.stops.end());
  options_.size = std::max(options_.size, static_cast<int32_t>(tokens_.size()));
  const auto known = [&](TokenId id) { return id >= 0 && static_cast<size_t>(id) < tokens_.size(); };
  for (const TokenId id : options_.hidden) {
    if (known(id)) hidden_.emplace(std::exchange(tokens_[static_cast<size_t>(id)], {}), id);
  }
  std::erase_if(options_.stops, [&](TokenId id) { return id < 0 || id >= options_.size; });
  for (const TokenId id : options_.stops) {
    if (known(id)) tokens_[static_cast<size_t>(id)].clear();
  }
  hidden_.erase("");
  build_tree();
}

std::shared_ptr<const Vocabulary> Vocabulary::of(const Tokenizer& tokenizer, std::vector<TokenId> stops, int32_t size) {
  const text::DecodeTable& table = tokenizer.decode_table();
  if (table.rules.join_with_space()) return nullptr;
  Options options{.stops = std::move(stops), .hidden = {}, .size = size, .drops_blank = table.rules.first_differs()};
  for (const text::StripRule& rule : table.rules.strips()) {
    if (rule.stop > 0 || rule.content != " ") return nullptr;
    options.drops_blank = true;
  }
  const int32_t count = size > 0 ? std::min(size, tokenizer.vocab_size()) : tokenizer.vocab_size();
  std::vector<std::string> tokens(static_cast<size_t>(count));
  for (TokenId id = 0; id < count; ++id) {
    tokens[static_cast<size_t>(id)] = tokenizer.token_bytes(id);
    if (tokenizer.is_special(id) || tokenizer.is_added(id)) options.hidden.push_back(id);
  }
  return std::make_shared<Vocabulary>(std::move(tokens), std::move(options));
}

void Vocabulary::build_tree() {
  std::vector<TokenId> order;
  for (size_t id = 0; id < tokens_.size(); ++id) {
    const std::string& bytes = tokens_[id];
    if (bytes.empty() || bytes.size() > kTokenBytesMax) continue;
    order.push_back(static_cast<TokenId>(id));
    if (bytes.size() == 1) alphabet_.set(static_cast<unsigned char>(bytes[0]));
  }
  const auto text = [&](TokenId id) -> const std::string& { return tokens_[static_cast<size_t>(id)]; };
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    const int c = text(a).compare(text(b));  // by bytes: std::string compares them as unsigned
    return c != 0 ? c < 0 : a < b;
  });
  TokenTree& t = tree_;
  t.byte = {0};
  t.depth = {0};
  t.end = {0};
  t.ids_begin = {0};
  std::vector<uint32_t> open = {0};  // the nodes of the path
  std::string_view before;
  for (const TokenId id : order) {
    const std::string_view bytes = text(id);
    const auto same = static_cast<size_t>(
        std::mismatch(before.begin(), before.end(), bytes.begin(), bytes.end()).first - before.begin());
    for (; open.size() > same + 1; open.pop_back()) t.end[open.back()] = static_cast<uint32_t>(t.byte.size());
    for (size_t i = same; i < bytes.size(); ++i) {
      open.push_back(static_cast<uint32_t>(t.byte.size()));
      t.byte.push_back(static_cast<uint8_t>(bytes[i]));
      t.depth.push_back(static_cast<uint16_t>(i + 1));
      t.end.push_back(0);
      t.ids_begin.push_back(static_cast<uint32_t>(t.ids.size()));
    }
    t.depth_max = std::max(t.depth_max, static_cast<uint16_t>(bytes.size()));
    t.ids.push_back(id);
    before = bytes;
  }
  for (const uint32_t node : open) t.end[node] = static_cast<uint32_t>(t.byte.size());
  t.ids_begin.push_back(static_cast<uint32_t>(t.ids.size()));
}

bool Vocabulary::is_stop(TokenId token) const {
  return std::binary_search(options_.stops.begin(), options_.stops.end(), token);
}

std::string_view Vocabulary::bytes(TokenId token) const {
  if (token < 0 || static_cast<size_t>(token) >= tokens_.size()) return {};
  return tokens_[static_cast<size_t>(token)];
}

TokenId Vocabulary::hidden(std::string_view spelling) const {
  const auto found = hidden_.find(std::string(spelling));
  return found == hidden_.end() ? -1 : found->second;
}

std::shared_ptr<DfaTokens> Vocabulary::tokens_of(Dfa dfa, bool keep) const {
  std::string key = dfa.fingerprint();
  const std::lock_guard lock(mutex_);
  if (shared_.size() >= sweep_at_) {
    std::erase_if(shared_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max(kSharedSweep, 2 * shared_.size());
  }
  std::weak_ptr<DfaTokens>& known = shared_[std::move(key)];
  if (auto found = known.lock()) return found;
  auto made = std::make_shared<DfaTokens>(tree_, options_.size, std::move(dfa));
  known = made;
  if (keep) kept_.push_back(made);
  return made;
}

}  // namespace weir::engine::grammar
