// Nodes of the prefix cache in the order in which they came in: the least recently used is the oldest. O(1) an
// operation, nothing allocated after construction. The engine thread owns it.
#pragma once

#include <cassert>
#include <cstdint>
#include <vector>

#include "engine/sched/prefix_tree.h"

namespace weir::engine {

class AgeList {
 public:
  explicit AgeList(int32_t nodes) : links_(static_cast<size_t>(nodes)) {}

  /// Whether the node is to be in the list: it comes in as the newest, or goes, or nothing changes.
  void set(NodeId node, bool in) {
    if (in == contains(node)) return;
    in ? append(node) : remove(node);
  }

  bool contains(NodeId node) const { return link(node).in; }
  NodeId oldest() const { return oldest_; }
  /// kNoNode: it is the newest.
  NodeId newer(NodeId node) const { return link(node).newer; }
  int32_t size() const { return size_; }

 private:
  struct Link {
    NodeId older = kNoNode;
    NodeId newer = kNoNode;
    bool in = false;
  };
  Link& link(NodeId node) { return links_[static_cast<size_t>(node)]; }
  const Link& link(NodeId node) const { return links_[static_cast<size_t>(node)]; }

  void append(NodeId node) {
    link(node) = {.older = newest_, .newer = kNoNode, .in = true};
    (newest_ == kNoNode ? oldest_ : link(newest_).newer) = node;
    newest_ = node;
    ++size_;
  }
  void remove(NodeId node) {
    Link& l = link(node);
    (l.older == kNoNode ? oldest_ : link(l.older).newer) = l.newer;
    (l.newer == kNoNode ? newest_ : link(l.newer).older) = l.older;
    l = {};
    --size_;
  }

  std::vector<Link> links_;
  NodeId oldest_ = kNoNode;
  NodeId newest_ = kNoNode;
  int32_t size_ = 0;
};

}  // namespace weir::engine
