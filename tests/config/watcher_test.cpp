// The watcher on real files. Every wait is for a condition; the long limit only ends a test that has failed.
#include <sys/resource.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <utility>

#include "config/snapshot.h"
#include "tests/config/support.h"

namespace weir::config {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr auto kFailAfter = std::chrono::seconds(60);

std::string with_threads(int count) {
  return "server: {threads: " + std::to_string(count) + "}\n";
}

class WatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "weir-watch-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    file_ = folder_ / "weir.yaml";
    write(file_, with_threads(1));
  }
  void TearDown() override { fs::remove_all(folder_); }

  static void write(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::trunc) << text; }

  /// As editors and careful programs do it.
  void write_over(const fs::path& path, const std::string& text) {
    const fs::path fresh = folder_ / ".fresh";
    write(fresh, text);
    fs::rename(fresh, path);
  }

  std::unique_ptr<Watcher> watch(const fs::path& path, std::shared_ptr<const Config> in_force = nullptr) {
    return std::make_unique<Watcher>(
        path.string(), known(),
        [this](LoadOutcome outcome) {
          const std::lock_guard lock(mutex_);
          outcomes_.push_back(std::move(outcome));
          arrived_.notify_all();
          return !std::exchange(refuse_next_, false);
        },
        std::move(in_force));
  }

  /// The first outcome, from now on, that the predicate likes; others are passed over.
  template <class Predicate>
  ::testing::AssertionResult comes(const Predicate& wanted) {
    std::unique_lock lock(mutex_);
    const bool came = arrived_.wait_for(lock, kFailAfter, [&] {
      while (!outcomes_.empty()) {
        last_ = std::move(outcomes_.front());
        outcomes_.pop_front();
        if (wanted(last_)) return true;
      }
      return false;
    });
    return came ? ::testing::AssertionSuccess() : ::testing::AssertionFailure() << "no such outcome came";
  }
  ::testing::AssertionResult comes_with_threads(uint32_t count) {
    return comes(
        [count](const LoadOutcome& outcome) { return outcome.config && outcome.config->server.threads == count; });
  }
  ::testing::AssertionResult comes_mistake(const std::string& text) {
    return comes([&](const LoadOutcome& outcome) {
      return !outcome.config && !outcome.mistakes.empty() && outcome.mistakes[0].text().find(text) != std::string::npos;
    });
  }

  fs::path folder_;
  fs::path file_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<LoadOutcome> outcomes_;
  bool refuse_next_ = false;
  LoadOutcome last_;
};

TEST_F(WatcherTest, SeesWritesInPlaceAndRenamesOver) {
  const auto watcher = watch(file_);
  write(file_, with_threads(2));
  EXPECT_TRUE(comes_with_threads(2));
  write_over(file_, with_threads(3));
  EXPECT_TRUE(comes_with_threads(3));
  write_over(file_, with_threads(4));
  EXPECT_TRUE(comes_with_threads(4));
}

TEST_F(WatcherTest, ABadFileIsReportedAndAGoodOneFollows) {
  const auto watcher = watch(file_);
  write(file_, "server: {threads: none}\n");
  EXPECT_TRUE(comes_mistake("weir.yaml:1:19: server.threads"));
  write(file_, with_threads(2));
  EXPECT_TRUE(comes_with_threads(2));
}

TEST_F(WatcherTest, AVanishedFileIsAMistakeUntilItIsBack) {
  const auto watcher = watch(file_);
  fs::remove(file_);
  EXPECT_TRUE(comes_mistake("cannot be read"));
  write(file_, with_threads(1));  // the same text as before it went
  EXPECT_TRUE(comes_with_threads(1));
}

TEST_F(WatcherTest, WhatCannotBeReadForAWhileIsReadLater) {
  const auto watcher = watch(file_);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  std::ofstream open_already(file_, std::ios::trunc);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  open_already << with_threads(7);
  open_already.close();
  const auto refused = comes_mistake("cannot be read");
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(refused);
  EXPECT_TRUE(comes_with_threads(7));  // nothing about the file has changed since
}

TEST_F(WatcherTest, WhatWasNotTakenComesAgain) {
  const auto watcher = watch(file_);
  {
    const std::lock_guard lock(mutex_);
    refuse_next_ = true;
  }
  write(file_, with_threads(3));
  EXPECT_TRUE(comes_with_threads(3));
  EXPECT_TRUE(comes_with_threads(3));
}

TEST_F(WatcherTest, AVanishedFolderIsFollowedToo) {
  const fs::path inner = folder_ / "etc";
  fs::create_directory(inner);
  write(inner / "weir.yaml", with_threads(1));
  const auto watcher = watch(inner / "weir.yaml");
  fs::remove_all(inner);
  EXPECT_TRUE(comes_mistake("cannot be read"));
  fs::create_directory(inner);
  write(inner / "weir.yaml", with_threads(5));
  EXPECT_TRUE(comes_with_threads(5));
}

TEST_F(WatcherTest, FollowsKubernetesLinkSwaps) {
  fs::create_directory(folder_ / "..one");
  fs::create_directory(folder_ / "..two");
  write(folder_ / "..one" / "mounted.yaml", with_threads(1));
  write(folder_ / "..two" / "mounted.yaml", with_threads(2));
  fs::create_directory_symlink("..one", folder_ / "..data");
  fs::create_symlink("..data/mounted.yaml", folder_ / "mounted.yaml");
  const auto watcher = watch(folder_ / "mounted.yaml");
  fs::create_directory_symlink("..two", folder_ / "..data_tmp");
  fs::rename(folder_ / "..data_tmp", folder_ / "..data");
  EXPECT_TRUE(comes_with_threads(2));
  fs::remove_all(folder_ / "..one");
  write(folder_ / "..two" / "mounted.yaml", with_threads(3));
  EXPECT_TRUE(comes_with_threads(3));
}

TEST_F(WatcherTest, FollowsLinksIntoOtherFolders) {
  fs::create_directory(folder_ / "elsewhere");
  write(folder_ / "elsewhere" / "real.yaml", with_threads(1));
  fs::create_symlink(folder_ / "elsewhere" / "real.yaml", folder_ / "link.yaml");
  const auto watcher = watch(folder_ / "link.yaml");
  write(folder_ / "elsewhere" / "real.yaml", with_threads(2));
  EXPECT_TRUE(comes_with_threads(2));
  fs::create_symlink("weir.yaml", folder_ / "next.yaml");
  fs::rename(folder_ / "next.yaml", folder_ / "link.yaml");
  EXPECT_TRUE(comes_with_threads(1));
  write(file_, with_threads(6));
  EXPECT_TRUE(comes_with_threads(6));
}

TEST_F(WatcherTest, ReloadOnRequestNeedsNoChange) {
  const auto watcher = watch(file_);
  watcher->request_reload();
  EXPECT_TRUE(comes_with_threads(1));
  watcher->request_reload();
  EXPECT_TRUE(comes_with_threads(1));
}

TEST_F(WatcherTest, ChangedCertificatesReload) {
  const fs::path certificate = folder_ / "c.pem";
  const fs::path key = folder_ / "k.pem";
  write(certificate, "one");
  write(key, "one");
  write(file_, "server: {tls: {certificate: " + certificate.string() + ", key: " + key.string() + "}}\n");
  const auto watcher = watch(file_);
  write_over(certificate, "two");
  EXPECT_TRUE(comes([](const LoadOutcome& outcome) { return outcome.config && outcome.config->server.tls; }));
}

TEST_F(WatcherTest, NeighboursAndTouchesAreNoChange) {
  const auto watcher = watch(file_);
  write(folder_ / "weir.db-wal", "busy");
  write(file_, with_threads(1));
  write(folder_ / "weir.yaml.swp", "x");
  // The next outcome is that of the request: nothing before it was worth one.
  watcher->request_reload();
  ASSERT_TRUE(comes([](const LoadOutcome&) { return true; }));
  write(file_, with_threads(2));
  ASSERT_TRUE(comes([](const LoadOutcome&) { return true; }));
  EXPECT_EQ(last_.config->server.threads, 2u);
}

TEST_F(WatcherTest, AChangeBeforeItBeganIsCaughtUp) {
  const auto in_force = load_file(file_.string(), known()).config;
  write(file_, with_threads(8));
  const auto watcher = watch(file_, in_force);
  EXPECT_TRUE(comes_with_threads(8));
  const auto second = watch(file_, last_.config);  // in force: nothing to catch up with
  write(file_, with_threads(9));
  EXPECT_TRUE(comes([](const LoadOutcome&) { return true; }));
  EXPECT_EQ(last_.config->server.threads, 9u);
}

TEST_F(WatcherTest, EndsWhileAChangeIsPending) {
  for (int i = 0; i < 20; ++i) {
    auto watcher = watch(file_);
    write(file_, with_threads(i + 1));
    if (i % 2 == 0) watcher->request_reload();
    watcher.reset();
  }
}

TEST_F(WatcherTest, WritersAndReadersOfASnapshot) {
  Snapshot snapshot(good(with_threads(1)));
  std::atomic<bool> done{false};
  const uint64_t first_version = snapshot.version();
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i)
    readers.emplace_back([&] {
      while (!done.load()) ASSERT_NE(snapshot.get(), nullptr);
    });
  for (uint32_t i = 1; i <= 200; ++i) {
    auto next = std::make_shared<Config>();
    next->server.threads = i;
    snapshot.publish(std::move(next));
  }
  done.store(true);
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(snapshot.get()->server.threads, 200u);
  EXPECT_EQ(snapshot.version(), first_version + 200);
}

}  // namespace
}  // namespace weir::config
