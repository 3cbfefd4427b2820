// Parallel tool calls whose arguments come in turns, told one call after the other: Gemini's clients get calls whole,
// and those of Responses an item that is over before the next begins. Pieces of a later call wait until the arguments
// of the one before are a whole JSON value, or the answer ends, and so does what else comes between the pieces of one,
// its signature too, which some servers send with its name; calls that come one by one are not delayed. Where very many
// pieces wait, those of one kind become one. One per choice.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "providers/chat.h"

namespace weir::gateway {

class CallsInOrder {
 public:
  /// Hands the event on to `to(const ChatEvent&)` now or later, and what waited for it.
  template <class To>
  void pass(const providers::ChatEvent& event, const To& to) {
    using Kind = providers::ChatEvent::Kind;
    if (event.kind == Kind::finish)
      for (bool more = true; more; more = next(to)) open_.reset();
    const bool held_signature = event.kind == Kind::signature && last_held_;
    if (event.kind != Kind::tool_call && !held_signature) {
      if (event.kind != Kind::finish && unfinished()) {
        wait(event, *open_);
        return;
      }
      last_held_ = false;
      return to(event);
    }
    const bool goes_on = event.kind == Kind::tool_call && open_ == event.tool_index;
    if (!goes_on && (held_signature || !waiting_.empty() || unfinished())) {
      last_held_ = true;
      wait(event, held_signature ? last_waiting_ : event.tool_index);
      return;
    }
    last_held_ = false;
    tell(event, to);
    while (arguments_.whole() && next(to)) continue;
  }

 private:
  /// How far a JSON value has come that is seen in pieces.
  class Balance {
   public:
    void add(std::string_view piece) {
      for (const char c : piece) {
        if (escaped_) {
          escaped_ = false;
        } else if (quoted_) {
          escaped_ = c == '\\';
          quoted_ = c != '"';
        } else if (c == '"') {
          quoted_ = true;
        } else if (c == '{' || c == '[') {
          ++depth_;
          begun_ = true;
        } else if (c == '}' || c == ']') {
          --depth_;
        }
      }
    }
    bool whole() const { return begun_ && depth_ <= 0; }

   private:
    int64_t depth_ = 0;
    bool begun_ = false;
    bool quoted_ = false;
    bool escaped_ = false;
  };

  static constexpr size_t kApartMax = 4096;  // pieces that wait

  /// What waits for a call, in order, each with its turn among all.
  using Queue = std::vector<std::pair<int64_t, providers::ChatEvent>>;

  void wait(const providers::ChatEvent& event, int32_t index) {
    Queue& queue = waiting_[index];
    last_waiting_ = index;
    if (count_ >= kApartMax && !queue.empty() && append(event, queue.back().second)) return;
    ++count_;
    if (queue.empty()) firsts_.emplace(turns_, index);
    queue.emplace_back(turns_++, event).second.tool_index = index;
  }

  /// Adds a piece to the one before it. False: it says more than that there is more.
  static bool append(const providers::ChatEvent& piece, providers::ChatEvent& last) {
    using Kind = providers::ChatEvent::Kind;
    const bool words = piece.kind == Kind::text || piece.kind == Kind::refusal || piece.kind == Kind::reasoning;
    const bool more = piece.kind == Kind::tool_call && piece.tool_call.id.empty() && piece.tool_call.name.empty();
    if (piece.kind != last.kind || !(words || more) || piece.opens_block) return false;
    if (!piece.logprobs.empty() || !last.logprobs.empty()) return false;
    last.text += piece.text;
    last.tool_call.arguments += piece.tool_call.arguments;
    return true;
  }

  bool unfinished() const { return open_ && !arguments_.whole(); }

  template <class To>
  void tell(const providers::ChatEvent& event, const To& to) {
    if (event.kind == providers::ChatEvent::Kind::tool_call) {
      if (open_ != event.tool_index) arguments_ = {};
      open_ = event.tool_index;
      arguments_.add(event.tool_call.arguments);
    }
    to(event);
  }

  /// Tells what waits of the call that waits longest, but a signature while arguments are missing. False: none waits.
  template <class To>
  bool next(const To& to) {
    if (firsts_.empty()) return false;
    const int32_t index = firsts_.begin()->second;
    firsts_.erase(firsts_.begin());
    Queue early;
    auto waited = waiting_.extract(index);
    count_ -= waited.mapped().size();
    for (auto& [turn, event] : waited.mapped())
      if (event.kind == providers::ChatEvent::Kind::signature && unfinished())
        early.emplace_back(turn, std::move(event));
      else
        tell(event, to);
    if (early.empty()) return true;
    count_ += early.size();
    firsts_.emplace(early.front().first, index);
    waiting_.emplace(index, std::move(early));
    return true;
  }

  std::optional<int32_t> open_;
  Balance arguments_;                           // of the open call
  std::unordered_map<int32_t, Queue> waiting_;  // by the call's tool_index
  std::map<int64_t, int32_t> firsts_;           // of each queue: its first's turn
  int64_t turns_ = 0;
  size_t count_ = 0;          // of all that waits
  int32_t last_waiting_ = 0;  // for which call what came to wait last does
  bool last_held_ = false;
};

}  // namespace weir::gateway
