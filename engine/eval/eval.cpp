#include "engine/eval/eval.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/engine.h"
#include "engine/eval/score.h"
#include "engine/generate.h"

namespace weir::engine {
namespace {

constexpr size_t kClients = 16;

struct Loss {
  double sum = 0.0;
  uint64_t tokens = 0;
};

/// Adds what the backend thinks of a completion, in pieces of its context.
Result<void> judge(Backend& backend, const Sample& sample, Loss& loss) {
  const std::vector<TokenId> tokens = sample.all();
  const auto context = static_cast<size_t>(backend.info().context_held());
  if (tokens.size() > context && !sample.prompt.empty()) {
    return Error{.kind = ErrorKind::bad_request,
                 .source = "engine",
                 .detail = "line " + std::to_string(sample.line) + ": " + std::to_string(tokens.size()) +
                           " tokens with the answer; the context holds " + std::to_string(context)};
  }
  for (size_t begin = 0; begin < tokens.size(); begin += context) {
    const auto piece = std::span(tokens).subspan(begin, std::min(context, tokens.size() - begin));
    const auto scores = score(backend, piece, std::max<size_t>(1, sample.prompt.size()));
    if (!scores.ok()) return scores.error();
    for (const float logprob : *scores) loss.sum -= static_cast<double>(logprob);
    loss.tokens += scores->size();
  }
  return {};
}

Result<std::string> answer(Engine& engine, const Sample& sample, int32_t tokens_max) {
  GenerateRequest request;
  request.prompt = sample.prompt;
  request.continues_text = !sample.chat;
  request.sampling.temperature = 0;
  request.stop.output_tokens_max = tokens_max;
  auto generated = generate(engine, std::move(request));
  if (!generated.ok()) return generated.error();
  return std::move(generated->text);
}

/// How many of the answers are exactly the expected ones.
Result<uint64_t> count_exact(Engine& engine, const std::vector<const Sample*>& asked, int32_t tokens_max) {
  std::atomic<size_t> next{0};
  std::atomic<uint64_t> exact{0};
  std::mutex mutex;
  std::optional<Error> error;
  std::vector<std::thread> clients;
  for (size_t c = 0; c < std::min(kClients, asked.size()); ++c) {
    clients.emplace_back([&] {
      for (size_t i = next++; i < asked.size(); i = next++) {
        auto text = answer(engine, *asked[i], tokens_max);
        if (text.ok()) {
          exact += *text == *asked[i]->expected ? 1U : 0U;
          continue;
        }
        const std::lock_guard lock(mutex);
        error = text.error();
        next = asked.size();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  if (error) return *error;
  return exact.load();
}

Result<void> answer_all(const LoadedModel& model, config::EngineConfig config, const std::vector<Sample>& samples,
                        int32_t tokens_max, EvalReport& report) {
  std::vector<const Sample*> asked;
  for (const Sample& sample : samples) {
    if (sample.expected) asked.push_back(&sample);
  }
  if (asked.empty()) return {};
  config.max_sequences = kClients;
  auto backend = make_cpu_backend(model.model, config);
  if (!backend.ok()) return backend.error();
  auto engine = make_engine(config, *std::move(backend), model.tokenizer, model.chat_template, model.eos_ids);
  if (!engine.ok()) return engine.error();
  const auto exact = count_exact(**engine, asked, tokens_max);
  if (!exact.ok()) return exact.error();
  report.answers = asked.size();
  report.exact = *exact;
  return {};
}

}  // namespace

Result<EvalReport> evaluate(const LoadedModel& model, const config::EngineConfig& config,
                            const std::vector<Sample>& samples, int32_t answer_tokens_max,
                            const LoadProgress& progress) {
  config::EngineConfig alone = config;
  alone.max_sequences = 1;
  Loss loss;
  EvalReport report;
  {
    auto backend = make_cpu_backend(model.model, alone);
    if (!backend.ok()) return backend.error();
    report.weight_bytes = (*backend)->info().weight_bytes;
    uint64_t done = 0;
    for (const Sample& sample : samples) {
      const uint64_t before = loss.tokens;
      if (auto judged = judge(**backend, sample, loss); !judged.ok()) return judged.error();
      report.samples += loss.tokens > before ? 1 : 0;
      if (progress) progress(++done, samples.size());
    }
  }
  if (loss.tokens == 0) {
    return Error{.kind = ErrorKind::bad_request, .source = "engine", .detail = "the texts are a token each"};
  }
  report.tokens = loss.tokens;
  report.loss = loss.sum / static_cast<double>(loss.tokens);
  report.perplexity = std::exp(report.loss);
  if (answer_tokens_max > 0) {
    auto answered = answer_all(model, config, samples, answer_tokens_max, report);
    if (!answered.ok()) return answered.error();
  }
  return report;
}

}  // namespace weir::engine
