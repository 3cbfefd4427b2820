// Errors as data. Every fallible function of Weir returns Result<T>; exceptions are for start-up only and none crosses
// a folder. An Error says what happened (kind), who says so (source), whether trying again can help (retry), and what
// an HTTP client should see (http_status, code, param). Values: no thread owns them.
#pragma once

#include <cassert>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace weir {

enum class ErrorKind {
  bad_request,     // the caller's input is wrong; trying again cannot help
  authentication,  // no, bad, blocked or expired credential
  permission,      // a good credential that may not do this
  not_found,       // no such model, route, file
  too_large,       // over a size limit
  context_length,  // the prompt does not fit the model
  content_policy,  // refused by a safety system
  rate_limit,      // too many requests or tokens; see retry_after
  quota,           // money or prepaid quota is used up
  overloaded,      // a queue is full, an upstream says it is busy
  timeout,         // a deadline passed
  connection,      // the transport failed: resolve, connect, TLS, reset
  upstream,        // the upstream answered, and the answer is an error or makes no sense
  cancelled,       // our side gave up: client gone, shutdown
  config,          // a mistake in a configuration or model file
  internal,        // a fault of Weir
  unusable,        // an answer was made, and is of no use to the client: it is paid, and says nothing against its maker
};

enum class Retry {
  no,            // the same answer is to be expected anywhere
  other_target,  // another account, provider or engine may succeed
};

/// Which limit a rate_limit speaks of. One of a day or longer opens late, whatever it counts.
enum class RateLimit {
  unknown,
  requests,  // in a short time, or at once
  tokens,    // in a short time
  day,       // requests or tokens
};

struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string source;  // who says so: "config", "engine", an account's name, …
  Retry retry = Retry::no;
  int http_status = 500;   // what a client of ours should see
  std::string detail;      // what was wrong, where, and what to do; holds no secret and no prompt
  std::string code = {};   // CONTRACT's code ("model_not_found") or the upstream's own
  std::string param = {};  // the request field that was wrong, as "messages[2].role"
  std::optional<std::chrono::milliseconds> retry_after = {};  // when trying again may help
  RateLimit limit = RateLimit::unknown;                       // of a rate_limit
};

constexpr const char* to_string(RateLimit limit) {
  constexpr const char* kNames[] = {"unknown", "requests", "tokens", "day"};
  return kNames[static_cast<int>(limit)];
}

/// A T or an Error. REQUIRES of value()/operator*: ok(). REQUIRES of error(): !ok().
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Error& error() & {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  const Error& error() const& {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    assert(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error() & {
    assert(!ok());
    return *error_;
  }
  const Error& error() const& {
    assert(!ok());
    return *error_;
  }
  Error&& error() && {
    assert(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace weir
