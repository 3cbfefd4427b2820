#include "providers/local_embeddings.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "engine/text/tokenizer.h"
#include "providers/base64.h"
#include "providers/json_text.h"
#include "providers/local_text.h"
#include "providers/net/event.h"
#include "providers/net/workers.h"

namespace weir::providers {
namespace {

constexpr size_t kTextsMax = 2048;  // OpenAI's

/// A call as the engine takes it.
struct EmbeddingCall {
  std::vector<std::vector<engine::TokenId>> texts;
  size_t count = 0;  // of the texts
  size_t width = 0;  // of the vectors that the client gets
  bool base64 = false;
  std::string left_out;
};

/// About; of the written form.
uint64_t answer_bytes(const EmbeddingCall& call) {
  constexpr uint64_t kAroundBytes = 64;          // of one vector, and of the answer
  const uint64_t number = call.base64 ? 6 : 14;  // 4 bytes in base64; nine digits, a sign, a point, a comma, e-05
  return kAroundBytes + call.count * (kAroundBytes + call.width * number);
}

Error refused(Retry retry, const std::string& param, const std::string& what) {
  return {ErrorKind::bad_request, "engine", retry, 400, param + ": " + what, "invalid_request_error", param};
}
Error malformed(const std::string& param, const std::string& what) {
  return refused(Retry::no, param, what);
}
Error unsupported(const std::string& param, const std::string& what) {
  return refused(Retry::other_target, param, what);
}

Result<std::vector<engine::TokenId>> token_list(const Json& list, const std::string& where) {
  std::vector<engine::TokenId> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
      return malformed("input", where + " must hold token ids alone: integers of at least 0");
    ids.push_back(id.get<engine::TokenId>());
  }
  return ids;
}

Result<std::vector<engine::TokenId>> one_text(const Json& input, const std::string& where,
                                              const engine::Engine& engine) {
  if (input.is_array()) return token_list(input, where);
  if (!input.is_string()) return malformed("input", where + " must be a string, or an array of token ids");
  const auto& text = input.get_ref<const std::string&>();
  constexpr size_t kBytesOfTokenMax = 256;  // what cannot fit is refused before it is tokenized
  if (text.size() > static_cast<size_t>(engine.context_tokens()) * kBytesOfTokenMax) {
    Error error = unsupported("input", where + " has " + std::to_string(text.size()) + " bytes, far more than the " +
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
  if (input == call.end()) return malformed("input", "is missing");
  if (input->is_array() && input->empty()) return malformed("input", "must not be empty");
  const bool several = input->is_array() && !input->front().is_number();
  out.count = several ? input->size() : 1;
  if (out.count > kTextsMax)
    return malformed("input", "at most " + std::to_string(kTextsMax) + " texts a call, not " +
                                  std::to_string(out.count) + "; send them in several calls");
  out.texts.reserve(out.count);
  for (size_t i = 0; i < out.count; ++i) {
    auto text =
        several ? one_text((*input)[i], "text " + std::to_string(i), engine) : one_text(*input, "the text", engine);
    if (!text) return std::move(text).error();
    out.texts.push_back(*std::move(text));
  }
  return {};
}

/// How many numbers the client wants, where the model can give so few.
Result<size_t> read_dimensions(const Json& value, const engine::EmbeddingShape& shape) {
  const int64_t wanted = value.is_number_integer() ? value.get<int64_t>() : 0;
  if (wanted < 1 || wanted > shape.width)
    return unsupported("dimensions", "must be an integer between 1 and this model's " + std::to_string(shape.width));
  if (wanted == shape.width) return static_cast<size_t>(wanted);
  if (!shape.shortens)
    return unsupported("dimensions", "this model was not trained for shorter vectors; leave it out, or set it to " +
                                         std::to_string(shape.width));
  if (shape.widths.empty() || std::find(shape.widths.begin(), shape.widths.end(), wanted) != shape.widths.end())
    return static_cast<size_t>(wanted);
  std::string widths;
  for (const int32_t width : shape.widths) widths += (widths.empty() ? "" : ", ") + std::to_string(width);
  return unsupported("dimensions", "this model was trained for " + widths);
}

Result<EmbeddingCall> read_call(const Attempt& attempt, const engine::Engine& engine) {
  const Json call = parse_json(attempt.body.json);
  if (!call.is_object()) return malformed("body", "is not a JSON object");
  EmbeddingCall out;
  out.width = static_cast<size_t>(engine.embeddings().width);
  for (const auto& [key, value] : call.items()) {
    if (key == "model" || key == "input" || value.is_null()) continue;
    if (key == "dimensions") {
      auto width = read_dimensions(value, engine.embeddings());
      if (!width) return std::move(width).error();
      out.width = *width;
    } else if (key == "encoding_format") {
      const std::string format = value.is_string() ? value.get<std::string>() : std::string();
      if (format != "float" && format != "base64") return malformed(key, "must be float or base64");
      out.base64 = format == "base64";
    } else if (key == "user") {
      out.left_out = "user";
    } else {
      return unsupported(key.substr(0, 64), "the local engine's embeddings cannot be told this");
    }
  }
  if (auto read = read_input(call, engine, out); !read) return std::move(read).error();
  if (answer_bytes(out) > attempt.response_bytes_max)
    return malformed("input", "an answer of " + std::to_string(out.count) +
                                  " vectors is larger than server.limits.response; send the texts in several calls");
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
    if (!std::isfinite(vector[i])) {  // broken weights; JSON has no word for it
      out += "null";
      continue;
    }
    const auto end = std::to_chars(digits, digits + sizeof digits, vector[i]);  // the shortest that reads back the same
    out.append(digits, end.ptr);
  }
  out += "]";
}

std::string answer(const EmbeddingCall& call, std::string_view model, engine::Embeddings vectors, bool normalized,
                   int64_t tokens) {
  std::string out = R"({"object":"list","data":[)";
  out.reserve(answer_bytes(call));
  for (size_t i = 0; i < vectors.size(); ++i) {
    if (call.width < vectors[i].size()) shorten(vectors[i], call.width, normalized);
    if (i > 0) out += ",";
    out += R"({"object":"embedding","index":)" + std::to_string(i) + R"(,"embedding":)";
    append_vector(out, vectors[i], call.base64);
    out += "}";
  }
  const std::string count = std::to_string(tokens);
  return out + R"(],"model":)" + quoted(model) + R"(,"usage":{"prompt_tokens":)" + count + R"(,"total_tokens":)" +
         count + "}}";
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
  EmbeddingReply(const Attempt& attempt, EmbeddingCall call, const engine::Engine& engine)
      : abort_(attempt.abort),
        model_(attempt.body.model),
        call_(std::move(call)),
        normalized_(engine.embeddings().normalized),
        inline_bytes_max_(attempt.inline_bytes_max),
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
    usage.counts.input = job_->tokens_taken();
    return usage;
  }
  Task<void> pull(ReplyBatch& batch) override;

 private:
  Abort& abort_;
  std::string model_;
  EmbeddingCall call_;
  bool normalized_;
  uint64_t inline_bytes_max_;
  std::shared_ptr<Box> box_;
  std::unique_ptr<engine::EmbedJob> job_;
  std::string out_;
};

Task<void> EmbeddingReply::pull(ReplyBatch& batch) {
  batch.clear();
  while (!box_->filled) {
    if (abort_.fired()) {
      job_->give_up();  // before usage() is asked: what no step has taken is not charged
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
  const auto write = [this] {
    out_ = answer(call_, model_, *std::move(box_->result), normalized_, job_->tokens_taken());
  };
  if (!co_await run_aside(box_->core, abort_, answer_bytes(call_) > inline_bytes_max_, write)) {
    batch.error = abort_.reason();
    co_return;
  }
  batch.segments.push_back({Segment::Kind::data, out_});
  batch.end = true;
}

}  // namespace

Task<Result<std::unique_ptr<Reply>>> start_local_embeddings(const Attempt& attempt, engine::Engine& engine) {
  Result<EmbeddingCall> call = EmbeddingCall();
  const auto read = [&] { call = read_call(attempt, engine); };
  if (auto prepared = co_await prepare_text(attempt, engine, read); !prepared) co_return std::move(prepared).error();
  if (!call) co_return std::move(call).error();
  if (attempt.abort.fired()) co_return attempt.abort.reason();
  auto reply = std::make_unique<EmbeddingReply>(attempt, *std::move(call), engine);
  if (auto started = reply->start(engine); !started) co_return std::move(started).error();
  co_return std::unique_ptr<Reply>(std::move(reply));
}

}  // namespace weir::providers
