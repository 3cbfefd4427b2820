#include "engine/bench/load.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <utility>

#include "engine/bench/clients.h"
#include "engine/bench/quantile.h"

namespace weir::engine::bench {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr double kRateMax = 1e5;     // requests a second
constexpr double kBoundsLong = 8.0;  // the arrivals of an attempt
constexpr size_t kWarming = 16;      // requests, all at once
constexpr int32_t kHalvingsDown = 6;

/// Moves those that are done behind `ended`.
void move_ended(std::vector<Client>& active, std::vector<Client>& ended) {
  const auto done = std::partition(active.begin(), active.end(), [](const Client& c) { return !c.done; });
  ended.insert(ended.end(), std::make_move_iterator(done), std::make_move_iterator(active.end()));
  active.erase(done, active.end());
}

LoadFigures figures_of(const std::vector<Client>& clients, TimePoint begin) {
  LoadFigures out;
  TimePoint end = begin;
  std::vector<double> first;
  std::vector<double> between;
  for (const Client& client : clients) {
    const SequenceUsage usage = client.stream->usage();
    out.input_tokens += usage.prompt_tokens;
    out.cached_tokens += usage.cached_tokens;
    out.output_tokens += static_cast<int64_t>(client.came.size());
    first.push_back(client.first_token_s());
    end = std::max(end, client.came.back());
  }
  append_gaps(clients, begin, end, between);
  out.requests = static_cast<int64_t>(clients.size());
  out.seconds = Seconds(end - begin).count();
  out.first_token_s_p50 = median(first);
  out.first_token_s_p99 = quantile(std::move(first), 0.99);
  out.inter_token_s_p50 = median(between);
  out.inter_token_s_p99 = quantile(std::move(between), 0.99);
  return out;
}

/// How many first tokens came later than `seconds`, or have not come by then.
size_t late(const std::vector<Client>& clients, double seconds) {
  const TimePoint time = now();
  return static_cast<size_t>(std::ranges::count_if(clients, [&](const Client& c) {
    return Seconds((c.came.empty() ? time : c.came.front()) - c.asked).count() > seconds;
  }));
}

std::string text_of(double rate, const std::optional<LoadFigures>& figures) {
  char text[160];
  if (figures)
    std::snprintf(text, sizeof text, "%.2f requests/s: carried, first token %.3f s (p50), %.3f s (p99)", rate,
                  figures->first_token_s_p50, figures->first_token_s_p99);
  else
    std::snprintf(text, sizeof text, "%.2f requests/s: too much", rate);
  return text;
}

}  // namespace

std::vector<Asked> random_requests(int64_t vocabulary, int32_t count, int32_t prompt_tokens, int32_t output_tokens) {
  Rng rng(1);
  std::vector<Asked> out;
  out.reserve(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) out.push_back({random_prompt(rng, vocabulary, prompt_tokens), output_tokens});
  return out;
}

std::vector<Asked> requests_of(const Trace& trace, int64_t vocabulary, int32_t count, int32_t block_tokens,
                               int32_t context) {
  const auto scaled = [&](int32_t tokens) {
    return static_cast<int32_t>(std::max<int64_t>(1, int64_t{tokens} * block_tokens / kTraceBlockTokens));
  };
  std::vector<Asked> out;
  for (size_t i = 0; i < trace.requests.size() && i < static_cast<size_t>(count); ++i) {
    Asked asked;
    asked.output_tokens = std::min(scaled(trace.lengths[i].output), std::max(1, context / 2));
    const auto most =
        static_cast<size_t>(std::min(scaled(trace.lengths[i].input), std::max(1, context - asked.output_tokens - 1)));
    for (const uint32_t id : trace.requests[i]) {
      if (asked.prompt.size() >= most) break;
      Rng rng(uint64_t{id} + 1);
      const auto block = random_prompt(rng, vocabulary, block_tokens);
      asked.prompt.insert(asked.prompt.end(), block.begin(), block.end());
    }
    if (asked.prompt.empty()) continue;
    asked.prompt.resize(std::min(asked.prompt.size(), most));
    out.push_back(std::move(asked));
  }
  return out;
}

Result<LoadFigures> saturate(Engine& engine, const std::vector<Asked>& requests, int32_t clients) {
  std::vector<Client> active;
  std::vector<Client> ended;
  const TimePoint begin = now();
  for (const Asked& next : requests) {
    if (active.size() >= static_cast<size_t>(clients)) {
      const auto one_is_done = [&] { return std::ranges::any_of(active, &Client::done); };
      if (auto driven = drive(active, one_is_done); !driven.ok()) return driven.error();
      move_ended(active, ended);
    }
    auto client = ask(engine, next.prompt, next.output_tokens);
    if (!client.ok()) return client.error();
    active.push_back(*std::move(client));
  }
  if (auto driven = finish(active); !driven.ok()) return driven.error();
  move_ended(active, ended);
  return figures_of(ended, begin);
}

Result<std::optional<LoadFigures>> arrive(Engine& engine, const std::vector<Asked>& requests, double rate,
                                          const Bound& bound, uint64_t salt) {
  const auto may_be_late = static_cast<size_t>(bound.late_share * static_cast<double>(requests.size()));
  std::vector<Client> active;
  std::vector<Client> ended;
  size_t ended_late = 0;
  const auto too_many_late = [&] { return ended_late + late(active, bound.first_token_s) > may_be_late; };
  Rng rng(3);
  const TimePoint begin = now();
  TimePoint next = begin;
  for (const Asked& one : requests) {
    if (auto driven = drive(active, too_many_late, next); !driven.ok()) return driven.error();
    std::vector<Client> done;
    move_ended(active, done);
    ended_late += late(done, bound.first_token_s);
    std::move(done.begin(), done.end(), std::back_inserter(ended));
    if (too_many_late()) return std::optional<LoadFigures>();
    auto client = ask(engine, one.prompt, one.output_tokens, salt);
    if (!client.ok()) return client.error();
    client->asked = std::min(client->asked, next);  // a late question does not make an answer sooner
    active.push_back(*std::move(client));
    next += std::chrono::duration_cast<Duration>(Seconds(-std::log(1 - rng.uniform()) / rate));
  }
  const auto over = [&] { return too_many_late() || std::ranges::all_of(active, &Client::done); };
  if (auto driven = drive(active, over); !driven.ok()) return driven.error();
  if (too_many_late()) return std::optional<LoadFigures>();
  move_ended(active, ended);
  return std::optional(figures_of(ended, begin));
}

double rate_told_by(size_t requests, const Bound& bound) {
  return std::min(kRateMax, static_cast<double>(requests) / (kBoundsLong * std::max(bound.first_token_s, 1e-9)));
}

Result<Carried> highest_rate(Engine& engine, const std::vector<Asked>& requests, const Bound& bound, double first,
                             int32_t halvings, const std::function<void(const std::string&)>& told) {
  Carried out;
  uint64_t salt = 0;
  const auto carries = [&](double rate) -> Result<bool> {
    auto figures = arrive(engine, requests, rate, bound, ++salt);
    if (!figures.ok()) return figures.error();
    if (told) told(text_of(rate, *figures));
    if (!*figures) return out.too_much = rate, false;
    out.rate = rate;
    out.figures = **figures;
    return true;
  };
  const std::vector<Asked> some(requests.begin(), requests.begin() + std::min(requests.size(), kWarming));
  if (auto warmed = saturate(engine, some, static_cast<int32_t>(kWarming)); !warmed.ok()) return warmed.error();
  const double most = rate_told_by(requests.size(), bound);
  double rate = first;
  for (int32_t down = 0; down <= kHalvingsDown;) {
    const auto carried = carries(rate);
    if (!carried.ok()) return carried.error();
    if (!*carried && out.rate > 0) break;
    if (!*carried) ++down;
    if (*carried && (out.too_much > 0 || rate * 2 > most)) break;
    rate *= *carried ? 2 : 0.5;
  }
  for (int32_t i = 0; i < halvings && out.rate > 0 && out.too_much > 0; ++i) {
    if (const auto carried = carries(std::sqrt(out.rate * out.too_much)); !carried.ok()) return carried.error();
  }
  return out;
}

}  // namespace weir::engine::bench
