#include "config/snapshot.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace weir::config {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr milliseconds kQuiet{50};    // a change is read when nothing has happened for so long
constexpr int kSettleRoundsMax = 40;  // then it is read anyway: a file that is written without pause must not starve
constexpr milliseconds kUnreadable{
    1'000};                              // what cannot be read now (no descriptors, no right) is tried again so often
constexpr milliseconds kRefused{5'000};  // and what the owner could not take
constexpr int kArmRoundsMax = 4;
constexpr int kLinksMax = 40;  // as the kernel allows in one path
constexpr uint32_t kEvents =
    IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

/// A name in a folder that decides what a path leads to: a link on the way, the file itself, or what is missing.
using Entry = std::pair<std::string, std::string>;  // folder, name

/// Follows a path as the kernel would and notes every such name. Kubernetes mounts, for one, lead over two links
/// (config.yaml -> ..data/config.yaml, ..data -> ..2026_11_20), and only the second is ever replaced.
std::set<Entry> entries_of(const std::string& file) {
  std::set<Entry> entries;
  std::error_code error;
  const fs::path whole = fs::absolute(file, error);
  std::deque<fs::path> left;
  for (const auto& part : whole.relative_path()) left.push_back(part);
  fs::path at = whole.root_path();
  for (int links = 0; !left.empty();) {
    const fs::path part = left.front();
    left.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      at = at.parent_path();
      continue;
    }
    const fs::path here = at / part;
    const auto kind = fs::symlink_status(here, error).type();
    const bool link = kind == fs::file_type::symlink;
    const bool missing = kind == fs::file_type::not_found || kind == fs::file_type::none;
    if (link || missing || left.empty()) entries.emplace(at.string(), part.string());
    if (missing) break;
    if (!link) {
      at = here;
      continue;
    }
    if (++links > kLinksMax) break;
    const fs::path target = fs::read_symlink(here, error);
    if (error) break;
    if (target.is_absolute()) at = target.root_path();
    const fs::path parts = target.relative_path();
    for (auto last = parts.end(); last != parts.begin();) left.push_front(*--last);
  }
  return entries;
}

}  // namespace

struct Watcher::Impl {
  Impl(std::string file_to_watch, KnownNames names, OnReload callback, const Config* in_force)
      : file(std::move(file_to_watch)),
        known(std::move(names)),
        on_reload(std::move(callback)),
        inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
        wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    // Armed before anything is read, so that whatever changes once the constructor has returned is seen.
    arm();
    note_tls_files(load_file(file, known));
    arm();
    last_contents = contents();
    if (in_force != nullptr) {
      const auto text = read_config_file(file);
      outdated = !text || sha256(*text) != in_force->text_sha256;
    }
    thread = std::thread([this] {
      run();
      const std::lock_guard lock(ended_mutex);
      ended = true;
      ended_changed.notify_all();
    });
  }

  ~Impl() {
    stopping.store(true);
    signal();
    thread.join();
  }

  void signal() const {
    const uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake.get(), &one, sizeof one);  // full means already awake
  }

  // What one wait saw. Of the watcher's thread, as everything below.
  struct Seen {
    bool stop = false;
    bool asked = false;    // request_reload()
    bool changed = false;  // a name that matters
    bool forced = false;   // the file was already another than the one in force
  };

  Seen wait(int timeout_ms) {
    pollfd fds[2] = {{wake.get(), POLLIN, 0}, {inotify.get(), POLLIN, 0}};  // poll passes over a negative fd
    ::poll(fds, 2, timeout_ms);
    uint64_t count = 0;
    while (::read(wake.get(), &count, sizeof count) > 0) {
    }
    Seen seen;
    seen.changed = drain_events();
    seen.stop = stopping.load();
    seen.asked = asked.exchange(false);
    return seen;
  }

  bool drain_events() {
    alignas(inotify_event) char buffer[16 * 1024];
    bool changed = false;
    for (;;) {
      const ssize_t length = ::read(inotify.get(), buffer, sizeof buffer);
      if (length <= 0) return changed;
      for (ssize_t at = 0; at < length;) {
        inotify_event event{};
        std::memcpy(&event, buffer + at, sizeof event);
        const char* name = buffer + at + sizeof event;
        at += static_cast<ssize_t>(sizeof event + event.len);
        if ((event.mask & IN_Q_OVERFLOW) != 0) changed = true;
        const auto watch = watches.find(event.wd);
        if (watch == watches.end()) continue;
        const bool folder_itself = (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0;
        if (folder_itself || (event.len > 0 && watch->second.contains(name))) changed = true;
        if ((event.mask & IN_IGNORED) != 0) watches.erase(watch);
      }
    }
  }

  /// Watches the folders that the files' paths lead through now; again if the path changed under its hands.
  void arm() {
    if (inotify.get() < 0) return;
    for (int round = 0; round < kArmRoundsMax; ++round) {
      const auto entries = all_entries();
      std::map<int, std::set<std::string>> fresh;
      for (const auto& [folder, name] : entries) {
        const int wd = ::inotify_add_watch(inotify.get(), folder.c_str(), kEvents);
        if (wd >= 0) fresh[wd].insert(name);
      }
      for (const auto& [wd, names] : watches)
        if (!fresh.contains(wd)) ::inotify_rm_watch(inotify.get(), wd);
      watches = std::move(fresh);
      if (all_entries() == entries) return;
    }
  }

  std::set<Entry> all_entries() const {
    auto entries = entries_of(file);
    for (const auto& tls_file : tls_files) entries.merge(entries_of(tls_file));
    return entries;
  }

  void note_tls_files(const LoadOutcome& outcome) {
    if (!outcome.config) return;  // a bad file does not say which certificates are now in use
    tls_files.clear();
    if (const auto& tls = outcome.config->server.tls) tls_files = {tls->certificate_file, tls->key_file};
  }

  /// A digest of all that a reload would read; unreadable is a value of its own.
  Sha256 contents() {
    std::string digests;
    unreadable = false;
    const auto add = [&](const std::string& path) {
      const auto text = read_config_file(path);
      unreadable = unreadable || !text;
      const Sha256 digest = sha256(text ? "+" + *text : "-");
      digests.append(digest.begin(), digest.end());
    };
    add(file);
    for (const auto& tls_file : tls_files) add(tls_file);
    return sha256(digests);
  }

  void run() {
    if (inotify.get() < 0)
      on_reload({nullptr, {{file, 1, 1, "", "cannot be watched for changes; send SIGHUP after changing it"}}, {}});
    for (bool first = true;; first = false) {
      Seen seen;
      if (first && outdated)
        seen.changed = seen.forced = true;
      else
        seen = wait(refused      ? static_cast<int>(kRefused.count())
                    : unreadable ? static_cast<int>(kUnreadable.count())
                                 : -1);
      seen.changed = seen.changed || unreadable || refused;  // its becoming readable is no event
      seen.forced = seen.forced || refused;
      if (!seen.stop && seen.changed && !seen.asked) settle(seen);
      if (seen.stop) return;
      if (seen.asked || seen.changed) reload(seen.asked || seen.forced);
    }
  }

  /// Waits until writing has stopped: 50 ms without an event, and the same bytes before and after.
  void settle(Seen& seen) {
    Sha256 before = contents();
    for (int round = 0; round < kSettleRoundsMax; ++round) {
      const Seen more = wait(static_cast<int>(kQuiet.count()));
      seen.stop = more.stop;
      seen.asked = more.asked;
      if (more.stop || more.asked) return;
      const Sha256 after = contents();
      if (!more.changed && after == before) return;
      before = after;
    }
  }

  void reload(bool asked_for) {
    arm();
    const Sha256 now = contents();
    if (!asked_for && now == last_contents) return;  // touched, not changed
    LoadOutcome outcome = load_file(file, known);
    const auto tls_files_before = tls_files;
    note_tls_files(outcome);
    if (tls_files != tls_files_before) arm();
    last_contents = tls_files == tls_files_before ? now : contents();
    refused = !on_reload(std::move(outcome));
  }

  const std::string file;
  const KnownNames known;
  const OnReload on_reload;
  const Fd inotify;
  const Fd wake;
  std::atomic<bool> stopping{false};
  std::atomic<bool> asked{false};
  std::map<int, std::set<std::string>> watches;  // by watch descriptor: the names that matter in that folder
  std::vector<std::string> tls_files;
  Sha256 last_contents{};
  bool unreadable = false;  // at the last look
  bool refused = false;     // by on_reload, this time
  bool outdated = false;
  std::mutex ended_mutex;
  std::condition_variable ended_changed;
  bool ended = false;  // guarded by ended_mutex
  std::thread thread;
};

Watcher::Watcher(std::string file, KnownNames known, OnReload on_reload, const std::shared_ptr<const Config>& in_force)
    : impl_(std::make_unique<Impl>(std::move(file), std::move(known), std::move(on_reload), in_force.get())) {}

Watcher::~Watcher() = default;

bool Watcher::stop(milliseconds timeout) {
  impl_->stopping.store(true);
  impl_->signal();
  std::unique_lock lock(impl_->ended_mutex);
  return impl_->ended_changed.wait_for(lock, timeout, [this] { return impl_->ended; });
}

void Watcher::request_reload() {
  impl_->asked.store(true);
  impl_->signal();
}

}  // namespace weir::config
