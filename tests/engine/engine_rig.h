// What engine tests share: an engine over the Sim backend, a tokenizer whose tokens are the 256 bytes and one special
// token, a gate that holds a step in flight, and a consumer that waits by notify() and never by sleeping.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "engine/backend/sim/sim_backend.h"
#include "engine/engine.h"
#include "engine/text/tokenizer.h"

namespace weir::engine::testing {

inline constexpr TokenId kEnd = 256;  // "<|end|>"
inline constexpr int32_t kVocab = 257;

/// A byte-level BPE tokenizer without merges: token b is the byte b.
inline std::shared_ptr<const Tokenizer> byte_tokenizer() {
  const auto spelled = [](int byte) {  // GPT-2's bytes_to_unicode: printable bytes are themselves, others 256 + n
    int letter = byte;
    const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
    if (!printable(byte)) {
      letter = 256;
      for (int b = 0; b < byte; ++b) letter += printable(b) ? 0 : 1;
    }
    std::string text;
    if (letter < 0x80) {
      if (letter == '"' || letter == '\\') text += '\\';
      return text + static_cast<char>(letter);
    }
    text += static_cast<char>(0xc0 | (letter >> 6));
    return text + static_cast<char>(0x80 | (letter & 0x3f));
  };
  std::string vocab;
  for (int byte = 0; byte < 256; ++byte) vocab += "\"" + spelled(byte) + "\":" + std::to_string(byte) + ",";
  vocab.pop_back();
  const std::string json =
      R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":256,"content":"<|end|>",)"
      R"("single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":null,)"
      R"("pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},)"
      R"("post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,)"
      R"("use_regex":true},"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,)"
      R"("end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{)" +
      vocab + R"(},"merges":[]}})";
  auto tokenizer = Tokenizer::parse(json);
  return tokenizer ? std::move(tokenizer).value() : nullptr;
}

/// A model that says `text` after any prompt of one token, then <|end|>; other prompts get sim's own tokens.
inline SimModel says(std::string text) {
  return [text = std::move(text)](std::span<const TokenId> history, uint64_t) {
    const size_t i = history.size() - 1;
    return i < text.size() ? static_cast<TokenId>(static_cast<unsigned char>(text[i])) : kEnd;
  };
}

/// Holds the backend inside wait() from close() to open().
class Gate {
 public:
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  void open() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = false;
    }
    changed_.notify_all();
  }
  /// Waits until a step stands at the closed gate.
  void wait_for_arrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return standing_; });
  }
  void pass() {  // the backend's side
    std::unique_lock lock(mutex_);
    standing_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    standing_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  bool standing_ = false;
};

/// Waits until pull() gives something, and gives it.
inline Output next_piece(Stream& stream) {
  while (true) {
    if (auto piece = stream.pull()) return std::move(*piece);
    std::binary_semaphore woken(0);
    stream.notify([&] { woken.release(); });
    woken.acquire();
    stream.notify({});  // the wake function may still be returning
  }
}

/// Everything from here to the finish, as one Output.
inline Output drain(Stream& stream) {
  Output all;
  while (!all.finish) {
    Output piece = next_piece(stream);
    all.text += piece.text;
    all.tokens += piece.tokens;
    all.token_ids.insert(all.token_ids.end(), piece.token_ids.begin(), piece.token_ids.end());
    for (auto& l : piece.logprobs) all.logprobs.push_back(std::move(l));
    all.finish = piece.finish;
    all.error = std::move(piece.error);
  }
  return all;
}

inline GenerateRequest request(std::vector<TokenId> prompt, int32_t output_tokens_max) {
  GenerateRequest r;
  r.prompt = std::move(prompt);
  r.stop.output_tokens_max = output_tokens_max;
  return r;
}

inline config::EngineConfig engine_config() {
  config::EngineConfig c;
  c.name = "test";
  c.max_sequences = 4;
  c.queue_max = 64;
  c.step_tokens_max = 64;
  return c;
}

inline std::unique_ptr<Engine> make_sim_engine(const config::EngineConfig& config, SimOptions options,
                                               bool with_text = true) {
  options.vocab_size = kVocab;
  auto engine = make_engine(config, std::make_unique<SimBackend>(std::move(options)),
                            with_text ? byte_tokenizer() : nullptr, nullptr, {kEnd});
  return engine ? std::move(engine).value() : nullptr;
}

}  // namespace weir::engine::testing
