// A provider over HTTP: encodes with a codec, sends over the core's pool, decodes what comes back.
#include <utility>

#include "providers/codec.h"
#include "providers/net/http_client.h"
#include "providers/net/token_source.h"
#include "providers/net/workers.h"
#include "providers/reply_parts.h"
#include "providers/secret_mask.h"
#include "providers/whole_stream.h"

namespace weir::providers {
namespace {

constexpr uint64_t kErrorBodyBytesMax = 64 * 1024;

/// A mistake of ours in reading one answer breaks that answer alone: the JSON library and the allocator speak in
/// exceptions.
template <class Work>
void guarded(const Work& work, ReplyBatch& batch) {
  try {
    work();
  } catch (const std::exception&) {
    batch.clear();
    batch.error = upstream_fault("the upstream's answer cannot be read");
  }
}

class RemoteReply final : public Reply {
 public:
  RemoteReply(const Attempt& attempt, std::unique_ptr<HttpResponse> response, std::unique_ptr<ReplyDecoder> decoder,
              std::shared_ptr<const SecretMask> mask, std::string token, bool streamed, EncodedCall call)
      : attempt_(attempt),
        response_(std::move(response)),
        decoder_(std::move(decoder)),
        mask_(std::move(mask)),
        token_(std::move(token)),
        dropped_(std::move(call.dropped)),
        kept_upstream_(call.kept_upstream),
        streamed_(streamed),
        open_(streamed) {}

  bool native() const override { return decoder_->native(); }
  std::string_view content_type() const override {
    if (ready_) return "text/event-stream; charset=utf-8";
    return response_->header("content-type").value_or("application/json");
  }
  std::string_view dropped() const override { return dropped_; }
  bool kept_upstream() const override { return kept_upstream_; }
  bool open() const override { return open_; }
  bool ends_with_body() const override { return decoder_->ends_with_body(); }
  Usage usage() const override { return decoder_->usage(); }
  Task<void> pull(ReplyBatch& batch) override;

  /// An answer that came where a stream was asked for: a whole one is given as a stream by the first pull, anything
  /// else is an error.
  Task<Result<void>> take_whole(const Codec& codec);

 private:
  Task<void> pull_unmasked(ReplyBatch& batch);
  Task<void> pull_whole(ReplyBatch& batch);
  void broken(Error error, ReplyBatch& batch);

  const Attempt& attempt_;
  std::unique_ptr<HttpResponse> response_;
  std::unique_ptr<ReplyDecoder> decoder_;
  std::shared_ptr<const SecretMask> mask_;
  std::string token_;
  std::string masked_;                 // an error event without the credential that was in it
  std::unique_ptr<ReplyBatch> ready_;  // a whole answer told as a stream
  std::string retold_;                 // its events
  std::string dropped_;
  bool kept_upstream_;
  bool streamed_;
  bool open_;  // there may be more of the body
};

Task<void> RemoteReply::pull(ReplyBatch& batch) {
  co_await pull_unmasked(batch);
  if (batch.error) mask_->hide(batch, token_, masked_);
}

Task<void> RemoteReply::pull_whole(ReplyBatch& batch) {
  auto body = co_await response_->read_all(attempt_.response_bytes_max);
  if (!body) {
    batch.error = std::move(body).error();
    co_return;
  }
  const bool large = body->size() > attempt_.inline_bytes_max;
  const auto decode = [&] { guarded([&] { decoder_->whole(*body, batch); }, batch); };
  if (!co_await run_aside(attempt_.core, attempt_.abort, large, decode)) batch.error = attempt_.abort.reason();
}

Task<Result<void>> RemoteReply::take_whole(const Codec& codec) {
  const std::string_view type = content_type();
  const bool json = type.find("json") != std::string_view::npos && generates_chat(attempt_.body.protocol);
  auto read = co_await response_->read_all(json ? attempt_.response_bytes_max : kErrorBodyBytesMax);
  const std::string_view body = read ? *read : std::string_view{};
  auto batch = std::make_unique<ReplyBatch>();
  bool told = false;
  const auto decode = [&] {
    decoder_->whole(body, *batch);
    told = !batch->error && (!native() || tell_as_stream(attempt_.body.protocol, body, retold_, *batch));
  };
  const auto decode_guarded = [&] { guarded(decode, *batch); };
  const bool large = body.size() > attempt_.inline_bytes_max;
  if (json && read && !co_await run_aside(attempt_.core, attempt_.abort, large, decode_guarded))
    co_return attempt_.abort.reason();
  if (told) {
    ready_ = std::move(batch);
    co_return Result<void>{};
  }
  const auto header = [&](std::string_view name) { return response_->header(name); };
  Error error = codec.classify(502, header, body.substr(0, kErrorBodyBytesMax));
  const bool says_why = !error.detail.starts_with("the upstream answered with status");
  error.detail = "the upstream answered a streaming request with status " + std::to_string(response_->status()) +
                 " and " + std::string(type.substr(0, 64)) + ", no event stream" +
                 (says_why ? ": " + error.detail : "");
  // What a model spoiled, or what cannot be said, was answered and is paid; so is whatever told its usage.
  const Told usage = decoder_->usage().told;
  const bool paid =
      (batch->error && batch->error->kind == ErrorKind::unusable) || (json && (usage.input || usage.output));
  if (!paid) co_return error;
  if (!batch->error) batch->error = std::move(error);
  ready_ = std::move(batch);
  co_return Result<void>{};
}

/// The connection broke: an answer that had said why it stopped is whole all the same.
void RemoteReply::broken(Error error, ReplyBatch& batch) {
  if (!attempt_.abort.fired() && !decoder_->ends_with_body()) guarded([&] { decoder_->finish(batch); }, batch);
  if (batch.end && !batch.error) return;
  batch.clear();
  batch.error = std::move(error);
}

Task<void> RemoteReply::pull_unmasked(ReplyBatch& batch) {
  batch.clear();
  if (ready_) {
    std::swap(batch, *ready_);
    co_return;
  }
  if (!streamed_) co_return co_await pull_whole(batch);
  while (batch.segments.empty() && batch.events.empty() && !batch.begun && !batch.end && !batch.error) {
    auto bytes = co_await response_->read_some();
    open_ = bytes && !bytes->empty();
    if (!bytes)
      broken(std::move(bytes).error(), batch);
    else
      guarded([&] { bytes->empty() ? decoder_->finish(batch) : decoder_->feed(*bytes, batch); }, batch);
  }
}

class RemoteProvider final : public Provider {
 public:
  RemoteProvider(std::unique_ptr<HttpClient> client, std::unique_ptr<Codec> codec, std::unique_ptr<TokenSource> tokens,
                 SecretMask mask)
      : client_(std::move(client)),
        codec_(std::move(codec)),
        tokens_(std::move(tokens)),
        mask_(std::make_shared<const SecretMask>(std::move(mask))) {}

  Task<Result<std::unique_ptr<Reply>>> start(const Attempt& attempt) override;

 private:
  Task<Result<std::unique_ptr<Reply>>> start_unmasked(const Attempt& attempt, std::string& token);

  std::unique_ptr<HttpClient> client_;
  std::unique_ptr<Codec> codec_;
  std::unique_ptr<TokenSource> tokens_;     // null: the account needs none
  std::shared_ptr<const SecretMask> mask_;  // replies may outlive a reload
};

Task<Result<std::unique_ptr<Reply>>> RemoteProvider::start(const Attempt& attempt) {
  std::string token;
  auto reply = co_await start_unmasked(attempt, token);
  if (!reply) mask_->hide(reply.error(), token);
  co_return reply;
}

/// `token` becomes the OAuth token that was used, where one was.
Task<Result<std::unique_ptr<Reply>>> RemoteProvider::start_unmasked(const Attempt& attempt, std::string& token) {
  EncodedCall call;
  if (tokens_) {
    auto got = co_await tokens_->token(attempt.abort);
    if (!got) co_return std::move(got).error();
    token = *got;
    call.credential = token;
  }
  Result<void> encoded;
  const bool large = attempt.body.json.size() > attempt.inline_bytes_max;
  const auto encode = [&] { encoded = codec_->encode(attempt, call); };
  if (!co_await run_aside(attempt.core, attempt.abort, large, encode)) co_return attempt.abort.reason();
  if (!encoded) co_return std::move(encoded).error();
  auto response = co_await client_->send(HttpCall{.method = call.method,
                                                  .target = call.target,
                                                  .header_lines = call.header_lines,
                                                  .body = call.body,
                                                  .sent = attempt.sent},
                                         attempt.abort);
  if (!response) co_return std::move(response).error();
  HttpResponse& head = **response;
  if (head.status() / 100 != 2) {
    auto body = co_await head.read_all(kErrorBodyBytesMax);
    const std::string_view text = body ? *body : std::string_view{};
    if (tokens_ && head.status() == 401) tokens_->refused(token);
    co_return codec_->classify(
        head.status(), [&](std::string_view name) { return head.header(name); }, text);
  }
  // Nobody asked for one.
  if (const auto coding = head.header("content-encoding"); coding && !coding->empty() && *coding != "identity")
    co_return upstream_fault("the upstream's answer is compressed (" + std::string(coding->substr(0, 32)) +
                             "), which was not asked for");
  // A server may answer a stream request with a JSON body (the whole answer, or an error in disguise), or a page.
  const auto type = head.header("content-type");
  const bool streamed =
      attempt.body.stream &&
      (!type || is_event_stream(*type, attempt.body.protocol == Protocol::gemini_generate && !attempt.body.sse));
  // OpenAI: "streaming is not supported for the whisper-1 model and will be ignored".
  const bool ignored = attempt.body.protocol == Protocol::openai_transcriptions;
  auto reply = std::make_unique<RemoteReply>(attempt, std::move(*response), codec_->decoder(attempt), mask_, token,
                                             streamed, std::move(call));
  if (attempt.body.stream && !streamed && !ignored)
    if (auto taken = co_await reply->take_whole(*codec_); !taken) co_return std::move(taken).error();
  co_return reply;
}

class BrokenProvider final : public Provider {
 public:
  explicit BrokenProvider(Error reason) : reason_(std::move(reason)) {}
  Task<Result<std::unique_ptr<Reply>>> start(const Attempt&) override { co_return reason_; }

 private:
  Error reason_;
};

}  // namespace

bool is_event_stream(std::string_view content_type, bool json_array) {
  const auto says = [&](std::string_view what) { return content_type.find(what) != std::string_view::npos; };
  return !says("html") && !says("xml") && (json_array || !says("json"));
}

std::unique_ptr<Provider> make_remote_provider(Core& core, const config::AccountConfig& account, MakeCodec make_codec,
                                               std::string_view default_base_url,
                                               std::shared_ptr<const TokenGrant> grant) {
  auto url = parse_url(account.base_url.empty() ? default_base_url : std::string_view(account.base_url));
  if (!url) return nullptr;  // `weir check` and start-up refuse such a base_url before
  auto codec = make_codec(account, url->base_path);
  auto client = make_http_client(core, std::move(*url),
                                 {.connect_timeout = account.connect_timeout,
                                  .idle_connections_max = account.idle_connections_max,
                                  .idle_timeout = account.idle_connection_timeout});
  auto tokens = grant ? std::make_unique<TokenSource>(core, std::move(grant)) : nullptr;
  return std::make_unique<RemoteProvider>(std::move(client), std::move(codec), std::move(tokens), SecretMask(account));
}

std::unique_ptr<Provider> make_broken_provider(Error reason) {
  return std::make_unique<BrokenProvider>(std::move(reason));
}

}  // namespace weir::providers
