// The bounded box between the engine thread, which pushes pieces of one sequence, and the consumer of its Stream, who
// pulls them; and the inbox by which streams and submitters reach the engine thread. Both outlive the engine and the
// stream, whichever goes first. Any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "config/base/result.h"
#include "engine/engine.h"

namespace weir::engine {

/// Pieces fold into one Output until they are pulled, so the box holds at most one sequence's output.
class Outbox {
 public:
  /// Engine thread: adds a piece, then wakes the consumer if it asked for that. What follows a finish is not heard:
  /// the engine may have been given up meanwhile.
  void push(Output piece, const SequenceUsage& usage);
  /// Any thread: the last piece, if none was pushed.
  void fail(const Error& reason);

  std::optional<Output> pull();
  void notify(std::function<void()> wake);  // as Stream::notify
  SequenceUsage usage() const;
  void set_usage(const SequenceUsage& usage);
  bool finished() const;  // the last piece was pushed

 private:
  void wake_if_due();

  // Held while `wake_` runs, so that notify({}) returns only when no call is under way. Recursive: a wake function may
  // arm the next one, or destroy its stream. Taken before mutex_, never after.
  std::recursive_mutex wake_mutex_;
  std::function<void()> wake_;

  mutable std::mutex mutex_;
  std::optional<Output> pending_;
  SequenceUsage usage_;
  bool finished_ = false;
};

/// A request on its way to the engine thread.
struct Arrival {
  uint64_t id = 0;
  GenerateRequest request;
  std::shared_ptr<Outbox> outbox;
};

/// What reached the engine since it last looked. Bounded: arrivals by the engine's admission count, aborts by one for
/// each live sequence.
class Inbox {
 public:
  struct Mail {
    std::vector<Arrival> arrivals;
    std::vector<uint64_t> aborts;
    bool stop = false;
  };

  /// `live_max`: sequences accepted and not yet ended.
  explicit Inbox(int32_t live_max) : live_max_(live_max) {}

  /// Errors: overloaded (live_max reached), or the reason given to close().
  Result<void> submit(Arrival arrival);
  void abort(uint64_t id);
  /// The engine should end; submit() refuses from now on.
  void stop();

  /// Engine thread: takes what there is; with `wait`, blocks until there is something.
  Mail take(bool wait);
  /// Engine thread: these sequences have ended.
  void ended(const std::vector<uint64_t>& ids);
  /// Engine thread: refuses every later submission with `reason`.
  void close(Error reason);
  /// Any thread: closes, ends every live sequence with `reason` at its outbox, and forgets what was under way.
  void fail_all(const Error& reason);
  /// Engine thread: takes submissions again.
  void reopen();
  int32_t arrivals() const;  // not yet taken
  int32_t live_max() const { return live_max_; }

 private:
  const int32_t live_max_;
  mutable std::mutex mutex_;
  std::condition_variable mail_came_;
  Mail mail_;
  std::unordered_map<uint64_t, std::shared_ptr<Outbox>> live_;
  std::optional<Error> closed_;
};

/// The consumer's end: pulls from the outbox, aborts through the inbox.
std::unique_ptr<Stream> make_stream(uint64_t id, std::shared_ptr<Outbox> outbox, std::shared_ptr<Inbox> inbox);

}  // namespace weir::engine
