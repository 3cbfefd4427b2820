#include "engine/sched/radix_cache.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace weir::engine {
namespace {

/// The finalizer of MurmurHash3 (Appleby, public domain constants): full avalanche in three multiplications.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

}  // namespace

RadixCache::RadixCache(BlockPool& pool, const RadixCacheOptions& options)
    : pool_(pool),
      block_tokens_(static_cast<size_t>(options.block_tokens)),
      hash_seed_(options.hash_seed),
      hash_mask_(options.hash_mask),
      nodes_(static_cast<size_t>(pool.total())),
      tokens_(static_cast<size_t>(pool.total()) * block_tokens_),
      buckets_(std::bit_ceil(static_cast<size_t>(pool.total()) + 1), kNoBlock) {
  assert(options.block_tokens > 0);
  if (options.policy == EvictionPolicy::cost) {
    cost_.emplace(pool.total(), std::max(1, options.cost_context_tokens / options.block_tokens));
  }
}

std::span<const TokenId> RadixCache::tokens_of(BlockId block) const {
  return std::span<const TokenId>(tokens_).subspan(static_cast<size_t>(block) * block_tokens_, block_tokens_);
}

uint64_t RadixCache::root_hash(uint64_t salt) const {
  return mix(salt ^ hash_seed_);
}

uint64_t RadixCache::extend(uint64_t hash, std::span<const TokenId> tokens) const {
  for (const TokenId token : tokens) hash = mix(hash + static_cast<uint32_t>(token) + 0x9e3779b97f4a7c15ULL);
  return hash;
}

BlockId RadixCache::find(uint64_t hash, BlockId parent, uint64_t salt, std::span<const TokenId> tokens) const {
  BlockId block = buckets_[(hash & hash_mask_) & (buckets_.size() - 1)];
  for (; block != kNoBlock; block = node(block).bucket_next) {
    const Node& n = node(block);
    if (((n.hash ^ hash) & hash_mask_) != 0 || n.parent != parent || n.salt != salt) continue;
    if (std::ranges::equal(tokens_of(block), tokens)) return block;
  }
  return kNoBlock;
}

void RadixCache::match(std::span<const TokenId> tokens, uint64_t salt, std::vector<BlockId>& blocks) const {
  uint64_t hash = root_hash(salt);
  BlockId parent = kNoBlock;
  for (; tokens.size() >= block_tokens_; tokens = tokens.subspan(block_tokens_)) {
    const auto piece = tokens.first(block_tokens_);
    hash = extend(hash, piece);
    parent = find(hash, parent, salt, piece);
    if (parent == kNoBlock) return;
    blocks.push_back(parent);
  }
}

void RadixCache::hold(std::span<const BlockId> blocks) {
  for (const BlockId block : blocks) {
    if (node(block).listed) list_remove(block);
    pool_.hold(block);
    if (cost_) {
      cost_->remove(block);
      cost_->use(block);
    }
  }
}

BlockId RadixCache::insert(BlockId parent, uint64_t salt, std::span<const TokenId> tokens, BlockId block) {
  assert(tokens.size() == block_tokens_);
  assert(parent == kNoBlock || (pool_.marked(parent) && pool_.holders(parent) > 0));
  const uint64_t hash = extend(parent == kNoBlock ? root_hash(salt) : node(parent).hash, tokens);
  if (const BlockId twin = find(hash, parent, salt, tokens); twin != kNoBlock) {
    hold({&twin, 1});
    pool_.drop(block);
    return twin;
  }
  pool_.mark_cached(block);
  std::ranges::copy(tokens, tokens_.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(block) * block_tokens_));
  BlockId& head = bucket(hash & hash_mask_);
  node(block) = Node{.hash = hash, .salt = salt, .parent = parent, .bucket_next = head};
  head = block;
  if (parent != kNoBlock) ++node(parent).children;
  if (cost_) cost_->enter(block, hash, parent == kNoBlock ? 0 : cost_->depth(parent) + 1);
  return block;
}

BlockId RadixCache::allocate() {
  if (pool_.free() == 0 && pool_.cached() > 0) evict(cost_ ? cost_->give_up() : oldest_);
  return pool_.allocate();
}

void RadixCache::release(std::span<const BlockId> blocks) {
  if (cost_) cost_->tick();
  for (size_t i = blocks.size(); i-- > 0;) {
    if (pool_.drop(blocks[i]) > 0 || !pool_.marked(blocks[i])) continue;
    list_append(blocks[i]);
    if (!cost_) continue;
    cost_->rest(blocks[i]);
    if (node(blocks[i]).children == 0) cost_->add(blocks[i]);
  }
}

void RadixCache::clear() {
  while (oldest_ != kNoBlock) evict(oldest_);
}

void RadixCache::list_append(BlockId block) {
  Node& n = node(block);
  assert(!n.listed);
  n.listed = true;
  n.older = newest_;
  n.newer = kNoBlock;
  (newest_ == kNoBlock ? oldest_ : node(newest_).newer) = block;
  newest_ = block;
}

void RadixCache::list_remove(BlockId block) {
  Node& n = node(block);
  assert(n.listed);
  n.listed = false;
  (n.older == kNoBlock ? oldest_ : node(n.older).newer) = n.newer;
  (n.newer == kNoBlock ? newest_ : node(n.newer).older) = n.older;
}

void RadixCache::evict(BlockId block) {
  Node& n = node(block);
  assert(n.children == 0);
  list_remove(block);
  BlockId* link = &bucket(n.hash & hash_mask_);
  while (*link != block) link = &node(*link).bucket_next;
  *link = n.bucket_next;
  if (cost_) cost_->leave(block, n.hash);
  if (n.parent != kNoBlock && --node(n.parent).children == 0 && cost_ && node(n.parent).listed) cost_->add(n.parent);
  pool_.evict(block);
}

std::string RadixCache::check() const {
  std::vector<int32_t> children(nodes_.size());
  std::vector<uint8_t> found(nodes_.size());
  for (BlockId head : buckets_) {
    for (BlockId block = head; block != kNoBlock; block = node(block).bucket_next) {
      if (found[static_cast<size_t>(block)]++ != 0) return "block " + std::to_string(block) + " is in two buckets";
    }
  }
  for (BlockId block = 0; block < pool_.total(); ++block) {
    const std::string who = "block " + std::to_string(block);
    if ((found[static_cast<size_t>(block)] != 0) != pool_.marked(block)) return who + ": mark and table disagree";
    if (!pool_.marked(block)) continue;
    const Node& n = node(block);
    if (n.listed != (pool_.holders(block) == 0)) return who + ": list and holders disagree";
    if (cost_ && cost_->contains(block) != (n.listed && n.children == 0)) return who + ": is not where its worth says";
    if (n.parent == kNoBlock) continue;
    if (!pool_.marked(n.parent)) return who + ": its parent was evicted";
    if (pool_.holders(n.parent) < pool_.holders(block)) return who + ": has more holders than its parent";
    if (node(n.parent).salt != n.salt) return who + ": its parent has another salt";
    ++children[static_cast<size_t>(n.parent)];
  }
  for (BlockId block = 0; block < pool_.total(); ++block) {
    if (pool_.marked(block) && node(block).children != children[static_cast<size_t>(block)]) {
      return "block " + std::to_string(block) + ": wrong count of children";
    }
  }
  int32_t listed = 0;
  std::vector<uint8_t> seen(nodes_.size());
  for (BlockId block = oldest_; block != kNoBlock; block = node(block).newer) {
    if (seen[static_cast<size_t>(block)]++ != 0) return "the list of idle blocks has a cycle";
    const BlockId parent = node(block).parent;
    if (parent != kNoBlock && seen[static_cast<size_t>(parent)] != 0) return "an idle parent comes before its child";
    ++listed;
  }
  if (listed != pool_.cached()) return "the list of idle blocks has lost some";
  if (cost_) {
    if (std::string wrong = cost_->check(); !wrong.empty()) return wrong;
    if ((cost_->size() == 0) != (pool_.cached() == 0)) return "there are idle blocks and none to evict";
  }
  return pool_.check();
}

}  // namespace weir::engine
