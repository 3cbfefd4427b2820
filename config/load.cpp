#include "config/load.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "config/load/cursor.h"
#include "config/load/document.h"
#include "config/load/environment.h"
#include "config/load/sections.h"

namespace weir::config {
namespace {

constexpr int kSilenceMaxMs = 5'000;  // of a pipe that is read as a file

struct Section {
  std::string_view name;
  void (*read)(const Cursor&, Reading&);
};

// admin_key and prices are read before these: keys are compared with the one, targets looked up in the other.
constexpr Section kSections[] = {
    {"server", read_server},   {"store", read_store},   {"metrics", read_metrics},
    {"log", read_log},         {"health", read_health}, {"accounts", read_accounts},
    {"engines", read_engines}, {"models", read_models}, {"keys", read_keys},
};

void read_admin_key(MapReader& map, Reading& reading) {
  const auto cursor = map.get("admin_key");
  if (!cursor) return;
  auto secret = cursor->secret();
  if (!secret) return;
  if (secret->empty()) reading.report.warning("admin_key", "is empty: the management API is off");
  reading.config.admin_key = std::move(*secret);
}

/// Keys that CONTRACT names and this version does not have. True if the file is for another program altogether, so that
/// its other keys need no mistakes of their own.
bool refuse_later_features(MapReader& map) {
  if (map.has("model_list")) {
    if (const auto cursor = map.get("model_list"))
      cursor->mistake("reading a LiteLLM config is not available in this version; write accounts: and models: instead");
    return true;
  }
  if (map.has("shared_state"))
    if (const auto cursor = map.get("shared_state"))
      cursor->mistake("sharing limits and budgets between gateways is not available in this version; remove this key");
  return false;
}

void read_document(const Node& root, Reading& reading) {
  const Cursor top(root, "", root.mark, reading.report);
  if (root.kind == Node::Kind::null) return reading.report.mistake(Mark{}, "", "the file holds no configuration");
  MapReader map(top);
  if (root.kind != Node::Kind::map || refuse_later_features(map)) return;
  read_admin_key(map, reading);
  if (const auto cursor = map.section("prices")) read_prices(*cursor, true, reading.config.prices);
  for (const auto& [name, read] : kSections)
    if (const auto cursor = map.section(name)) read(*cursor, reading);
  map.finish();
  check_references(reading);
}

LoadOutcome load(std::string_view yaml, const std::string& file, const Environment& environment,
                 const KnownNames& known, bool touch_files) {
  LoadOutcome outcome;
  Report report(file);
  auto config = std::make_shared<Config>();
  config->file = file;
  config->text_sha256 = sha256(yaml);
  config->prices = builtin_prices();
  if (auto document = parse_document(yaml, report)) {
    expand_references(*document, environment, report);
    Reading reading{*config, report, known, touch_files};
    read_document(*document, reading);
  }
  if (report.clean()) outcome.config = std::move(config);
  outcome.mistakes = report.take_mistakes();
  outcome.warnings = report.take_warnings();
  return outcome;
}

}  // namespace

const ModelConfig* Config::find_model(std::string_view name) const {
  for (const auto& model : models)
    if (model.name == name) return &model;
  return nullptr;
}

const AccountConfig* Config::find_account(std::string_view name) const {
  for (const auto& account : accounts)
    if (account.name == name) return &account;
  return nullptr;
}

const EngineConfig* Config::find_engine(std::string_view name) const {
  for (const auto& engine : engines)
    if (engine.name == name) return &engine;
  return nullptr;
}

/// Also a pipe's, as shells make of <(command), but one that nobody writes is not waited for without end.
Result<std::string> read_config_file(const std::string& file) {
  const auto fail = [&](const std::string& why) {
    return Error{ErrorKind::config, "config", Retry::no, 500, "cannot be read: " + why};
  };
  const auto last_error = [] { return std::generic_category().message(errno); };
  const int fd = ::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fail(last_error());
  const std::unique_ptr<const int, void (*)(const int*)> closer(&fd, [](const int* open_fd) { ::close(*open_fd); });
  std::string text;
  text.resize(kDocumentBytesMax + 1);  // one more than allowed, so that the parser sees that it is too large
  size_t size = 0;
  while (size < text.size()) {
    pollfd wait{fd, POLLIN, 0};
    if (::poll(&wait, 1, kSilenceMaxMs) == 0) return fail("it is a pipe into which nobody writes");
    const ssize_t n = ::read(fd, text.data() + size, text.size() - size);
    if (n == 0) break;
    if (n > 0)
      size += static_cast<size_t>(n);
    else if (errno != EAGAIN && errno != EINTR)
      return fail(last_error());
  }
  text.resize(size);
  return text;
}

std::optional<std::string> process_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nothing in Weir sets variables
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

LoadOutcome load_text(std::string_view yaml, const std::string& file, const Environment& environment,
                      const KnownNames& known) {
  return load(yaml, file, environment, known, false);
}

LoadOutcome load_file(const std::string& file, const KnownNames& known) {
  const auto text = read_config_file(file);
  if (text) return load(*text, file, process_environment, known, true);
  LoadOutcome outcome;
  outcome.mistakes.push_back({file, 1, 1, "", text.error().detail});
  return outcome;
}

}  // namespace weir::config
