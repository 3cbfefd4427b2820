#include <cstdio>
#include "config/base/json.h"

#include "engine/bench/bench.h"

namespace weir::engine::bench {
namespace {

using Json = nlohmann::ordered_json;

template <class... Values>
std::string line(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

Json json_of(const Figure& f) {
  Json json;
  json["value"] = f.value;
  json["floor"] = f.floor;
  json["share"] = f.share;
  return json;
}

Json json_of(const BatchFigures& b) {
  Json json;
  json["clients"] = b.clients;
  json["tokens_per_s"] = json_of(b.tokens_per_s);
  json["first_token_ms"] = {{"p50", b.first_token_ms_p50}, {"p99", b.first_token_ms_p99}};
  json["inter_token_ms"] = {{"p50", b.inter_token_ms_p50}, {"p99", b.inter_token_ms_p99}};
  return json;
}

/// "cpu: 2 threads, avx512", or the GPU.
std::string device_text(const Report& r) {
  if (r.kernels.empty()) return r.device;
  return r.device + ": " + std::to_string(r.threads) + " threads, " + r.isa;
}

}  // namespace

std::string report_text(const Report& r) {
  std::string text;
  text += line("%s, quantization %s: %.1f M parameters, %.1f MB of weights; %s, median of %d rounds\n",
               r.plan.name.c_str(), r.plan.quantization.c_str(), static_cast<double>(r.parameters) / 1e6,
               static_cast<double>(r.weight_bytes) / 1e6, device_text(r).c_str(), r.plan.rounds);
  text += line("measured in the same rounds: reads %.1f GB/s, %.0f G int8 operations/s, %.0f GFLOP/s",
               r.machine.read_bytes_per_s / 1e9, r.machine.int8_ops_per_s / 1e9, r.machine.float_ops_per_s / 1e9);
  text += r.machine.fp8_ops_per_s > 0 ? line(", %.0f G FP8 operations/s\n", r.machine.fp8_ops_per_s / 1e9) : "\n";
  text += line("%-34s %12s %12s %8s\n", "", "measured", "floor", "reached");
  const std::string prefill = "prefill, tokens/s of " + std::to_string(r.prompt_tokens);
  text +=
      line("%-34s %12.1f %12.1f %7.0f%%\n", prefill.c_str(), r.prefill.value, r.prefill.floor, r.prefill.share * 100);
  for (const BatchFigures& b : r.batches) {
    const std::string name = "decode, tokens/s, clients: " + std::to_string(b.clients);
    text +=
        line("%-34s %12.1f %12.1f %7.0f%%   first token %.1f / %.1f ms, between tokens %.1f / %.1f ms (p50 / p99)\n",
             name.c_str(), b.tokens_per_s.value, b.tokens_per_s.floor, b.tokens_per_s.share * 100, b.first_token_ms_p50,
             b.first_token_ms_p99, b.inter_token_ms_p50, b.inter_token_ms_p99);
  }
  text += line("newcomer beside the largest batch: first token %.1f ms (its prefill alone %.1f, a decode step %.1f)\n",
               r.newcomer_first_token_ms, r.newcomer_prefill_ms, r.newcomer_decode_step_ms);
  if (r.prefix_tokens > 0) {
    text +=
        line("prompt of %d tokens, first token: cold %.1f ms, nine tenths shared %.1f ms: %.1f times sooner\n",
             r.prefix_tokens, r.prefix_cold_first_token_ms, r.prefix_shared_first_token_ms,
             r.prefix_shared_first_token_ms > 0 ? r.prefix_cold_first_token_ms / r.prefix_shared_first_token_ms : 0);
  }
  for (const KernelFigures& k : r.kernels) {
    text += line(
        "products of %3d rows, one thread, its own time: %.0f Gop/s, %.0f%% of the peak; %.1f GB/s, %.0f%% of "
        "reading\n",
        k.rows, k.ops_per_s / 1e9, k.share_of_peak * 100, k.bytes_per_s / 1e9, k.share_of_reading * 100);
  }
  text += line("scheduler, 256 sequences: plan and check %.1f us, commit %.1f us\n", r.scheduler_step_us,
               r.scheduler_commit_us);
  return text;
}

std::string report_json(const Report& r) {
  Json json;
  json["model"] = r.plan.name;
  json["quantization"] = r.plan.quantization;
  json["device"] = r.device;
  json["threads"] = r.threads;
  json["isa"] = r.isa;
  json["rounds"] = r.plan.rounds;
  json["parameters"] = r.parameters;
  json["weight_bytes"] = r.weight_bytes;
  json["machine"] = {{"read_bytes_per_s", r.machine.read_bytes_per_s},
                     {"int8_ops_per_s", r.machine.int8_ops_per_s},
                     {"float_ops_per_s", r.machine.float_ops_per_s},
                     {"fp8_ops_per_s", r.machine.fp8_ops_per_s}};
  json["prefill"] = {{"prompt_tokens", r.prompt_tokens}, {"tokens_per_s", json_of(r.prefill)}};
  json["decode"] = Json::array();
  for (const BatchFigures& b : r.batches) json["decode"].push_back(json_of(b));
  json["newcomer"] = {{"first_token_ms", r.newcomer_first_token_ms},
                      {"prefill_alone_ms", r.newcomer_prefill_ms},
                      {"decode_step_ms", r.newcomer_decode_step_ms}};
  if (r.prefix_tokens > 0) {
    json["shared_prefix"] = {{"prompt_tokens", r.prefix_tokens},
                             {"cold_first_token_ms", r.prefix_cold_first_token_ms},
                             {"shared_first_token_ms", r.prefix_shared_first_token_ms}};
  }
  json["kernels"] = Json::array();
  for (const KernelFigures& k : r.kernels) {
    Json kernel;
    kernel["rows"] = k.rows;
    kernel["ops_per_s"] = k.ops_per_s;
    kernel["share_of_peak"] = k.share_of_peak;
    kernel["bytes_per_s"] = k.bytes_per_s;
    kernel["share_of_reading"] = k.share_of_reading;
    json["kernels"].push_back(std::move(kernel));
  }
  json["scheduler"] = {{"sequences", 256}, {"plan_us", r.scheduler_step_us}, {"commit_us", r.scheduler_commit_us}};
  return json.dump();
}

}  // namespace weir::engine::bench
