// A request's kill switch. Whoever decides that a request must end (client gone, deadline passed, drain over) fires
// it; whatever the request is waiting on right now (an upstream connection, an engine sequence) is attached to it and
// is closed at once, so that its pending operation completes with an error. One core owns an Abort; no locks.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "config/base/result.h"

namespace weir::providers {

/// Something whose pending operation ends when it is closed. close_now() may be called once, from the core's thread,
/// never from inside one of the object's own calls; it must not destroy the object and must not block.
class Closable {
 public:
  virtual void close_now() noexcept = 0;

 protected:
  ~Closable() = default;
};

class Abort {
 public:
  Abort() = default;
  Abort(const Abort&) = delete;
  Abort& operator=(const Abort&) = delete;

  /// Ends the request for `reason`. The first reason stays; later calls change nothing.
  void fire(Error reason) {
    if (reason_) return;
    reason_ = std::move(reason);
    if (Closable* closable = std::exchange(attached_, nullptr)) closable->close_now();
  }
  bool fired() const { return reason_.has_value(); }
  const Error& reason() const { return *reason_; }  // REQUIRES: fired()

  /// Makes `closable` what fire() closes; if already fired, closes it now. At most one at a time; null detaches.
  void attach(Closable* closable) {
    attached_ = closable;
    if (closable != nullptr && reason_) std::exchange(attached_, nullptr)->close_now();
  }

 private:
  std::optional<Error> reason_;
  Closable* attached_ = nullptr;
};

/// Attaches for the length of a scope.
class AbortScope {
 public:
  AbortScope(Abort& abort, Closable& closable) : abort_(abort) { abort_.attach(&closable); }
  ~AbortScope() { abort_.attach(nullptr); }
  AbortScope(const AbortScope&) = delete;
  AbortScope& operator=(const AbortScope&) = delete;

 private:
  Abort& abort_;
};

}  // namespace weir::providers
