// Answers that are no 2xx: every codec classifies any body, and the error can be told to any client.
#include <algorithm>
#include <iterator>

#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

void run(std::string_view input) {
  constexpr int kStatuses[] = {400, 401, 403, 404, 413, 422, 429, 500, 503, 529, 302};
  check_error(kStatuses[hash(input) % std::size(kStatuses)], input.substr(0, std::min<size_t>(input.size(), 40)),
              input);
}

}  // namespace

const Target kErrorReply{"error_reply",
                         run,
                         {R"({"error":{"message":"m","type":"insufficient_quota","code":"x","param":null}})",
                          R"({"type":"error","error":{"type":"rate_limit_error","message":"m"}})",
                          R"([{"error":{"code":429,"message":"m","status":"X","details":[{"retryDelay":"3.5s"}]}}])",
                          R"({"message":"m","__type":"x"})", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "<html>"},
                         {"wire/best/*/error*.response.json", "wire/fixtures/vertex-mock/*failure*"}};

}  // namespace weir::fuzz
