// A model's chat template: turns messages and tools into the prompt text the model was trained on. The language is the
// subset of Jinja2 that such templates use, set up as Hugging Face does (trim_blocks, lstrip_blocks, loop controls,
// tojson without ASCII escapes, raise_exception, strftime_now, and a sandbox in which lists and dicts cannot be
// changed). Immutable after parse; any number of threads may render at once.
#pragma once

#include "config/base/result.h"
#include "engine/text/jinja/limits.h"
#include "engine/text/tool_parse.h"

#include "config/base/json.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace weir::engine {

namespace jinja {
struct Template;
}

class ChatTemplate {
 public:
  /// What one rendering is about. The references must live through the call of render.
  struct Context {
    const nlohmann::ordered_json& messages;                // array of messages, as the client sent them
    const nlohmann::ordered_json& tools = no_value();      // array of tools, or null
    const nlohmann::ordered_json& documents = no_value();  // array of documents, or null
    bool add_generation_prompt = true;                     // end with the opening of the assistant's turn
    std::string bos_token = {};                            // "" where the model has none
    std::string eos_token = {};
    /// Object of further variables (a request's chat_template_kwargs); null for none. They may replace the tokens
    /// above, not the conversation.
    nlohmann::ordered_json extra = nullptr;
    std::chrono::system_clock::time_point now = {};  // what strftime_now tells, in UTC
  };

  /// `name` is told in errors: "name:line:column: …". Error: config, when the text is no template of this language or
  /// is over `limits.template_bytes_max`.
  static Result<std::shared_ptr<const ChatTemplate>> parse(std::string source, std::string name,
                                                           const jinja::Limits& limits = {});

  /// The prompt. Errors: bad_request with the template's own words when it calls raise_exception, and with place and
  /// reason when the template does not fit the conversation; too_large when a limit is passed. Reads no clock.
  Result<std::string> render(const Context& context) const;

  const std::string& name() const { return name_; }
  /// The form in which this template tells the model to write tool calls.
  ToolCallStyle tool_call_style() const;

 private:
  friend Result<std::shared_ptr<const ChatTemplate>> load_chat_template(const std::filesystem::path& folder);
  static const nlohmann::ordered_json& no_value();

  std::string name_;
  jinja::Limits limits_;
  std::shared_ptr<const jinja::Template> parsed_;
  std::shared_ptr<const ChatTemplate> tool_use_;  // rendered instead when there are tools; may be null
};

/// The template of a model in Hugging Face's form: `chat_template.jinja`, with
/// `additional_chat_templates/tool_use.jinja` for conversations with tools; or else `chat_template` of
/// `tokenizer_config.json` or `chat_template.json`: a text, or a list of {name, template} of which "default" and
/// "tool_use" are used. Reads files: for start-up. Errors: not_found when the model has no template; config when it
/// cannot be read or parsed.
Result<std::shared_ptr<const ChatTemplate>> load_chat_template(const std::filesystem::path& folder);

}  // namespace weir::engine
