#include "engine/text/chat_template.h"

#include <fstream>
#include <optional>
#include <system_error>

namespace weir::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kConfigBytesMax = 32 << 20;  // tokenizer_config.json lists every added token of some models

Error config_error(const fs::path& file, std::string why) {
  return Error{ErrorKind::config,    "chat template", Retry::no, 500, file.string() + ": " + std::move(why),
               "chat_template_error"};
}

/// The whole file; nothing when there is none.
Result<std::optional<std::string>> read_file(const fs::path& file, size_t bytes_max) {
  std::error_code code;
  if (!fs::is_regular_file(file, code)) return std::optional<std::string>();
  const auto size = fs::file_size(file, code);
  if (code) return config_error(file, "cannot be read: " + code.message());
  if (size > bytes_max) return config_error(file, "is over " + std::to_string(bytes_max) + " bytes");
  std::ifstream in(file, std::ios::binary);
  std::string text(size, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(size))) return config_error(file, "cannot be read");
  return std::optional(std::move(text));
}

struct Sources {
  std::optional<std::string> main;
  std::optional<std::string> tool_use;
  fs::path file;  // where they come from
};

Result<Sources> from_jinja_files(const fs::path& folder) {
  Sources sources;
  sources.file = folder / "chat_template.jinja";
  auto main = read_file(sources.file, jinja::Limits{}.template_bytes_max);
  if (!main.ok()) return main.error();
  sources.main = std::move(*main);
  if (!sources.main) return sources;
  auto tool_use =
      read_file(folder / "additional_chat_templates" / "tool_use.jinja", jinja::Limits{}.template_bytes_max);
  if (!tool_use.ok()) return tool_use.error();
  sources.tool_use = std::move(*tool_use);
  return sources;
}

Result<Sources> from_json_file(const fs::path& file) {
  Sources sources;
  sources.file = file;
  auto text = read_file(file, kConfigBytesMax);
  if (!text.ok()) return text.error();
  if (!text->has_value()) return sources;
  const json config = read_json<json>(**text);
  if (!config.is_object()) return config_error(file, "is not a JSON object");
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return sources;
  if (found->is_string()) {
    sources.main = found->get<std::string>();
    return sources;
  }
  if (!found->is_array()) return config_error(file, "chat_template: must be a text or a list of {name, template}");
  for (const json& entry : *found) {
    const bool named = entry.is_object() && entry.contains("name") && entry["name"].is_string() &&
                       entry.contains("template") && entry["template"].is_string();
    if (!named) return config_error(file, "chat_template: every item of the list must be {name, template}");
    const auto name = entry["name"].get<std::string>();
    if (name == "default") sources.main = entry["template"].get<std::string>();
    if (name == "tool_use") sources.tool_use = entry["template"].get<std::string>();
  }
  if (!sources.main) return config_error(file, "chat_template: the list has no template named \"default\"");
  return sources;
}

}  // namespace

Result<std::shared_ptr<const ChatTemplate>> load_chat_template(const std::filesystem::path& folder) {
  auto sources = from_jinja_files(folder);
  for (const char* file : {"tokenizer_config.json", "chat_template.json"})
    if (sources.ok() && !sources->main) sources = from_json_file(folder / file);
  if (!sources.ok()) return sources.error();
  if (!sources->main)
    return Error{ErrorKind::not_found, "chat template", Retry::no, 404,
                 folder.string() +
                     ": the model has no chat template: neither chat_template.jinja nor chat_template in "
                     "tokenizer_config.json"};
  auto main = ChatTemplate::parse(std::move(*sources->main), sources->file.string());
  if (!main.ok() || !sources->tool_use) return main;
  auto tool_use = ChatTemplate::parse(std::move(*sources->tool_use), sources->file.string() + " (tool_use)");
  if (!tool_use.ok()) return tool_use.error();
  auto both = std::make_shared<ChatTemplate>(**main);
  both->tool_use_ = std::move(*tool_use);
  return std::shared_ptr<const ChatTemplate>(std::move(both));
}

}  // namespace weir::engine
