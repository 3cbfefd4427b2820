#include "engine/text/tokenizer.h"

#include <fstream>
#include <system_error>

#include "engine/text/json_fields.h"
#include "engine/text/tokenizer_impl.h"
#include "engine/text/tokenizer_json.h"
#include "engine/text/unicode.h"

namespace weir::engine {
namespace {

/// Reads a file into `bytes`; false if there is no such file.
Result<bool> read_file(const std::filesystem::path& path, std::string& bytes) {
  std::error_code error;
  const auto fail = [&](ErrorKind kind, const std::string& what) {
    return Error{.kind = kind, .source = "engine", .detail = path.string() + ": " + what};
  };
  if (!std::filesystem::is_regular_file(path, error)) return false;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return fail(ErrorKind::config, "cannot be read: " + error.message());
  if (size > text::kTokenizerBytesMax) {
    return fail(ErrorKind::config, "is larger than " + std::to_string(text::kTokenizerBytesMax) + " bytes");
  }
  bytes.resize(size);
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) return fail(ErrorKind::config, "cannot be read");
  return true;
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load(const std::filesystem::path& place) {
  std::string contents[4];
  std::error_code problem;
  if (std::filesystem::is_regular_file(place, problem)) {
    if (auto found = read_file(place, contents[0]); !found.ok()) return std::move(found).error();
    return parse_files({.tokenizer_json = contents[0], .label = place.string()});
  }
  const char* const names[4] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                "generation_config.json"};
  for (int i = 0; i < 4; ++i) {
    auto found = read_file(place / names[i], contents[i]);
    if (!found.ok()) return std::move(found).error();
    if (!*found && i == 0) {
      return Error{.kind = ErrorKind::not_found,
                   .source = "engine",
                   .detail = (place / names[0]).string() + ": there is no such file; a model folder needs one"};
    }
  }
  return parse_files({contents[0], contents[1], contents[2], contents[3], (place / names[0]).string()});
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::parse(std::string_view tokenizer_json,
                                                          std::string_view tokenizer_config_json) {
  return parse_files({.tokenizer_json = tokenizer_json, .tokenizer_config_json = tokenizer_config_json});
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::parse_files(const TokenizerFiles& files) {
  try {
    return std::shared_ptr<const Tokenizer>(new Tokenizer(Impl::build(files)));
  } catch (const text::LoadFailure& failure) {
    const std::string place = failure.path.empty() ? "" : failure.path + ": ";
    return Error{.kind = ErrorKind::config, .source = "engine", .detail = files.label + ": " + place + failure.what};
  } catch (const std::exception& error) {  // the JSON library and the allocator speak in exceptions
    return Error{
        .kind = ErrorKind::config, .source = "engine", .detail = files.label + ": cannot be loaded: " + error.what()};
  }
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view input, EncodeOptions options) const {
  if (input.size() > kEncodeBytesMax) {
    return Error{.kind = ErrorKind::too_large,
                 .source = "engine",
                 .http_status = 413,
                 .detail = "the text has " + std::to_string(input.size()) + " bytes; at most " +
                           std::to_string(kEncodeBytesMax) + " can be tokenized"};
  }
  std::string repaired;
  if (!text::is_valid_utf8(input)) input = repaired = text::repair_utf8(input);
  std::vector<TokenId> ids;
  ids.reserve(input.size() / 3 + 8);
  if (options.add_special) ids = impl_->before;
  for (const auto& part : impl_->added.split(input, false, options.parse_special)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    const std::string_view piece = input.substr(part.begin, part.end - part.begin);
    auto done = impl_->encode_text(piece, part.begin == 0, options.parse_special, ids);
    if (!done.ok()) return std::move(done).error();
  }
  if (options.add_special) ids.insert(ids.end(), impl_->after.begin(), impl_->after.end());
  return ids;
}

Result<void> Tokenizer::Impl::encode_text(std::string_view piece, bool at_start, bool specials,
                                          std::vector<TokenId>& out) const {
  std::string normalized(piece);
  if (auto done = normalizer.apply(normalized); !done.ok()) return done;
  for (const auto& part : added.split(normalized, true, specials)) {
    if (part.id >= 0) {
      out.push_back(part.id);
      continue;
    }
    text::Words words;
    words.text = normalized.substr(part.begin, part.end - part.begin);
    words.words = {{0, static_cast<uint32_t>(words.text.size())}};
    words.at_start = at_start && part.begin == 0;
    if (auto done = pre_tokenizer.apply(words); !done.ok()) return done;
    for (size_t i = 0; i < words.words.size(); ++i) model->encode(words.word(i), out);
  }
  return {};
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string out;
  text::DecodeStream stream(impl_->decode, skip_special, false);
  for (const TokenId id : ids) stream.push(id, out);
  stream.flush(out);
  return out;
}

std::optional<TokenId> Tokenizer::Impl::find(std::string_view token) const {
  if (const auto* known = added.find(token)) return known->id;
  return model->vocabulary().find(token);
}

std::optional<std::string_view> Tokenizer::Impl::token_text(TokenId id) const {
  if (const auto* known = added.find(id)) return known->content;
  return model->vocabulary().text(id);
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  return impl_->decode.view(id);
}
std::optional<std::string_view> Tokenizer::id_to_token(TokenId id) const {
  return impl_->token_text(id);
}
std::optional<TokenId> Tokenizer::token_to_id(std::string_view token) const {
  return impl_->find(token);
}

bool Tokenizer::is_special(TokenId id) const {
  const auto& entries = impl_->decode.entries;
  return id >= 0 && static_cast<size_t>(id) < entries.size() && entries[id].special;
}

bool Tokenizer::is_added(TokenId id) const {
  return impl_->added.find(id) != nullptr;
}

size_t Tokenizer::token_bytes_max() const {
  return impl_->token_bytes_max;
}
int32_t Tokenizer::vocab_size() const {
  return impl_->id_end;
}
const std::string& Tokenizer::bos_token() const {
  return impl_->bos.token;
}
const std::string& Tokenizer::eos_token() const {
  return impl_->eos.token;
}
const std::string& Tokenizer::pad_token() const {
  return impl_->pad.token;
}
const std::string& Tokenizer::unk_token() const {
  return impl_->unk.token;
}
std::optional<TokenId> Tokenizer::bos_id() const {
  return impl_->bos.id;
}
std::optional<TokenId> Tokenizer::eos_id() const {
  return impl_->eos.id;
}
std::optional<TokenId> Tokenizer::pad_id() const {
  return impl_->pad.id;
}
std::optional<TokenId> Tokenizer::unk_id() const {
  return impl_->unk.id;
}
const std::vector<TokenId>& Tokenizer::stop_ids() const {
  return impl_->stop_ids;
}
const text::DecodeTable& Tokenizer::decode_table() const {
  return impl_->decode;
}

}  // namespace weir::engine
