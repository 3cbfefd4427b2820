#include "engine/eval/samples.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {
namespace {

using nlohmann::ordered_json;

constexpr size_t kLineBytesMax = 16U << 20;

class Reader {
 public:
  Reader(std::string path, const LoadedModel& model) : path_(std::move(path)), model_(model) {}

  Result<std::vector<Sample>> read(size_t samples_max) {
    std::ifstream file(path_, std::ios::binary);
    if (!file) return failed(std::string("cannot be read: ") + std::strerror(errno));
    const std::string_view end = ".jsonl";
    const bool json = path_.size() > end.size() && std::string_view(path_).substr(path_.size() - end.size()) == end;
    std::vector<Sample> samples;
    for (std::string line; std::getline(file, line) && (samples_max == 0 || samples.size() < samples_max);) {
      ++line_;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty()) continue;
      if (line.size() > kLineBytesMax) return failed("is longer than " + std::to_string(kLineBytesMax) + " bytes");
      auto sample = json ? of_json(line) : of_text(line);
      if (!sample.ok()) return sample.error();
      sample->line = line_;
      samples.push_back(*std::move(sample));
    }
    if (file.bad()) return failed("cannot be read");
    if (samples.empty()) return failed("holds no text");
    return samples;
  }

 private:
  Error failed(const std::string& what) const {
    const std::string at = line_ == 0 ? path_ : path_ + ":" + std::to_string(line_);
    return Error{.kind = ErrorKind::config, .source = "engine", .detail = at + ": " + what};
  }

  Result<std::vector<TokenId>> encode(const std::string& text, bool special, bool ends) const {
    auto ids = model_.tokenizer->encode(text, {.parse_special = special, .add_special = ends});
    if (!ids.ok()) return failed(ids.error().detail);
    return ids;
  }

  Result<Sample> of_text(const std::string& text) const {
    auto ids = encode(text, false, true);
    if (!ids.ok()) return ids.error();
    return Sample{.prompt = {}, .completion = *std::move(ids), .expected = std::nullopt};
  }

  Result<Sample> of_json(const std::string& line) const {
    const auto object = ordered_json::parse(line, nullptr, false);
    if (!object.is_object()) return failed("is not a JSON object");
    const auto text = [&](const char* key) {
      const auto found = object.find(key);
      return found != object.end() && found->is_string() ? std::optional(found->get<std::string>()) : std::nullopt;
    };
    const auto expected = text("expected");
    const auto messages = object.find("messages");
    if (messages != object.end()) return of_messages(*messages, expected);
    const auto prompt = text("prompt");
    if (prompt && expected) {
      auto ids = encode(*prompt, false, true);
      if (!ids.ok()) return ids.error();
      return with_answer(*std::move(ids), *expected, false);
    }
    if (const auto whole = text("text")) return of_text(*whole);
    return failed("must have \"messages\", \"text\", or \"prompt\" and \"expected\"");
  }

  Result<Sample> of_messages(const ordered_json& messages, const std::optional<std::string>& expected) const {
    if (!messages.is_array()) return failed("\"messages\" must be a list");
    if (!model_.chat_template) return failed("has messages, and the model has no chat template");
    ChatTemplate::Context context{.messages = messages, .add_generation_prompt = expected.has_value()};
    context.bos_token = model_.tokenizer->bos_token();
    context.eos_token = model_.tokenizer->eos_token();
    context.now = std::chrono::system_clock::now();
    const auto text = model_.chat_template->render(context);
    if (!text.ok()) return failed(text.error().detail);
    auto ids = encode(*text, true, false);
    if (!ids.ok()) return ids.error();
    if (expected) return with_answer(*std::move(ids), *expected, true);
    return Sample{.prompt = {}, .completion = *std::move(ids), .expected = std::nullopt, .chat = true};
  }

  Result<Sample> with_answer(std::vector<TokenId> prompt, const std::string& expected, bool chat) const {
    if (prompt.empty()) return failed("has a prompt of no tokens");
    auto answer = encode(expected, false, false);
    if (!answer.ok()) return answer.error();
    // Of several tokens that end a sequence, the tokenizer's own is the one that ends an answer.
    const auto end = encode(model_.tokenizer->eos_token(), true, false);
    if (end.ok() && end->size() == 1) answer->push_back(end->front());
    return Sample{.prompt = std::move(prompt), .completion = *std::move(answer), .expected = expected, .chat = chat};
  }

  std::string path_;
  const LoadedModel& model_;
  size_t line_ = 0;
};

}  // namespace

std::vector<TokenId> Sample::all() const {
  std::vector<TokenId> tokens = prompt;
  tokens.insert(tokens.end(), completion.begin(), completion.end());
  return tokens;
}

Result<std::vector<Sample>> read_samples(const std::string& path, const LoadedModel& model, size_t samples_max) {
  return Reader(path, model).read(samples_max);
}

}  // namespace weir::engine
