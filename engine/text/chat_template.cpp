#include "engine/text/chat_template.h"

#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/parser.h"
#include "engine/text/jinja/unicode.h"

#include <vector>

namespace weir::engine {
namespace {

Error error_of(const std::string& name, const jinja::Failure& failure) {
  Error error{ErrorKind::bad_request, "chat template", Retry::no, 400, failure.message, "chat_template_error"};
  if (failure.kind == jinja::Failure::Kind::raised) return error;
  error.detail = name + ":" + std::to_string(failure.at.line) + ":" + std::to_string(failure.at.column) + ": " +
                 failure.type + ": " + failure.message;
  if (failure.kind == jinja::Failure::Kind::limit) {
    error.kind = ErrorKind::too_large;
    error.http_status = 413;
  } else if (failure.kind == jinja::Failure::Kind::syntax) {
    error.kind = ErrorKind::config;
    error.http_status = 500;
  }
  return error;
}

}  // namespace

const nlohmann::ordered_json& ChatTemplate::no_value() {
  static const nlohmann::ordered_json null;
  return null;
}

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::parse(std::string source, std::string name,
                                                                const jinja::Limits& limits) {
  const auto unreadable = [&](const std::string& why) {
    return Error{ErrorKind::config, "chat template", Retry::no, 500, name + ": " + why, "chat_template_error"};
  };
  if (source.size() > limits.template_bytes_max)
    return unreadable("the template has " + std::to_string(source.size()) +
                      " bytes, more than template_bytes_max = " + std::to_string(limits.template_bytes_max));
  if (!jinja::is_valid_utf8(source)) return unreadable("the template is not valid UTF-8");
  auto made = std::make_shared<ChatTemplate>();
  made->name_ = std::move(name);
  made->limits_ = limits;
  try {
    made->parsed_ = jinja::parse_template(source);
  } catch (const jinja::Failure& failure) {
    return error_of(made->name_, failure);
  }
  return std::shared_ptr<const ChatTemplate>(std::move(made));
}

ToolCallStyle ChatTemplate::tool_call_style() const {
  return engine::tool_call_style(tool_use_ ? tool_use_->parsed_->source : parsed_->source);
}

Result<std::string> ChatTemplate::render(const Context& context) const {
  if (tool_use_ && !context.tools.is_null()) return tool_use_->render(context);
  const nlohmann::ordered_json prompt = context.add_generation_prompt;
  const nlohmann::ordered_json bos = context.bos_token;
  const nlohmann::ordered_json eos = context.eos_token;
  // Of two variables with one name the later one counts.
  std::vector<jinja::Variable> variables{{"bos_token", &bos}, {"eos_token", &eos}};
  if (context.extra.is_object())
    for (const auto& [key, value] : context.extra.get_ref<const nlohmann::ordered_json::object_t&>())
      variables.push_back({key, &value});
  variables.insert(variables.end(), {{"messages", &context.messages},
                                     {"tools", &context.tools},
                                     {"documents", &context.documents},
                                     {"add_generation_prompt", &prompt}});
  try {
    return jinja::render_template(*parsed_, variables, context.now, limits_);
  } catch (const jinja::Failure& failure) {
    return error_of(name_, failure);
  }
}

}  // namespace weir::engine
