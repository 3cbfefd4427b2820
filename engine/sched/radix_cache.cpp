#include "engine/sched/radix_cache.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace weir::engine {

RadixCache::RadixCache(BlockPool& pool, const RadixCacheOptions& options)
    : pool_(pool),
      host_(options.host_blocks),
      tree_(pool.total() + options.host_blocks, options.block_tokens, options.hash_seed, options.hash_mask),
      places_(static_cast<size_t>(pool.total() + options.host_blocks)),
      device_nodes_(static_cast<size_t>(pool.total()), kNoNode),
      host_nodes_(static_cast<size_t>(options.host_blocks), kNoNode),
      idle_(pool.total() + options.host_blocks),
      resting_(pool.total() + options.host_blocks),
      spare_(pool.total() + options.host_blocks) {
  if (options.policy == EvictionPolicy::cost) {
    cost_.emplace(pool.total() + options.host_blocks, std::max(1, options.cost_context_tokens / options.block_tokens));
  }
}

void RadixCache::match(std::span<const TokenId> tokens, uint64_t salt, PrefixMatch& match) const {
  match.blocks.clear();
  match.host.clear();
  match.filled_by = 0;
  NodeId node = kNoNode;
  for (; tokens.size() >= tree_.block_tokens(); tokens = tokens.subspan(tree_.block_tokens())) {
    const auto piece = tokens.first(tree_.block_tokens());
    node = tree_.find(node, salt, piece, tree_.hash_below(node, salt, piece));
    if (node == kNoNode) return;
    const Place& p = place(node);
    if (p.device == kNoBlock) {
      match.host.push_back(node);
    } else {
      match.blocks.push_back(p.device);
      match.filled_by = std::max(match.filled_by, p.filled_by);
    }
  }
}

void RadixCache::hold(std::span<const BlockId> blocks) {
  for (const BlockId block : blocks) {
    pool_.hold(block);
    sort(node_at(block));
    if (cost_) cost_->use(node_at(block));
  }
}

void RadixCache::hold_host(std::span<const NodeId> nodes) {
  for (const NodeId node : nodes) {
    host_.hold(place(node).host);
    ++place(node).fetchers;
    sort(node);
    if (cost_) cost_->use(node);
  }
}

RadixCache::Fetched RadixCache::fetch(NodeId node, uint64_t step) {
  Place& p = place(node);
  assert(p.fetchers > 0);
  if (p.device != kNoBlock) {
    pool_.hold(p.device);
    --p.fetchers;
    drop_host(p.host);
    return {.block = p.device, .copied = false};
  }
  const BlockId block = allocate();
  assert(block != kNoBlock);
  --p.fetchers;
  copies_in_.push_back({p.host, block});  // it holds the host block in the caller's stead
  p.filled_by = step;
  put_on_device(node, block);
  return {.block = block, .copied = true};
}

BlockId RadixCache::insert(BlockId parent, uint64_t salt, std::span<const TokenId> tokens, BlockId block) {
  assert(parent == kNoBlock || (pool_.marked(parent) && pool_.holders(parent) > 0));
  const NodeId above = parent == kNoBlock ? kNoNode : node_at(parent);
  const uint64_t hash = tree_.hash_below(above, salt, tokens);
  NodeId node = tree_.find(above, salt, tokens, hash);
  if (node != kNoNode && place(node).device != kNoBlock) {
    const BlockId twin = place(node).device;
    hold({&twin, 1});
    pool_.drop(block);
    return twin;
  }
  if (node == kNoNode) {
    node = tree_.add(above, salt, tokens, hash);
    place(node) = {};
    if (cost_) cost_->enter(node, hash, above == kNoNode ? 0 : cost_->depth(above) + 1);
  } else if (cost_) {
    cost_->use(node);
  }
  place(node).filled_by = 0;
  put_on_device(node, block);
  return block;
}

BlockId RadixCache::allocate() {
  if (pool_.free() == 0 && pool_.cached() > 0) give_up(cost_ ? cost_->give_up() : idle_.oldest());
  return pool_.allocate();
}

void RadixCache::release(std::span<const BlockId> blocks, std::span<const NodeId> waited_for) {
  if (cost_) cost_->tick();
  for (const NodeId node : waited_for) {
    if (--place(node).fetchers == 0 && cost_) cost_->rest(node);
    drop_host(place(node).host);
  }
  for (size_t i = blocks.size(); i-- > 0;) {
    if (pool_.drop(blocks[i]) > 0 || !pool_.marked(blocks[i])) continue;
    if (cost_) cost_->rest(node_at(blocks[i]));
    sort(node_at(blocks[i]));
  }
}

void RadixCache::take_copies(std::vector<BlockCopy>& out, std::vector<BlockCopy>& in) {
  out.swap(copies_out_);
  in.swap(copies_in_);
  copies_out_.clear();
  copies_in_.clear();
}

void RadixCache::copied(std::span<const BlockCopy> out, std::span<const BlockCopy> in) {
  for (const BlockCopy& copy : out) drop_host(copy.to);
  for (const BlockCopy& copy : in) drop_host(copy.from);
}

void RadixCache::clear() {
  while (resting_.oldest() != kNoNode) forget(resting_.oldest());
  while (idle_.oldest() != kNoNode) {
    const NodeId node = idle_.oldest();
    if (place(node).fetchers > 0) {
      take_off_device(node);
    } else {
      forget(node);
    }
  }
}

bool RadixCache::idle(NodeId node) const {
  return place(node).device != kNoBlock && pool_.holders(place(node).device) == 0;
}

bool RadixCache::rests(NodeId node) const {
  const Place& p = place(node);
  return p.device == kNoBlock && p.host != kNoBlock && p.fetchers == 0;
}

bool RadixCache::spare(NodeId node) const {
  const Place& p = place(node);
  return p.device != kNoBlock && p.host != kNoBlock && host_.holders(p.host) == 0;
}

/// Puts the node into the lists where it belongs, after anything about it changed.
void RadixCache::sort(NodeId node) {
  idle_.set(node, idle(node));
  resting_.set(node, rests(node));
  spare_.set(node, spare(node));
  if (!cost_) return;
  const bool goes = idle(node) && place(node).device_children == 0;
  const bool goes_for_good = rests(node) && tree_.leaf(node) && host_.holders(place(node).host) == 0;
  if (cost_->contains(node, Tier::device) != goes || cost_->contains(node, Tier::host) != goes_for_good) {
    cost_->remove(node);
    if (goes || goes_for_good) cost_->add(node, goes ? Tier::device : Tier::host);
  }
}

/// `block`, held, becomes the node's.
void RadixCache::put_on_device(NodeId node, BlockId block) {
  pool_.mark_cached(block);
  place(node).device = block;
  device_nodes_[static_cast<size_t>(block)] = node;
  sort(node);
  const NodeId parent = tree_.parent(node);
  if (parent == kNoNode) return;
  ++place(parent).device_children;
  sort(parent);
}

/// The node's block becomes free; nobody holds it. The node, unless it is to be forgotten, has one on the host.
void RadixCache::take_off_device(NodeId node) {
  const BlockId block = std::exchange(place(node).device, kNoBlock);
  assert(place(node).device_children == 0 && pool_.holders(block) == 0);
  pool_.evict(block);
  device_nodes_[static_cast<size_t>(block)] = kNoNode;
  sort(node);
  const NodeId parent = tree_.parent(node);
  if (parent == kNoNode) return;
  --place(parent).device_children;
  sort(parent);
}

void RadixCache::take_off_host(NodeId node) {
  const BlockId block = std::exchange(place(node).host, kNoBlock);
  host_.evict(block);
  host_node(block) = kNoNode;
  spare_.set(node, false);
}

void RadixCache::drop_host(BlockId block) {
  host_.drop(block);
  if (host_node(block) != kNoNode) sort(host_node(block));
}

/// The device gives the node's block up: to the host, if that has it already or has room.
void RadixCache::give_up(NodeId node) {
  Place& p = place(node);
  if (p.host == kNoBlock && host_.total() > 0) {
    p.host = allocate_host();
    if (p.host != kNoBlock) {
      host_.mark_cached(p.host);  // held by the copy
      host_node(p.host) = node;
      copies_out_.push_back({p.device, p.host});
    }
  }
  if (p.host != kNoBlock) return take_off_device(node);
  while (!tree_.leaf(node)) {  // what is below it on the host could not be reached any more
    NodeId leaf = tree_.child(node);
    while (!tree_.leaf(leaf)) leaf = tree_.child(leaf);
    forget(leaf);
  }
  forget(node);
}

/// A host block, held once: a free one, or one whose node has another on the device, or that of the node which the host
/// gives up. kNoBlock: copies and those who wait for them hold all.
BlockId RadixCache::allocate_host() {
  if (host_.free() == 0 && spare_.oldest() != kNoNode) {
    take_off_host(spare_.oldest());
  } else if (host_.free() == 0) {
    const NodeId node = cost_ ? cost_->give_up(Tier::host) : resting_.oldest();
    if (node == kNoNode || host_.holders(place(node).host) > 0) return kNoBlock;
    forget(node);
  }
  return host_.allocate();
}

/// REQUIRES: a leaf that no sequence holds or waits for.
void RadixCache::forget(NodeId node) {
  assert(place(node).fetchers == 0);
  if (place(node).host != kNoBlock) take_off_host(node);
  if (place(node).device != kNoBlock) take_off_device(node);
  resting_.set(node, false);
  if (cost_) cost_->leave(node, tree_.hash(node));
  const NodeId parent = tree_.parent(node);
  tree_.remove(node);
  if (parent != kNoNode) sort(parent);
}

std::string RadixCache::check() const {
  std::vector<uint8_t> there;
  if (std::string wrong = tree_.check(there); !wrong.empty()) return wrong;
  std::vector<int32_t> device_children(places_.size());
  std::vector<uint8_t> on_device(device_nodes_.size());
  std::vector<uint8_t> on_host(host_nodes_.size());
  for (NodeId node = 0; static_cast<size_t>(node) < places_.size(); ++node) {
    if (there[static_cast<size_t>(node)] == 0) continue;
    if (std::string wrong = check_node(node); !wrong.empty()) return "node " + std::to_string(node) + wrong;
    const Place& p = place(node);
    if (p.host != kNoBlock) on_host[static_cast<size_t>(p.host)] = 1;
    if (p.device == kNoBlock) continue;
    on_device[static_cast<size_t>(p.device)] = 1;
    if (tree_.parent(node) != kNoNode) ++device_children[static_cast<size_t>(tree_.parent(node))];
  }
  for (NodeId node = 0; static_cast<size_t>(node) < places_.size(); ++node) {
    const auto n = static_cast<size_t>(node);
    if (there[n] != 0 && place(node).device_children != device_children[n]) {
      return "node " + std::to_string(node) + ": wrong count of children on the device";
    }
    if (there[n] == 0 && (idle_.contains(node) || resting_.contains(node) || spare_.contains(node))) {
      return "node " + std::to_string(node) + " is gone and in a list";
    }
  }
  for (BlockId block = 0; block < pool_.total(); ++block) {
    if (pool_.marked(block) != (on_device[static_cast<size_t>(block)] != 0)) return "a device block without its node";
  }
  for (BlockId block = 0; block < host_.total(); ++block) {
    if (host_.marked(block) != (on_host[static_cast<size_t>(block)] != 0)) return "a host block without its node";
  }
  for (const AgeList* list : {&idle_, &resting_}) {
    if (std::string wrong = check_list(*list); !wrong.empty()) return wrong;
  }
  if (idle_.size() != pool_.cached()) return "the list of idle blocks has lost some";
  if (cost_) {
    if (std::string wrong = cost_->check(); !wrong.empty()) return wrong;
    if ((cost_->size() == 0) != (pool_.cached() == 0)) return "there are idle blocks and none to evict";
  }
  if (std::string wrong = host_.check(); !wrong.empty()) return "host: " + wrong;
  return pool_.check();
}

std::string RadixCache::check_node(NodeId node) const {
  const Place& p = place(node);
  if (p.device == kNoBlock && p.host == kNoBlock) return " lies nowhere";
  if (p.device != kNoBlock && node_at(p.device) != node) return ": its device block is another's";
  if (p.host != kNoBlock && host_nodes_[static_cast<size_t>(p.host)] != node) return ": its host block is another's";
  if (p.fetchers > (p.host == kNoBlock ? 0 : host_.holders(p.host))) return " is waited for and not held";
  if (idle_.contains(node) != idle(node) || resting_.contains(node) != rests(node) ||
      spare_.contains(node) != spare(node)) {
    return " is not in the lists where it belongs";
  }
  if (cost_) {
    if (cost_->contains(node, Tier::device) != (idle(node) && p.device_children == 0))
      return " is not where its worth says";
    const bool goes = rests(node) && tree_.leaf(node) && host_.holders(p.host) == 0;
    if (cost_->contains(node, Tier::host) != goes) return " is not where its worth on the host says";
  }
  const NodeId parent = tree_.parent(node);
  if (parent == kNoNode) return {};
  const Place& above = place(parent);
  if (p.device == kNoBlock) {
    const bool held = above.device != kNoBlock && pool_.holders(above.device) > 0;
    if (p.fetchers > 0 && above.fetchers == 0 && !held) return " is waited for, and its parent may go";
    return {};
  }
  if (above.device == kNoBlock) return ": its parent left the device";
  if (pool_.holders(above.device) < pool_.holders(p.device)) return " has more holders than its parent";
  return {};
}

std::string RadixCache::check_list(const AgeList& list) const {
  std::vector<uint8_t> seen(places_.size());
  int32_t size = 0;
  for (NodeId node = list.oldest(); node != kNoNode; node = list.newer(node)) {
    if (seen[static_cast<size_t>(node)]++ != 0) return "a list has a cycle";
    const NodeId parent = tree_.parent(node);
    if (parent != kNoNode && seen[static_cast<size_t>(parent)] != 0) return "a parent comes before its child";
    ++size;
  }
  return size == list.size() ? "" : "a list has lost nodes";
}

}  // namespace weir::engine
