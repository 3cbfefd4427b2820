// Building a Tokenizer from its files: added tokens, the post-processor, the named tokens, the table for decoding.
#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "engine/text/bpe_model.h"
#include "engine/text/json_fields.h"
#include "engine/text/tokenizer_impl.h"
#include "engine/text/tokenizer_json.h"

namespace weir::engine {

using text::AddedToken;
using text::JsonField;
using text::LoadFailure;

namespace {

/// A file beside tokenizer.json; an empty one counts as {}.
nlohmann::json read_beside(std::string_view bytes, const char* name) {
  if (bytes.empty()) return nlohmann::json::object();
  try {
    return text::read_small_json(bytes);
  } catch (LoadFailure& failure) {
    failure.path = std::string("(") + name + " beside it) " + failure.path;
    throw;
  }
}

AddedToken read_added_token(const JsonField& field) {
  AddedToken token;
  token.content = field.at("content").text();
  token.single_word = field.boolean_or("single_word", false);
  token.lstrip = field.boolean_or("lstrip", false);
  token.rstrip = field.boolean_or("rstrip", false);
  token.special = field.boolean_or("special", false);
  token.normalized = field.boolean_or("normalized", !token.special);
  if (token.content.size() > text::kAddedTokenBytesMax) {
    field.at("content").fail("is longer than " + std::to_string(text::kAddedTokenBytesMax) + " bytes");
  }
  return token;
}

}  // namespace

std::unique_ptr<Tokenizer::Impl> Tokenizer::Impl::build(const TokenizerFiles& files) {
  auto impl = std::make_unique<Impl>();
  text::TokenizerJson file = text::read_tokenizer_json(files.tokenizer_json);
  const nlohmann::json config = read_beside(files.tokenizer_config_json, "tokenizer_config.json");
  const nlohmann::json map = read_beside(files.special_tokens_map_json, "special_tokens_map.json");
  const nlohmann::json generation = read_beside(files.generation_config_json, "generation_config.json");

  impl->model = text::TokenModel::build(file);
  const JsonField root(file.rest, "");
  if (const auto field = root.find("normalizer")) impl->normalizer = text::Normalizer::parse(*field);
  if (const auto field = root.find("pre_tokenizer")) impl->pre_tokenizer = text::PreTokenizer::parse(*field);
  impl->read_added(root, config);
  if (const auto field = root.find("post_processor")) impl->read_post_processor(*field, 0);
  impl->build_decode_table(root);
  impl->read_named(config, map);
  impl->read_stop_ids(generation);
  return impl;
}

void Tokenizer::Impl::read_added(const JsonField& root, const nlohmann::json& config) {
  std::vector<AddedToken> tokens;
  std::unordered_set<std::string> contents;
  std::unordered_set<TokenId> ids;
  const text::Vocabulary& vocabulary = model->vocabulary();
  id_end = vocabulary.id_end();
  const auto put = [&](AddedToken token) {
    id_end = std::max(id_end, token.id + 1);
    contents.insert(token.content);
    ids.insert(token.id);
    tokens.push_back(std::move(token));
  };
  if (const auto list = root.find("added_tokens")) {
    if (list->size() > text::kAddedTokensMax)
      list->fail("has more than " + std::to_string(text::kAddedTokensMax) + " tokens");
    for (size_t i = 0; i < list->size(); ++i) {
      const JsonField field = list->item(i);
      AddedToken token = read_added_token(field);
      const JsonField id = field.at("id");
      token.id = static_cast<TokenId>(id.whole(text::kTokenIdMax));
      if (token.content.empty() || contents.contains(token.content)) continue;
      const auto in_vocabulary = vocabulary.find(token.content);
      if (in_vocabulary) token.id = *in_vocabulary;  // the model's own id wins, as in the reference
      if ((!in_vocabulary && vocabulary.text(token.id)) || ids.contains(token.id)) {
        id.fail(std::to_string(token.id) + " already stands for another token");
      }
      put(std::move(token));
    }
  }
  // Older folders name some tokens only in tokenizer_config.json; where both speak, tokenizer.json is right.
  if (const auto more = JsonField(config, "(tokenizer_config.json beside it)").find("added_tokens_decoder")) {
    if (!more->value().is_object()) more->fail("must be an object");
    for (const auto& [key, value] : more->value().items()) {
      const JsonField field(value, more->path() + "." + key.substr(0, 32));
      TokenId id = -1;
      const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
      if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || id < 0 || id > text::kTokenIdMax) {
        field.fail("must have a token id for its name");
      }
      AddedToken token = read_added_token(field);
      token.id = id;
      if (token.content.empty() || contents.contains(token.content) || ids.contains(id)) continue;
      const auto in_vocabulary = vocabulary.text(id);
      if (in_vocabulary ? *in_vocabulary != token.content : vocabulary.find(token.content).has_value()) continue;
      if (tokens.size() < text::kAddedTokensMax) put(std::move(token));
    }
  }
  auto built = text::AddedTokens::build(std::move(tokens), [&](const std::string& content) -> Result<std::string> {
    std::string normalized = content;
    if (auto done = normalizer.apply(normalized); !done.ok()) return std::move(done).error();
    return normalized;
  });
  if (!built.ok()) throw LoadFailure{"added_tokens", built.error().detail};
  added = *std::move(built);
}

void Tokenizer::Impl::read_post_processor(const JsonField& field, int depth) {
  if (depth > text::kNestingMax) field.fail("is nested too deep");
  const JsonField type = field.at("type");
  const std::string name = type.text();
  if (name == "Sequence") {
    const JsonField list = field.at("processors");
    for (size_t i = 0; i < list.size(); ++i) read_post_processor(list.item(i), depth + 1);
  } else if (name == "TemplateProcessing") {
    read_template(field);
  } else if (name == "BertProcessing") {
    const auto id_of = [&](const char* key) {
      const JsonField id = field.at(key).item_at(1);
      const auto value = static_cast<TokenId>(id.whole(text::kTokenIdMax));
      if (!token_text(value)) id.fail(std::to_string(value) + " stands for no token");
      return value;
    };
    before.insert(before.begin(), id_of("cls"));
    after.push_back(id_of("sep"));
  } else if (name != "ByteLevel") {  // ByteLevel only trims offsets, which nobody here asks for
    type.fail("\"" + name.substr(0, 64) +
              "\" is not supported (known: Sequence, TemplateProcessing, BertProcessing, "
              "ByteLevel)");
  }
}

void Tokenizer::Impl::read_template(const JsonField& field) {
  const JsonField single = field.at("single");
  std::vector<TokenId> left, right;
  bool text_seen = false;
  for (size_t i = 0; i < single.size(); ++i) {
    const JsonField item = single.item(i);
    if (const auto sequence = item.find("Sequence")) {
      if (sequence->at("id").text() != "A" || text_seen) sequence->fail("must name the sequence A, once");
      text_seen = true;
      continue;
    }
    const JsonField name = item.at("SpecialToken").at("id");
    const JsonField ids = field.at("special_tokens").at(name.text()).at("ids");
    for (size_t k = 0; k < ids.size(); ++k) {
      const auto id = static_cast<TokenId>(ids.item(k).whole(text::kTokenIdMax));
      if (!token_text(id)) ids.item(k).fail(std::to_string(id) + " stands for no token");
      (text_seen ? right : left).push_back(id);
    }
  }
  if (!text_seen) single.fail("must have the sequence A");
  if (before.size() + left.size() > text::kAddedTokensMax || after.size() + right.size() > text::kAddedTokensMax) {
    single.fail("adds too many tokens");
  }
  before.insert(before.begin(), left.begin(), left.end());  // a later processor wraps what the earlier ones made
  after.insert(after.end(), right.begin(), right.end());
}

void Tokenizer::Impl::read_named(const nlohmann::json& config, const nlohmann::json& map) {
  const auto read = [&](const char* key, Named& named) {
    for (const nlohmann::json* file : {&config, &map}) {
      const JsonField root(
          *file, file == &config ? "(tokenizer_config.json beside it)" : "(special_tokens_map.json beside it)");
      const auto field = root.find(key);
      if (!field) continue;
      named.token = field->value().is_object() ? field->at("content").text() : field->text();
      named.id = find(named.token);
      return;
    }
  };
  read("bos_token", bos);
  read("eos_token", eos);
  read("pad_token", pad);
  read("unk_token", unk);
  if (!unk.id && model->unknown()) {
    unk.id = model->unknown();
    unk.token = std::string(token_text(*unk.id).value_or(""));
  }
}

void Tokenizer::Impl::read_stop_ids(const nlohmann::json& generation) {
  if (eos.id) stop_ids.push_back(*eos.id);
  const JsonField root(generation, "(generation_config.json beside it)");
  const auto id_in = [&](const JsonField& field) { return static_cast<TokenId>(field.whole(text::kTokenIdMax)); };
  if (const auto ids = root.find("eos_token_id")) {
    if (ids->value().is_array()) {
      for (size_t i = 0; i < ids->size(); ++i) stop_ids.push_back(id_in(ids->item(i)));
    } else {
      stop_ids.push_back(id_in(*ids));
    }
  }
  const auto fill = [&](const char* key, Named& named) {
    const auto field = root.find(key);
    if (named.id || !field || !field->value().is_number()) return;
    named.id = id_in(*field);
    if (named.token.empty()) named.token = std::string(token_text(*named.id).value_or(""));
  };
  fill("bos_token_id", bos);
  fill("eos_token_id", eos);
  fill("pad_token_id", pad);
  std::sort(stop_ids.begin(), stop_ids.end());
  stop_ids.erase(std::unique(stop_ids.begin(), stop_ids.end()), stop_ids.end());
}

void Tokenizer::Impl::build_decode_table(const JsonField& root) {
  decode.rules = text::DecodeRules::parse(root.find("decoder"));
  const bool by_hex = decode.rules.bytes() == text::DecodeRules::Bytes::hex_tokens;
  decode.entries.resize(static_cast<size_t>(id_end));
  if (decode.rules.first_differs()) decode.names.resize(static_cast<size_t>(id_end));
  for (TokenId id = 0; id < id_end; ++id) {
    const AddedToken* known = added.find(id);
    const auto token = known ? std::optional<std::string_view>(known->spelling) : model->vocabulary().text(id);
    if (!token) continue;
    const std::string bytes = decode.rules.token_bytes(*token, false);
    auto& entry = decode.entries[id];
    entry = {.begin = static_cast<uint32_t>(decode.bytes.size()),
             .size = static_cast<uint32_t>(bytes.size()),
             .exists = true};
    entry.is_byte = by_hex && text::byte_of_token(*token) >= 0;
    entry.special = known && known->special;
    if (decode.bytes.size() + bytes.size() > UINT32_MAX) throw LoadFailure{"decoder", "makes the tokens too long"};
    decode.bytes += bytes;
    token_bytes_max = std::max(token_bytes_max, bytes.size());
    if (decode.rules.first_differs()) decode.names[id] = *token;
  }
}

}  // namespace weir::engine
