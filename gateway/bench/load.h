// A closed loop of clients against one URL: each connection sends a call, reads the whole answer, and sends the next.
// What `weir bench` measures with. One core owns all of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "gateway/bench/histogram.h"
#include "providers/net/core.h"
#include "providers/net/http_client.h"

namespace weir::gateway::bench {

struct LoadPlan {
  providers::Url url;   // host and port; `target` is the whole path
  std::string target;   // "/v1/chat/completions"
  std::string headers;  // "name: value\r\n" …
  std::string body;
  bool stream = false;
  uint32_t connections = 8;
  uint64_t requests_max = UINT64_MAX;  // no further call is begun after so many, or after `duration`
  Duration duration = std::chrono::seconds(10);
  Duration request_timeout = std::chrono::seconds(120);
};

struct LoadReport {
  uint64_t requests = 0;  // answered in full
  uint64_t events = 0;    // of streams
  uint64_t bytes = 0;     // of bodies
  /// How calls ended that were not answered in full: "429", "connection", "timeout", "stream_error" (the answer's own
  /// error event), "stream_cut" (no end mark).
  std::map<std::string, uint64_t> errors;
  std::string first_error;  // in words
  Duration elapsed{};
  Histogram latency;      // of calls answered in full, to the last byte
  Histogram first_token;  // to the first event of a stream
  Histogram inter_token;  // between events; those that arrive together share the time before them

  double requests_per_second() const;
};

/// Runs until the plan is fulfilled. Runs the core's loop, on the calling thread. REQUIRES: a core that does not run.
LoadReport run_load(providers::Core& core, const LoadPlan& plan);

}  // namespace weir::gateway::bench
