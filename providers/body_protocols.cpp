// The fields of each protocol that policy reads or changes, or that its reference gives a type.
#include "providers/body_marker.h"
#include "providers/json_text.h"

#include <algorithm>

namespace weir::providers {

using simdjson::SUCCESS;

bool BodyMarker::model(Value value) {
  body_.model_value = scalar_range(value);
  if (!text("", "model", value, body_.model)) return false;
  if (body_.model.empty()) return fail(bad_body("model", "model: must not be empty"));
  model_seen_ = true;
  return true;
}

bool BodyMarker::stream_options(Value value) {
  const ByteRange opening = scalar_range(value);
  if (null(value)) {
    body_.stream_options_value = opening;
    return true;
  }
  od::object object;
  if (value.get_object().get(object) != SUCCESS) return wrong("stream_options", "an object", value);
  int members = 0;
  for (auto member : object) {
    if (!counted(members)) return false;
    std::string_view key;
    Value inner;
    if (member.unescaped_key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS) return not_json();
    if (key == "include_usage") {
      if (!boolean("stream_options.include_usage", inner, body_.include_usage)) return false;
    } else if (!skip(inner, 2)) {
      return false;
    }
  }
  std::string_view raw;
  if (object.reset().error() != SUCCESS || object.raw_json().get(raw) != SUCCESS) return not_json();
  body_.stream_options_value = trimmed_range(raw);
  return true;
}

bool BodyMarker::content(Value value, const std::string& where) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type == od::json_type::string || type == od::json_type::null) return skip(value, 3);
  if (type != od::json_type::array) return wrong(where, "a string or an array of parts", value);
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return not_json();
  size_t index = 0;
  for (auto element : array) {
    const std::string part = where + "[" + std::to_string(index++) + "]";
    Value inner;
    if (element.get(inner) != SUCCESS || inner.type().get(type) != SUCCESS) return not_json();
    if (type != od::json_type::object) return wrong(part, "an object", inner);
    od::object object;
    if (inner.get_object().get(object) != SUCCESS) return not_json();
    int members = 0;
    for (auto member : object) {
      if (!counted(members)) return false;
      std::string_view key;
      Value field_value;
      if (member.unescaped_key().get(key) != SUCCESS || member.value().get(field_value) != SUCCESS) return not_json();
      if (!skip(field_value, 5)) return false;
    }
  }
  return true;
}

bool BodyMarker::message(Value value, const std::string& where) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type != od::json_type::object) return wrong(where, "an object", value);
  od::object object;
  if (value.get_object().get(object) != SUCCESS) return not_json();
  bool role = false;
  int members = 0;
  for (auto member : object) {
    if (!counted(members)) return false;
    std::string_view key;
    Value inner;
    if (member.unescaped_key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS) return not_json();
    if (key == "role") {
      std::string name;
      if (!text(where, ".role", inner, name)) return false;
      if (name != "system" && name != "developer" && name != "user" && name != "assistant" && name != "tool" &&
          name != "function")
        return fail(
            bad_body(where + ".role", where + ".role: must be one of system, developer, user, assistant, tool"));
      role = true;
    } else if (key == "content") {
      if (!content(inner, where + ".content")) return false;
    } else if (body_.items = body_.items || key == "provider_items"; !skip(inner, 3)) {
      return false;
    }
  }
  return role || fail(bad_body(where + ".role", where + ".role: is missing"));
}

bool BodyMarker::messages(Value value) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type != od::json_type::array) return wrong("messages", "an array", value);
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return not_json();
  for (auto element : array) {
    Value inner;
    if (element.get(inner) != SUCCESS) return not_json();
    if (!message(inner, "messages[" + std::to_string(body_.message_count++) + "]")) return false;
  }
  messages_seen_ = true;
  return body_.message_count > 0 || fail(bad_body("messages", "messages: must hold at least one message"));
}

bool BodyMarker::chat_field(std::string_view key, Value value) {
  std::optional<int64_t> ignored_number;
  std::string ignored_text;
  bool ignored = false;
  if (key == "messages") return messages(value);
  if (key == "stream_options") return stream_options(value);
  if (key == "max_tokens") return output_limit(key, value, body_.max_tokens_value);
  if (key == "max_completion_tokens") {
    body_.max_completion_tokens_key = key_range();
    return output_limit(key, value, body_.max_completion_tokens_value);
  }
  if (key == "tools") return tools(value);
  if (key == "n") return choices(key, value);
  if (key == "temperature") return number(key, value, 0, 2);
  if (key == "top_p") return number(key, value, 0, 1);
  if (key == "presence_penalty" || key == "frequency_penalty") return number(key, value, -2, 2);
  if (key == "top_logprobs") return integer(key, value, 0, ignored_number);
  if (key == "logprobs") return boolean(key, value, ignored);
  if (key == "user") return null(value) || text("", key, value, ignored_text);
  return unknown(key, value);
}

/// What an upstream would do or keep where neither keys nor budgets reach. `null`, `false` and an empty list ask for
/// nothing.
bool BodyMarker::refused(std::string_view key, Value value, std::string_view why) {
  if (null(value)) return true;
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  bool asked = true;
  if (type == od::json_type::boolean && value.get_bool().get(asked) != SUCCESS) return not_json();
  if (type == od::json_type::array) {
    od::array array;
    if (value.get_array().get(array) != SUCCESS) return not_json();
    asked = false;
    for (auto element : array) {
      Value inner;
      if (element.get(inner) != SUCCESS) return not_json();
      if (!skip(inner, 2)) return false;
      asked = true;
    }
  }
  return !asked || fail(bad_body(std::string(key), std::string(key) + ": is not supported: " + std::string(why)));
}

/// What a protocol does not know and an upstream that speaks it may: llama.cpp lets n_predict win over
/// max_tokens and n_cmpl over n (https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md), OpenRouter
/// and LiteLLM ask other models (https://openrouter.ai/docs/features/model-routing), and so does Groq's compound
/// (https://console.groq.com/docs/api-reference#chat-create); xAI answers later
/// (https://docs.x.ai/docs/guides/deferred-chat-completions).
bool BodyMarker::unknown(std::string_view key, Value value) {
  if (key == "deferred") return refused(key, value, "what it costs could not be charged; leave it out, and stream");
  if (key == "plugins") return plugins(value);
  const bool limit = key == "n_predict" || key == "num_predict" || key == "max_new_tokens";
  if (limit || key == "n_cmpl" || key == "models" || key == "route" || key == "preset" || key == "fallbacks" ||
      key == "compound_custom")
    body_.steering.push_back({std::string(key), limit});
  int64_t number = 0;
  if (limit && value.get_int64().get(number) == SUCCESS) {
    if (number > 0) body_.output_tokens_max = std::max(number, body_.output_tokens_max.value_or(0));
    return true;
  }
  return skip(value, 1);
}

/// Of two members of one name some readers take the first and some the last.
bool BodyMarker::text_once(const std::string& where, std::string_view key, Value value, std::string& out) {
  if (!out.empty()) return fail(bad_body(where + std::string(key), where + std::string(key) + ": is given twice"));
  return text(where, key, value, out);
}

bool BodyMarker::tool(Value value, const std::string& where) {
  std::string kind;
  bool names = false;
  const auto names_a_model = [&](std::string_view key, Value inner, od::json_type type) {
    names = names || (key == "model" && type == od::json_type::string);
    return skip(inner, 5);
  };
  const auto member = [&](std::string_view key, Value inner, od::json_type type) {
    if (key == "type" && type == od::json_type::string) return text_once(where, ".type", inner, kind);
    if (key == "tools" && type == od::json_type::array) return tools(inner, where + ".tools");  // a namespace
    if (key == "parameters" && type == od::json_type::object) return each_member(inner, names_a_model);
    return names_a_model(key, inner, type);
  };
  if (!each_member(value, member)) return false;
  if (kind == "function" || kind == "custom") return true;                           // the client's own
  const std::string_view plain = std::string_view(kind).substr(kind.find(':') + 1);  // "openrouter:advisor"
  if (plain == "image_generation")
    return fail(bad_body(where, where + ": image_generation is not supported: what its images cost could not be "
                                        "charged; ask for them at /v1/images/generations"));
  names = names || plain == "advisor" || plain == "fusion" || plain == "subagent";
  return !names || fail(bad_body(where, where + ": names a model that would answer beside the one asked for, and what "
                                                "that costs could not be charged; leave the tool out"));
}

/// Tools that an upstream runs itself may ask another model, whose tokens are not in the answer's counts: OpenAI's
/// image_generation, Anthropic's advisor (https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool),
/// OpenRouter's own (https://openrouter.ai/docs/guides/features/server-tools), which choose one where none is named.
bool BodyMarker::tools(Value value, const std::string& where) {
  return each_object(value, where, [&](Value one, const std::string& place) { return tool(one, place); });
}

bool BodyMarker::plugin(Value value, const std::string& where) {
  std::string id;
  bool names = false;
  std::optional<bool> enabled;
  const auto member = [&](std::string_view key, Value inner, od::json_type type) {
    if (key == "id" && type == od::json_type::string) return text_once(where, ".id", inner, id);
    if (key == "enabled" && type == od::json_type::boolean && !enabled)
      return boolean(where + ".enabled", inner, enabled.emplace());
    if (key == "enabled") return fail(bad_body(where, where + ".enabled: must be true or false, once"));
    names = names || key == "model" || key.ends_with("models");
    return skip(inner, 4);
  };
  if (!each_member(value, member)) return false;
  names = names || id == "fusion" || id.ends_with("router");
  return !names || !enabled.value_or(true) ||
         fail(bad_body(where, where + ": lets other models answer than the one asked for, and what they cost "
                                      "could not be charged; leave the plugin out"));
}

/// OpenRouter's: some ask models of their own choice (https://openrouter.ai/docs/guides/features/plugins).
bool BodyMarker::plugins(Value value) {
  return each_object(value, "plugins", [&](Value one, const std::string& place) { return plugin(one, place); });
}

/// What is no text is the upstream's to refuse. Speed and place are Claude's words alone.
bool BodyMarker::tier(std::string_view key, Value value) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  const bool claude = body_.protocol == Protocol::anthropic_messages;
  if (type != od::json_type::string || (!claude && !key.starts_with("service"))) return skip(value, 1);
  std::string word;
  if (!text("", key, value, word)) return false;
  if (!claude)
    add_term(body_.tier, service_tier(word));
  else
    (key == "speed" ? claude_tier_.speed : key == "inference_geo" ? claude_tier_.geo : claude_tier_.service) = word;
  return true;
}

bool BodyMarker::generation_config(Value value) {
  od::object object;
  if (value.get_object().get(object) != SUCCESS) return wrong("generationConfig", "an object", value);
  int members = 0;
  for (auto member : object) {
    if (!counted(members)) return false;
    std::string_view key;
    Value inner;
    if (member.unescaped_key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS) return not_json();
    bool fine = true;
    if (key == "maxOutputTokens" || key == "max_output_tokens")
      fine = output_limit("generationConfig.maxOutputTokens", inner, body_.max_tokens_value);
    else if (key == "candidateCount" || key == "candidate_count")
      fine = choices("generationConfig.candidateCount", inner);
    else if (key == "routingConfig" || key == "routing_config")  // of Vertex: which model answers
      fine = refused("generationConfig.routingConfig", inner, "the model is the one asked for; leave it out");
    else
      fine = skip(inner, 2);
    if (!fine) return false;
  }
  return true;
}

bool BodyMarker::gemini_field(std::string_view key, Value value) {
  if (key == "contents") {
    messages_seen_ = true;
    return list(key, value, body_.message_count);
  }
  if (key == "serviceTier" || key == "service_tier") return tier(key, value);
  if (key == "generationConfig" || key == "generation_config") return generation_config(value);
  return skip(value, 1);
}

/// A text, several texts, one prompt of token ids, or several: each is answered `n` times.
bool BodyMarker::prompts(Value value) {
  messages_seen_ = true;
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type != od::json_type::array) return skip(value, 1);
  od::array array;
  if (value.get_array().get(array) != SUCCESS) return not_json();
  int64_t count = 0;
  for (auto element : array) {
    Value inner;
    if (element.get(inner) != SUCCESS || inner.type().get(type) != SUCCESS) return not_json();
    if (type != od::json_type::number) ++count;
    if (!skip(inner, 2)) return false;
  }
  prompts_ = std::max<int64_t>(count, 1);
  return true;
}

/// Speech is priced by the character.
bool BodyMarker::spoken(Value value) {
  std::string words;
  if (!text("", "input", value, words)) return false;
  for (const char c : words) body_.units += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
  return true;
}

bool BodyMarker::responses_field(std::string_view key, Value value) {
  if (key == "max_output_tokens") return output_limit(key, value, body_.max_tokens_value);
  if (key == "store") {
    body_.store_value = scalar_range(value);
    return boolean(key, value, body_.store);
  }
  if (key == "background") return refused(key, value, "what it costs could not be charged; leave it out, and stream");
  if (key == "conversation")
    return refused(key, value,
                   "conversations belong to an upstream account and not to a key; use previous_response_id");
  if (key == "tools") return tools(value);
  if (key == "previous_response_id") {
    body_.previous_response_value = scalar_range(value);
    if (null(value)) return true;
    return text("", key, value, body_.previous_response_id);
  }
  if (key != "input") return unknown(key, value);
  const uint32_t begin = scalar_range(value).begin;
  messages_seen_ = true;
  if (!input_items(value)) return false;
  // simdjson stands behind the value now, at the comma or brace that follows it.
  const char* next = nullptr;
  if (document_.current_location().get(next) != SUCCESS) return not_json();
  body_.input_value = trimmed_range({start_ + begin, static_cast<size_t>(next - start_) - begin});
  return true;
}

/// Anthropic's later ways to another model or another conversation:
/// https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback, …/message-threads.
bool BodyMarker::messages_field(std::string_view key, Value value) {
  if (key == "fallbacks" || key == "fallback_credit_token")
    return refused(key, value, "the model is the one asked for; the gateway's own fallbacks are in its configuration");
  if (key == "thread")
    return refused(key, value, "threads belong to an upstream account and not to a key; send the whole conversation");
  if (key == "tools") return tools(value);
  return unknown(key, value);
}

bool BodyMarker::input_items(Value value) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return not_json();
  if (type != od::json_type::array) return skip(value, 1);
  od::array items;
  if (value.get_array().get(items) != SUCCESS) return not_json();
  for (auto element : items) {
    Value item;
    if (element.get(item) != SUCCESS || item.type().get(type) != SUCCESS) return not_json();
    if (!(type == od::json_type::object ? input_item(item) : skip(item, 2))) return false;
  }
  return true;
}

/// {"type":"item_reference","id":"msg_…"}, whose type may be left out. Only the key that has the item may name it.
/// https://platform.openai.com/docs/api-reference/responses/create#responses_create-input
bool BodyMarker::input_item(Value value) {
  od::object object;
  if (value.get_object().get(object) != SUCCESS) return not_json();
  std::string type;
  std::string id;
  std::string name;
  bool has_role = false;
  int members = 0;
  for (auto member : object) {
    od::raw_json_string key;
    Value inner;
    od::json_type kind{};
    if (!counted(members)) return false;
    if (member.key().get(key) != SUCCESS || member.value().get(inner) != SUCCESS || inner.type().get(kind) != SUCCESS)
      return not_json();
    const char* end = key.raw();
    while (*end != '"') end += *end == '\\' ? 2 : 1;
    name.clear();
    if (!note_item(key.raw()) || !append_unescaped({key.raw(), static_cast<size_t>(end - key.raw())}, name))
      return not_json();
    has_role = has_role || name == "role";
    if (name == "tools" && kind == od::json_type::array) {  // additional_tools, tool_search_output
      if (!tools(inner, "input[].tools")) return false;
      continue;
    }
    std::string* const text_of = name == "type" ? &type : name == "id" ? &id : nullptr;
    const bool wanted = text_of != nullptr && kind == od::json_type::string;
    if (!(wanted ? text_once("input[].", name, inner, *text_of) : skip(inner, 3))) return false;
  }
  if (type == "item_reference" || (type.empty() && !has_role && !id.empty()))
    body_.item_references.push_back(std::move(id));
  return true;
}

/// The protocols that are forwarded or decoded elsewhere: only what policy acts on is looked at.
bool BodyMarker::other_field(std::string_view key, Value value) {
  const Protocol protocol = body_.protocol;
  if (key == "max_tokens" && protocol == Protocol::openai_completions)
    return output_limit(key, value, body_.max_tokens_value);
  if (key == "max_tokens" && protocol == Protocol::anthropic_messages)
    return output_limit(key, value, body_.max_tokens_value);
  if (protocol == Protocol::openai_responses) return responses_field(key, value);
  if (key == "stream_options" && protocol == Protocol::openai_completions) return stream_options(value);
  if ((key == "n" && (protocol == Protocol::openai_completions || protocol == Protocol::openai_images)) ||
      (key == "best_of" && protocol == Protocol::openai_completions))
    return choices(key, value);
  if (key == "messages") {
    messages_seen_ = true;
    return list(key, value, body_.message_count);
  }
  if (key == "documents" && protocol == Protocol::rerank) {
    uint32_t documents = 0;
    messages_seen_ = true;
    if (!list(key, value, documents)) return false;
    body_.units = documents;
    return true;
  }
  if (key == "prompt" && protocol == Protocol::openai_completions) return prompts(value);
  if (key == "input" && protocol == Protocol::openai_embeddings) {
    if (!prompts(value)) return false;
    body_.units = static_cast<uint64_t>(std::exchange(prompts_, 1));
    return true;
  }
  if (key == "input" || key == "prompt") {
    messages_seen_ = true;
    return protocol == Protocol::openai_speech ? spoken(value) : skip(value, 1);
  }
  if (protocol == Protocol::anthropic_messages) return messages_field(key, value);
  return unknown(key, value);
}

}  // namespace weir::providers
