#include "engine/bench/clients.h"

#include <algorithm>
#include <semaphore>
#include <utility>

namespace weir::engine::bench {
namespace {

/// Takes every piece that is there. Whether there was one.
Result<bool> take_news(std::vector<Client>& clients) {
  bool news = false;
  for (Client& client : clients) {
    if (client.done) continue;
    const auto piece = client.stream->pull();
    if (!piece) continue;
    news = true;
    if (piece->error) return *piece->error;
    client.came.insert(client.came.end(), piece->token_ids.size(), now());
    client.done = piece->finish.has_value();
  }
  return news;
}

void wait_for_news(std::vector<Client>& clients, TimePoint until) {
  const auto woken = std::make_shared<std::counting_semaphore<>>(0);
  for (Client& client : clients) {
    if (!client.done) client.stream->notify([woken] { woken->release(); });
  }
  if (until == kNever)
    woken->acquire();
  else
    (void)woken->try_acquire_until(until);
  for (Client& client : clients) {
    if (!client.done) client.stream->notify({});
  }
}

}  // namespace

std::vector<TokenId> random_prompt(Rng& rng, int64_t vocabulary, int32_t tokens) {
  std::vector<TokenId> prompt(static_cast<size_t>(tokens));
  for (TokenId& t : prompt) t = static_cast<TokenId>(rng.below(static_cast<uint64_t>(vocabulary)));
  return prompt;
}

Result<Client> ask(Engine& engine, std::vector<TokenId> prompt, int32_t output_tokens, uint64_t salt) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.stop.output_tokens_max = output_tokens;
  request.stop.ignore_eos = true;
  request.cache_salt = salt;
  Client client;
  client.asked = now();
  auto stream = engine.submit(std::move(request));
  if (!stream.ok()) return stream.error();
  client.stream = *std::move(stream);
  return client;
}

Result<void> drive(std::vector<Client>& clients, const std::function<bool()>& enough, TimePoint until) {
  while (!enough() && now() < until) {
    const auto news = take_news(clients);
    if (!news.ok()) return news.error();
    if (*news) continue;
    if (until == kNever && std::ranges::all_of(clients, &Client::done)) break;  // nothing more can come
    wait_for_news(clients, until);
  }
  return {};
}

Result<void> finish(std::vector<Client>& clients) {
  return drive(clients, [&] { return std::ranges::all_of(clients, &Client::done); });
}

void append_gaps(const std::vector<Client>& clients, TimePoint begin, TimePoint end, std::vector<double>& seconds) {
  for (const Client& client : clients) {
    for (size_t i = 0, next = 0; i < client.came.size(); i = next) {
      const TimePoint time = client.came[i];
      while (next < client.came.size() && client.came[next] == time) ++next;
      if (i == 0 || client.came[i - 1] < begin || time > end) continue;
      const double gap = std::chrono::duration<double>(time - client.came[i - 1]).count();
      const size_t tokens = next - i;
      seconds.insert(seconds.end(), tokens, gap / static_cast<double>(tokens));
    }
  }
}

}  // namespace weir::engine::bench
