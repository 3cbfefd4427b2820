#include "providers/local_embeddings.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "engine/text/tokenizer.h"
#include "providers/base64.h"
#include "providers/json_text.h"
#include "providers/net/event.h"

namespace weir::providers {
namespace {

constexpr size_t kTextsMax = 2048;  // OpenAI's
constexpr size_t kShortBytes = 64 * 1024;

/// A call as the engine takes it.
struct EmbeddingCall {
  std::vector<std::vector<engine::TokenId>> texts;
  std::optional<int64_t> dimensions;
  bool base64 = false;
  int64_t tokens = 0;
  std::string left_out;
};

Error bad(const std::string& param, const std::string& what) {
  Error error{ErrorKind::bad_request, "engine", Retry::no, 400, param + ": " + what, "invalid_request_error"};
  error.param = param;
  return error;
}

Result<std::vector<engine::TokenId>> token_list(const Json& list) {
  std::vector<engine::TokenId> ids;
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) return bad("input", "a token is no id");
    ids.push_back(id.get<engine::TokenId>());
  }
  return ids;
}

Result<std::vector<engine::TokenId>> one_text(const Json& input, const engine::Engine& engine) {
  if (input.is_array()) return token_list(input);
  if (!input.is_string()) return bad("input", "must be a string, an array of strings, or tokens");
  const auto& text = input.get_ref<const std::string&>();
  constexpr size_t kBytesOfTokenMax = 256;  // what cannot fit is refused before it is tokenized
  if (text.size() > static_cast<size_t>(engine.context_tokens()) * kBytesOfTokenMax) {
    Error error = bad("input", "a text has " + std::to_string(text.size()) + " bytes, far more than the " +
                                   std::to_string(engine.context_tokens()) + " tokens that this model takes");
    error.kind = ErrorKind::context_length;
    error.code = "context_length_exceeded";
    return error;
  }
  return engine.tokenizer()->encode(text, {.parse_special = true, .add_special = true});
}

/// `input`: a text, several, the tokens of one, or the tokens of several.
Result<void> read_input(const Json& call, const engine::Engine& engine, EmbeddingCall& out) {
  const auto input = call.find("input");
  if (input == call.end()) return bad("input", "is missing");
  const bool several = input->is_array() && !input->empty() && !input->front().is_number();
  if (input->is_array() && input->empty()) return bad("input", "must not be empty");
  if (several && input->size() > kTextsMax) return bad("input", "at most 2048 texts a call");
  const auto add = [&](const Json& one) -> Result<void> {
    auto text = one_text(one, engine);
    if (!text) return std::move(text).error();
    out.tokens += static_cast<int64_t>(text->size());
    out.texts.push_back(*std::move(text));
    return {};
  };
  if (!several) return add(*input);
  for (const Json& one : *input)
    if (auto added = add(one); !added) return added;
  return {};
}

Result<EmbeddingCall> read_call(std::string_view body, const engine::Engine& engine) {
  const Json call = Json::parse(body, nullptr, false);
  if (!call.is_object()) return bad("body", "is not a JSON object");
  EmbeddingCall out;
  for (const auto& [key, value] : call.items()) {
    if (key == "model" || key == "input" || value.is_null()) continue;
    if (key == "dimensions") {
      const int64_t width = engine.embedding_width();
      if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > width)
        return bad(key, "must be an integer between 1 and this model's " + std::to_string(width));
      out.dimensions = value.get<int64_t>();
    } else if (key == "encoding_format") {
      if (value != "float" && value != "base64") return bad(key, "must be float or base64");
      out.base64 = value == "base64";
    } else if (key == "user") {
      out.left_out = "user";
    } else {
      return bad(key.substr(0, 64), "is not known to the engine's embeddings");
    }
  }
  if (auto read = read_input(call, engine, out); !read) return std::move(read).error();
  return out;
}

/// The first `count` numbers, of length 1 again where the model's are.
void shorten(std::vector<float>& vector, size_t count, bool normalize) {
  vector.resize(std::min(count, vector.size()));
  if (!normalize) return;
  double squares = 0.0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  const double length = std::max(std::sqrt(squares), 1e-12);
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / length);
}

void append_vector(std::string& out, const std::vector<float>& vector, bool base64) {
  if (base64) {  // single precision, least byte first, as OpenAI's
    static_assert(std::endian::native == std::endian::little);
    std::string bytes(vector.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), vector.data(), bytes.size());
    out += "\"" + encode_base64(bytes) + "\"";
    return;
  }
  out += "[";
  char digits[32];
  for (size_t i = 0; i < vector.size(); ++i) {
    if (i > 0) out += ",";
    const auto end = std::to_chars(digits, digits + sizeof digits, vector[i]);  // the shortest that reads back the same
    out.append(digits, end.ptr);
  }
  out += "]";
}

std::string answer(const EmbeddingCall& call, std::string_view model, engine::Embeddings vectors, bool normalized) {
  std::string out = R"({"object":"list","data":[)";
  for (size_t i = 0; i < vectors.size(); ++i) {
    if (call.dimensions) shorten(vectors[i], static_cast<size_t>(*call.dimensions), normalized);
    if (i > 0) out += ",";
    out += R"({"object":"embedding","index":)" + std::to_string(i) + R"(,"embedding":)";
    append_vector(out, vectors[i], call.base64);
    out += "}";
  }
  const std::string tokens = std::to_string(call.tokens);
  return out + R"(],"model":)" + quoted(model) + R"(,"usage":{"prompt_tokens":)" + tokens + R"(,"total_tokens":)" +
         tokens + "}}";
}

/// What the engine's thread fills. Shared with its function, which may outlive the reply.
struct Box {
  explicit Box(Core& owner) : core(owner), event(owner) {}
  Core& core;
  Event event;
  bool filled = false;  // on the core; `result` is then written
  Result<engine::Embeddings> result = engine::Embeddings();
};

class EmbeddingReply final : public Reply {
 public:
  EmbeddingReply(const Attempt& attempt, EmbeddingCall call, bool normalized)
      : abort_(attempt.abort),
        model_(attempt.body.model),
        call_(std::move(call)),
        normalized_(normalized),
        box_(std::make_shared<Box>(attempt.core)) {}

  Result<void> start(engine::Engine& engine) {
    auto job = engine.embed(std::move(call_.texts), [box = box_](Result<engine::Embeddings> result) {
      box->result = std::move(result);
      box->core.post([box] {
        box->filled = true;
        box->event.set();
      });
    });
    if (!job) return std::move(job).error();
    job_ = *std::move(job);
    return {};
  }

  bool native() const override { return true; }
  std::string_view dropped() const override { return call_.left_out; }
  Usage usage() const override {
    Usage usage;
    usage.reported = true;
    usage.counts.input = call_.tokens;
    return usage;
  }
  Task<void> pull(ReplyBatch& batch) override;

 private:
  Abort& abort_;
  std::string model_;
  EmbeddingCall call_;
  bool normalized_;
  std::shared_ptr<Box> box_;
  std::unique_ptr<engine::EmbedJob> job_;
  std::string out_;
};

Task<void> EmbeddingReply::pull(ReplyBatch& batch) {
  batch.clear();
  while (!box_->filled) {
    if (abort_.fired()) {
      batch.error = abort_.reason();
      co_return;
    }
    const AbortScope scope(abort_, box_->event);
    co_await box_->event.wait();
    if (!box_->filled) box_->event.reset();
  }
  if (!box_->result) {
    batch.error = box_->result.error();
    co_return;
  }
  out_ = answer(call_, model_, *std::move(box_->result), normalized_);
  batch.segments.push_back({Segment::Kind::data, out_});
  batch.end = true;
}

}  // namespace

Task<Result<std::unique_ptr<Reply>>> start_local_embeddings(const Attempt& attempt, engine::Engine& engine) {
  Result<EmbeddingCall> call = EmbeddingCall();
  if (attempt.body.json.size() <= kShortBytes) {
    call = read_call(attempt.body.json, engine);
  } else {  // long texts on the engine's text thread, so that this core's other connections go on
    Event done(attempt.core);
    const bool posted = engine.post_text([&] {
      call = read_call(attempt.body.json, engine);
      attempt.core.post([&done] { done.set(); });
    });
    if (!posted)
      co_return Error{ErrorKind::overloaded,
                      "engine",
                      Retry::other_target,
                      429,
                      "too many long texts wait at engine \"" + engine.name() + "\"; try again in a moment",
                      "engine_overloaded"};
    co_await done.wait();  // also where the client has left: the job reads the request
  }
  if (!call) co_return std::move(call).error();
  if (attempt.abort.fired()) co_return attempt.abort.reason();
  auto reply = std::make_unique<EmbeddingReply>(attempt, *std::move(call), engine.embeddings_normalized());
  if (auto started = reply->start(engine); !started) co_return std::move(started).error();
  co_return std::unique_ptr<Reply>(std::move(reply));
}

}  // namespace weir::providers
