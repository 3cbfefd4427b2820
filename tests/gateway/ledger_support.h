// What the tests of the ledger share: a folder of their own, and rows that can be told apart. One thread a test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "gateway/accounting/row.h"

namespace weir::gateway {

/// Where a test's log goes. Closed only after the log's thread, which writes to it, has ended.
struct Quiet {
  Quiet() : fd(::open("/dev/null", O_WRONLY | O_CLOEXEC)) {}
  ~Quiet() { ::close(fd); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
  int fd;
};

/// A fresh folder a test, removed afterwards.
class LedgerFolder : public testing::Test {
 protected:
  LedgerFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-ledger-XXXXXX").string();
    folder_ = ::mkdtemp(name.data()) != nullptr ? name : std::string();
  }
  ~LedgerFolder() override {
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::filesystem::path folder_;
};

/// Row number `i`: every field differs from its neighbours'. The texts live as long as the thread.
inline LedgerRow sample_row(int i) {
  thread_local std::string id;
  static const std::string keys[] = {"alpha", "beta-team-with-a-long-name", "", "delta"};
  static const std::string targets[] = {"openai-a/gpt-4o", "azure-eu/my-deployment", "engine/tiny"};
  static const std::string codes[] = {"", "", "upstream_error"};
  id = "req-" + std::to_string(i);
  LedgerRow row;
  row.settled = WallTime(std::chrono::microseconds(1'700'000'000'000'000 + i * 1000LL));
  row.request_id = id;
  row.key = keys[i % 4];
  row.team = i % 5 == 0 ? "research" : "";
  row.model = "gpt-4o";
  row.target = targets[i % 3];
  row.upstream_model = i % 3 == 1 ? "my-deployment" : "gpt-4o";
  row.error_code = codes[i % 3];
  row.tokens = {1000 + i, i % 900, 300 + i % 7, i % 50, i % 11, i % 13, i % 17, i % 19, i % 3};
  row.tier = i % 6 == 0 ? "fast+us" : "";
  row.unpriced = i % 12 == 0;
  row.charge = {1000 + i};
  row.status = i % 3 == 2 ? 502 : 200;
  row.attempts = 1 + i % 3;
  row.total_us = 5000 + i;
  row.first_token_us = i % 4 == 0 ? -1 : 700 + i;
  row.estimated = i % 2 == 0;
  row.stream = i % 3 == 0;
  row.cancelled = i % 5 == 0;
  row.fallback = i % 7 == 0;
  return row;
}

/// Everything a row says, for comparing.
inline std::string describe(const LedgerRow& r) {
  std::string text = std::to_string(unix_us(r.settled));
  for (const auto part : {r.request_id, r.key, r.team, r.model, r.target, r.upstream_model, r.error_code, r.tier})
    text.append("|").append(part);
  for (const int64_t n :
       {r.tokens.input, r.tokens.cached_input, r.tokens.output, r.tokens.reasoning, r.tokens.cache_write_5m,
        r.tokens.cache_write_1h, r.tokens.audio_input, r.tokens.audio_output, r.tokens.web_searches, r.charge.nanos,
        int64_t{r.status}, int64_t{r.attempts}, r.total_us, r.first_token_us, int64_t{r.estimated}, int64_t{r.stream},
        int64_t{r.cancelled}, int64_t{r.fallback}, int64_t{r.unpriced}})
    text.append("|").append(std::to_string(n));
  return text;
}

}  // namespace weir::gateway
