// Messages as turns of content blocks: what Anthropic's Messages and Bedrock's Converse, which is made in its image,
// have in common. Each derives from BlockTurns and says what its own blocks look like. One object a request, one use.
#pragma once

#include <string>
#include <string_view>

#include "providers/chat.h"
#include "providers/refusals.h"

namespace weir::providers {

class BlockTurns {
 protected:
  BlockTurns(const ChatRequest& request, Refusals& refusals, std::string_view upstream)
      : request_(request), refusals_(refusals), upstream_(upstream) {}
  virtual ~BlockTurns() = default;

  /// Gives each message to the function of its role.
  void walk();
  virtual void system(const Message& message) = 0;
  virtual void user(const Message& message) = 0;
  virtual void assistant(const Message& message) = 0;
  virtual void tool(const Message& message) = 0;

  /// Adds to the last turn if it is `role`'s, else begins one: what one side says in a row is one turn.
  void add(std::string_view role, Json block);
  /// The arguments of a call as an object; null, and refused, where they are none.
  Json arguments_of(const ToolCall& call, const std::string& where);
  /// "messages[2].content[1]" of the message that is walked.
  std::string where(size_t part) const {
    return "messages[" + std::to_string(at_) + "].content[" + std::to_string(part) + "]";
  }
  /// Refuses messages of which nothing was left to say.
  void require_turn();
  /// A name of the speaker has no place in these APIs.
  void refuse_name(const Message& message);

  const ChatRequest& request_;
  Refusals& refusals_;
  Json turns_ = Json::array();

 private:
  std::string_view upstream_;  // as refusals name it
  size_t at_ = 0;
};

/// Tool ids are letters, digits, '_' and '-' here; others' may hold more.
std::string block_tool_id(std::string_view id);

/// A tool's parameters as both want them: an object with a type, and with properties where nothing else is said.
Json block_tool_schema(const Tool& tool);

}  // namespace weir::providers
