// Access tokens for the calls of one account on one core: hands out the token in hand, asks the token server for the
// next one before it ends, and shares one question among all who wait. One core owns it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "providers/net/abort.h"
#include "providers/net/core.h"
#include "providers/net/http_client.h"
#include "providers/net/oauth.h"
#include "providers/net/task.h"

namespace weir::providers {

struct TokenSourceOptions {
  std::chrono::milliseconds timeout{10'000};  // of one question, from resolving the name to the last byte
  HttpClientOptions http = {};
  std::function<TimePoint()> clock = now;  // when tokens end
  std::function<WallTime()> wall_clock = wall_now;
};

class TokenSource {
 public:
  TokenSource(Core& core, std::shared_ptr<const TokenGrant> grant, TokenSourceOptions options = {});
  /// Ends the question under way; those who wait get a cancelled error.
  ~TokenSource();
  TokenSource(const TokenSource&) = delete;
  TokenSource& operator=(const TokenSource&) = delete;

  /// A usable token: at once where there is one, even while the next is being asked for, and even if that fails. The
  /// view is valid until the caller suspends again. `abort` ends the waiting of this caller, not the question that
  /// others share. Errors: the abort's reason, and whatever keeps the token server from answering with a token
  /// (parse_token_answer, HttpClient::send, timeout); after a failure the same error is given without asking, for 1 s,
  /// doubled by each further failure up to 10 s, or as long as the server wants, up to 60 s.
  Task<Result<std::string_view>> token(Abort& abort);

  /// The service answered a call with `token` by 401: the next token() asks anew (see TokenState::refused).
  void refused(std::string_view token);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace weir::providers
