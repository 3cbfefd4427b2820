// `weir bench engine`: how fast a model is served here, beside what the machine allows. Every figure is the median of
// several rounds, and its floor is measured within the same round, of the device that serves. Runs on the caller's
// thread, which plays the clients; the engine has its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/bench/machine.h"
#include "engine/model/model.h"

namespace weir::engine::bench {

struct Plan {
  std::string name;  // of the model or shape, for the report
  std::string quantization = "none";
  std::string device = "auto";    // as in the config
  std::string kv_dtype = "auto";  // kv_cache.dtype, as in the config
  int32_t threads = 0;            // of the kernels; 0: one a core
  int32_t rounds = 5;             // ≥ 1
  int32_t prompt_tokens = 512;    // of the prefill and of each client of the batches' newcomer
  int32_t output_tokens = 32;     // each client of a batch generates, ≥ 4
  int32_t decode_prompt = 16;     // tokens that each client of a batch begins with
  int32_t prefix_tokens = 4096;   // of the shared-prefix prompt, a tenth of it the client's own; 0: leave it out
  std::vector<int32_t> batches = {1, 2, 4, 8, 16};
};

/// One figure and its floor, medians over the rounds; the share is the median of the rounds' own shares.
struct Figure {
  double value = 0;  // tokens a second, or seconds
  double floor = 0;  // the best the machine allows, in the same unit
  double share = 0;  // of the floor that was reached: 1 is all
};

struct BatchFigures {
  int32_t clients = 0;
  Figure tokens_per_s;  // of all clients together, in steps in which all of them decode
  double first_token_ms_p50 = 0;
  double first_token_ms_p99 = 0;
  double inter_token_ms_p50 = 0;
  double inter_token_ms_p99 = 0;
};

/// The products of a model's layers by themselves, on one thread and by its own processor time.
struct KernelFigures {
  int32_t rows = 0;
  double ops_per_s = 0;
  double share_of_peak = 0;     // of the dot product's (INT8) or the multiply-add's (floats)
  double bytes_per_s = 0;       // of weights
  double share_of_reading = 0;  // of the time in which the same weights are read and not used
};

struct Report {
  Plan plan;
  std::string isa;
  std::string device;  // what computed: "cpu", "cuda:0 NVIDIA H200"
  int32_t threads = 0;
  uint64_t weight_bytes = 0;
  uint64_t parameters = 0;
  MachineRates machine;       // medians over all rounds
  int32_t prompt_tokens = 0;  // plan.prompt_tokens, as it fitted the model's context
  Figure prefill;             // tokens a second of such a prompt
  std::vector<BatchFigures> batches;
  double newcomer_first_token_ms = 0;  // of a prompt beside the largest batch
  double newcomer_decode_step_ms = 0;  // a decode step of that batch
  double newcomer_prefill_ms = 0;      // the same prompt alone
  int32_t prefix_tokens = 0;           // as it fitted; 0: left out
  double prefix_cold_first_token_ms = 0;
  double prefix_shared_first_token_ms = 0;
  std::vector<KernelFigures> kernels;  // none of a GPU
  double scheduler_step_us = 0;        // planning and checking a step of 256 sequences of mixed length
  double scheduler_commit_us = 0;      // taking its result
};

/// `progress` is told what is being measured. Errors: those of the engine.
Result<Report> run_bench(const std::shared_ptr<const Model>& model, const Plan& plan,
                         const std::function<void(const std::string&)>& progress = {});

/// Up to 400 MB of the model's matrices times 1, 16 and 512 rows.
void measure_kernels(const Model& model, Report& report);

/// Planning and committing 256 decoding sequences, without any model: microseconds, medians.
void measure_scheduler(Report& report);

std::string report_text(const Report& report);
std::string report_json(const Report& report);

}  // namespace weir::engine::bench
