#include "config/load/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <unordered_map>

#include "config/load/environment.h"
#include "config/load/text.h"

namespace weir::config {
namespace {

/// Builds the tree from yaml-cpp's events. After the first mistake that makes the rest meaningless (`stopped`), the
/// remaining events, of which there are at most as many as bytes, are ignored.
class Builder : public YAML::EventHandler {
 public:
  Builder(const LineIndex& lines, Report& report) : lines_(lines), report_(report) {}

  bool stopped() const { return stopped_; }
  bool has_root() const { return has_root_; }
  Node take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.mark = place(mark);
    complete(std::move(node), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (!admit(place(mark), tag, {1, value.size()})) return;
    Node node;
    node.kind = Node::Kind::scalar;
    node.mark = place(mark);
    node.text = value;
    unmask_references(node.text);
    if (tag == "!" && !lines_.closes_quote(mark.line, mark.column))
      return stop(node.mark, "the quote that opens here is never closed; close it");
    complete(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (stopped_) return;
    const auto original = anchors_.find(anchor);
    if (original == anchors_.end()) return stop(place(mark), "an alias inside the value that it stands for; remove it");
    if (!admit(place(mark), "", size_of(original->second))) return;
    Node copy = original->second;
    copy.mark = place(mark);
    complete(std::move(copy), 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::sequence, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
  };
  struct Size {
    size_t nodes = 1;
    size_t bytes = 0;
  };

  Mark place(const YAML::Mark& mark) const { return lines_.mark(mark.line, mark.column); }

  void stop(Mark mark, std::string message) {
    if (!stopped_) report_.mistake(mark, path(), std::move(message));
    stopped_ = true;
  }

  /// Of the value that is being read.
  std::string path() const {
    std::string path;
    for (const auto& [node, anchor] : stack_) {
      if (node.kind == Node::Kind::sequence)
        path += '[' + std::to_string(node.values.size()) + ']';
      else if (!node.keys.empty())
        path = path_of(path, node.keys.back().text);
    }
    return path;
  }

  static Size size_of(const Node& node) {
    Size size{1, node.text.size()};
    for (const auto* children : {&node.keys, &node.values})
      for (const auto& child : *children) {
        const Size below = size_of(child);
        size.nodes += below.nodes;
        size.bytes += below.bytes;
      }
    return size;
  }

  /// Counts nodes against the limits, and refuses tags that would ask for another type than the key has.
  bool admit(Mark mark, const std::string& tag, Size size) {
    if (stopped_) return false;
    nodes_ += size.nodes;
    bytes_ += size.bytes;
    if (nodes_ > kDocumentNodesMax || bytes_ > kDocumentTextMax)
      stop(mark, "too large: over " + std::to_string(kDocumentNodesMax) + " values or " +
                     std::to_string(kDocumentTextMax >> 20) + " MiB of text once aliases are expanded");
    else if (!tag.empty() && tag != "?" && tag != "!" && !tag.starts_with("tag:yaml.org,2002:"))
      stop(mark, "tag " + in_quotes(tag) + " means nothing here; remove it");
    return !stopped_;
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (!admit(place(mark), tag, {1, 0})) return;
    if (stack_.size() >= static_cast<size_t>(kDocumentDepthMax)) return stop(place(mark), too_deep());
    Frame frame;
    frame.node.kind = kind;
    frame.node.mark = place(mark);
    frame.anchor = anchor;
    stack_.push_back(std::move(frame));
  }

  void close() {
    if (stopped_ || stack_.empty()) return;
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.node.kind == Node::Kind::map) finish_map(frame.node);
    complete(std::move(frame.node), frame.anchor);
  }

  static std::string too_deep() {
    return "nested deeper than " + std::to_string(kDocumentDepthMax) + " levels; flatten it";
  }

  /// A finished node goes into what is open, as a key or a value; with an anchor, a copy waits for aliases.
  void complete(Node node, YAML::anchor_t anchor) {
    if (stopped_) return;
    if (anchor != 0) {
      if (!admit(node.mark, "", size_of(node))) return;
      anchors_[anchor] = node;
    }
    if (stack_.empty()) {
      root_ = std::move(node);
      has_root_ = true;
      return;
    }
    Node& parent = stack_.back().node;
    if (parent.kind == Node::Kind::map && parent.keys.size() == parent.values.size()) {
      if (node.kind != Node::Kind::scalar)
        return stop(node.mark, "a key must be plain text, is " + std::string(node.kind_name()));
      parent.keys.push_back(std::move(node));
      return;
    }
    parent.height = std::max(parent.height, node.height + 1);
    if (static_cast<size_t>(parent.height) + stack_.size() > static_cast<size_t>(kDocumentDepthMax))
      return stop(node.mark, too_deep());
    // The place of a value that is not there is the place of its key.
    if (node.kind == Node::Kind::null && parent.kind == Node::Kind::map) node.mark = parent.keys.back().mark;
    parent.values.push_back(std::move(node));
  }

  /// Duplicate keys are mistakes; "<<" takes over what the maps it names have and this one has not (YAML 1.1 merge
  /// key).
  void finish_map(Node& map) {
    map.keys.resize(map.values.size());
    std::unordered_map<std::string, Mark> seen;
    std::vector<Node> merged;
    Node kept;
    for (size_t i = 0; i < map.keys.size(); ++i) {
      Node& key = map.keys[i];
      const auto [first, fresh] = seen.try_emplace(key.text, key.mark);
      if (!fresh) {
        report_.mistake(key.mark, path_of(path(), key.text),
                        "is given twice, first at line " + std::to_string(first->second.line) + "; keep one");
      } else if (key.text == "<<") {
        merged.push_back(std::move(map.values[i]));
      } else {
        kept.keys.push_back(std::move(key));
        kept.values.push_back(std::move(map.values[i]));
      }
    }
    map.keys = std::move(kept.keys);
    map.values = std::move(kept.values);
    for (auto& source : merged) merge(map, source, seen);
  }

  void merge(Node& map, Node& source, std::unordered_map<std::string, Mark>& seen) {
    if (source.kind == Node::Kind::sequence) {
      for (auto& item : source.values) {
        if (item.kind != Node::Kind::map)
          return stop(item.mark, "<< takes maps, this is " + std::string(item.kind_name()));
        merge(map, item, seen);
      }
      return;
    }
    if (source.kind != Node::Kind::map)
      return stop(source.mark, "<< takes a map, this is " + std::string(source.kind_name()));
    for (size_t i = 0; i < source.keys.size(); ++i) {
      if (!seen.try_emplace(source.keys[i].text, source.keys[i].mark).second) continue;
      map.keys.push_back(std::move(source.keys[i]));
      map.values.push_back(std::move(source.values[i]));
    }
  }

  const LineIndex& lines_;
  Report& report_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Node> anchors_;
  Node root_;
  bool has_root_ = false;
  bool stopped_ = false;
  size_t nodes_ = 0;
  size_t bytes_ = 0;
};

/// What to do about one of yaml-cpp's messages.
std::string_view remedy_of(std::string_view message) {
  const auto says = [&](std::string_view what) { return message.find(what) != std::string_view::npos; };
  if (says("tab")) return "indent with spaces";
  if (says("flow")) return "close every { and [ , and put a comma between their entries";
  if (says("anchor")) return "name an anchor (&name) that stands before it, or put the text in quotes";
  if (says("map value") || says("map key") || says("mapping") || says("end of map"))
    return "indent the entries of one map alike, and put a text that holds \": \" in quotes";
  if (says("sequence") || says("block entry")) return "begin every item of one list with \"- \" in the same column";
  if (says("escape") || says("scalar") || says("EOF")) return "close every quote, and double a backslash in \"...\"";
  return "check indentation, quotes and brackets here and on the line before";
}

/// Lets yaml-cpp drive the builder. Its exceptions end here.
bool run_parser(const std::string& masked, const LineIndex& lines, Builder& builder, Report& report) {
  try {
    std::istringstream stream(masked);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return true;
    Report ignored("");
    Builder second(lines, ignored);
    if (!builder.stopped() && parser.HandleNextDocument(second)) {
      report.mistake(Mark{}, "", "the file holds several YAML documents; keep one and remove the '---' between them");
      return false;
    }
  } catch (const YAML::Exception& error) {
    if (builder.stopped()) return false;
    std::string message = error.msg;
    unmask_references(message);
    const Mark mark = error.mark.is_null() ? Mark{} : lines.mark(error.mark.line, error.mark.column);
    report.mistake(mark, "", "not valid YAML: " + message + "; " + std::string(remedy_of(message)));
    return false;
  } catch (const std::exception& error) {
    report.mistake(Mark{}, "",
                   std::string("not valid YAML: ") + error.what() + "; check indentation, quotes and brackets");
    return false;
  }
  return !builder.stopped();
}

}  // namespace

const char* Node::kind_name() const {
  switch (kind) {
    case Kind::null:
      return "nothing";
    case Kind::scalar:
      return "a value";
    case Kind::sequence:
      return "a list";
    case Kind::map:
      return "a map";
  }
  return "nothing";
}

std::optional<Node> parse_document(std::string_view yaml, Report& report) {
  if (yaml.starts_with("\xef\xbb\xbf")) yaml.remove_prefix(3);
  if (yaml.size() > kDocumentBytesMax) {
    report.mistake(Mark{}, "", "the file is larger than " + std::to_string(kDocumentBytesMax >> 20) + " MiB");
    return std::nullopt;
  }
  const LineIndex lines(yaml);
  if (const auto bad = find_bad_text(yaml)) {
    report.mistake(lines.mark_at(bad->offset), "", bad->message);
    return std::nullopt;
  }
  std::string masked(yaml);
  mask_references(masked);
  Builder builder(lines, report);
  if (!run_parser(masked, lines, builder, report)) return std::nullopt;
  if (!builder.has_root()) return Node{};
  return builder.take_root();
}

}  // namespace weir::config
