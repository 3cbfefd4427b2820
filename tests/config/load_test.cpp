// Good configs: what each key of the file becomes.
#include <filesystem>
#include <fstream>

#include "tests/config/support.h"

namespace weir::config {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kFull = R"(
server:   {listen: "[::1]:4001", threads: 3, drain_timeout: 5s, tls: {certificate: c.pem, key: k.pem},
           limits: {header: 8KiB, body: 1MiB, connections: 10, response: 2MiB, pipelined: 4KiB, idle_timeout: 1s,
                    header_timeout: 2s, body_timeout: 3s, write_timeout: 4s, inline: 64KiB, linger: 3MiB,
                    linger_timeout: 5s}, workers: 4}
admin_key: ${ADMIN}
store:    {url: "sqlite:/var/lib/weir.db", journal: 1MiB}
metrics:  {listen: 127.0.0.1:9400, series: 100}
log:      {level: warn, requests: no}
health:   {cooldown: 1s, cooldown_max: 10s, credential_cooldown: 20s, failures: 5}
accounts:
  openai-a:  {provider: openai, api_key: ${OPENAI_KEY_A}, limits: {rpm: 10000, tpm: 2000000, concurrency: 200},
              organization: org-1, project: p-1, connect_timeout: 1s, idle_connections: 2, idle_connection_timeout: 3s}
  lab:       {provider: openai, base_url: http://127.0.0.1:9000/v1/}
  echo:      {provider: echo, delay: 1s, chunk_delay: 1m}
engines:
  tiny: {model: builtin:weir-tiny}
  llama: {model: /models/Llama, device: cuda:1, kv_cache: {host_memory: 64GiB}}
  qwen: {model: /models/Qwen, device: cpu, quantization: int8,
         kv_cache: {memory: 40GiB, dtype: fp8, block_size: 32, prefix: false, policy: cost}, max_sequences: 256, queue: 9,
         step_tokens: 128, context: 4096, threads: 2, step_timeout: 5s}
models:
  gpt-4o:
    strategy: least_busy
    targets:
      - {account: openai-a, model: gpt-4o-2024-08-06, weight: 3}
      - {account: lab}
    fallbacks: [tiny]
    retries: 1
    timeout: {first_token: 10s, total: 2m}
    max_output_tokens: 100
  tiny: {targets: [{engine: tiny, weight: 0}, {engine: qwen}]}
  e: {targets: [{account: echo}]}
keys:
  - {name: demo, key: sk-weir-demo, models: ["gpt-*", tiny], budget: {usd: 5.00, per: 1d},
     limits: {rpm: 600, tpm: 100000, concurrency: 8}, team: blue, priority: -3, blocked: true, expires: 1970-01-02}
  - {name: other, key: sk-weir-other-key-long-enough, budget: {usd: 0.000000001}}
prices:
  my-model: {input: 0.15, output: 0.60, cached_input: 0.075, max_output_tokens: 10, context: 20}
)";

TEST(Load, Process) {
  const auto config = good(kFull, {{"ADMIN", "sk-admin"}, {"OPENAI_KEY_A", "sk-a"}});
  EXPECT_EQ(config->file, "weir.yaml");
  const auto& server = config->server;
  EXPECT_EQ(server.listen_host, "::1");
  EXPECT_EQ(server.listen_port, 4001);
  EXPECT_EQ(server.threads, 3u);
  EXPECT_EQ(server.drain_timeout, milliseconds(5000));
  EXPECT_EQ(server.tls->certificate_file, "c.pem");
  EXPECT_EQ(server.tls->key_file, "k.pem");
  EXPECT_EQ(server.limits.header_bytes_max, 8192u);
  EXPECT_EQ(server.limits.body_bytes_max, 1048576u);
  EXPECT_EQ(server.limits.connections_max, 10u);
  EXPECT_EQ(server.limits.response_bytes_max, 2097152u);
  EXPECT_EQ(server.limits.pipelined_bytes_max, 4096u);
  EXPECT_EQ(server.limits.idle_timeout, milliseconds(1000));
  EXPECT_EQ(server.limits.header_timeout, milliseconds(2000));
  EXPECT_EQ(server.limits.body_timeout, milliseconds(3000));
  EXPECT_EQ(server.limits.write_timeout, milliseconds(4000));
  EXPECT_EQ(server.limits.inline_bytes_max, 65536u);
  EXPECT_EQ(server.limits.linger_bytes_max, 3145728u);
  EXPECT_EQ(server.limits.linger_timeout, milliseconds(5000));
  EXPECT_EQ(server.workers, 4u);
  EXPECT_EQ(config->admin_key.reveal(), "sk-admin");
  EXPECT_EQ(config->store.url, "sqlite:/var/lib/weir.db");
  EXPECT_EQ(config->store.journal_bytes, 1048576u);
  EXPECT_EQ(config->metrics.listen_host, "127.0.0.1");
  EXPECT_EQ(config->metrics.listen_port, 9400);
  EXPECT_EQ(config->metrics.series_max, 100u);
  EXPECT_EQ(config->log.level, LogConfig::Level::warn);
  EXPECT_FALSE(config->log.requests);
  EXPECT_EQ(config->health.cooldown, milliseconds(1000));
  EXPECT_EQ(config->health.cooldown_max, milliseconds(10000));
  EXPECT_EQ(config->health.credential_cooldown, milliseconds(20000));
  EXPECT_EQ(config->health.failures_to_cool, 5u);
}

TEST(Load, AccountsAndEngines) {
  const auto config = good(kFull, {{"ADMIN", "sk-admin"}, {"OPENAI_KEY_A", "sk-a"}});
  ASSERT_EQ(config->accounts.size(), 3u);
  const auto& openai = *config->find_account("openai-a");
  EXPECT_EQ(openai.provider, "openai");
  EXPECT_EQ(openai.base_url, "");
  EXPECT_EQ(openai.api_key.reveal(), "sk-a");
  EXPECT_EQ(openai.limits.requests_per_minute, 10000);
  EXPECT_EQ(openai.limits.tokens_per_minute, 2000000);
  EXPECT_EQ(openai.limits.concurrency, 200);
  EXPECT_EQ(openai.connect_timeout, milliseconds(1000));
  EXPECT_EQ(openai.idle_connections_max, 2u);
  EXPECT_EQ(openai.idle_connection_timeout, milliseconds(3000));
  EXPECT_THAT(openai.options, ElementsAre(std::pair("organization", "org-1"), std::pair("project", "p-1")));
  EXPECT_EQ(config->find_account("lab")->base_url, "http://127.0.0.1:9000/v1");
  EXPECT_THAT(config->find_account("echo")->options,
              ElementsAre(std::pair("chunk_delay", "60000ms"), std::pair("delay", "1000ms")));
  EXPECT_EQ(config->find_account("nobody"), nullptr);

  const auto& qwen = *config->find_engine("qwen");
  EXPECT_EQ(qwen.model, "/models/Qwen");
  EXPECT_EQ(qwen.device, "cpu");
  EXPECT_EQ(config->find_engine("llama")->device, "cuda:1");
  EXPECT_EQ(qwen.quantization, "int8");
  EXPECT_EQ(qwen.kv_cache.memory_bytes, 40ULL << 30);
  EXPECT_EQ(qwen.kv_cache.dtype, "fp8");
  EXPECT_EQ(qwen.kv_cache.block_tokens, 32u);
  EXPECT_FALSE(qwen.kv_cache.prefix_reuse);
  EXPECT_EQ(qwen.kv_cache.policy, "cost");
  EXPECT_EQ(qwen.max_sequences, 256u);
  EXPECT_EQ(qwen.queue_max, 9u);
  EXPECT_EQ(qwen.step_tokens_max, 128u);
  EXPECT_EQ(qwen.context_tokens, 4096u);
  EXPECT_EQ(qwen.threads, 2u);
  EXPECT_EQ(qwen.step_timeout, std::chrono::seconds(5));
  EXPECT_EQ(qwen.kv_cache.host_memory_bytes, 0u);
  EXPECT_EQ(config->find_engine("llama")->kv_cache.host_memory_bytes, 64ULL << 30);
  EXPECT_FALSE(config->find_engine("tiny")->kv_cache.memory_bytes.has_value());
}

TEST(Load, ModelsKeysAndPrices) {
  const auto config = good(kFull, {{"ADMIN", "sk-admin"}, {"OPENAI_KEY_A", "sk-a"}});
  ASSERT_EQ(config->models.size(), 3u);
  const auto& gpt = *config->find_model("gpt-4o");
  EXPECT_EQ(gpt.strategy, "least_busy");
  ASSERT_EQ(gpt.targets.size(), 2u);
  EXPECT_EQ(gpt.targets[0].label("gpt-4o"), "openai-a/gpt-4o-2024-08-06");
  EXPECT_EQ(gpt.targets[0].weight, 3u);
  EXPECT_EQ(gpt.targets[1].label("gpt-4o"), "lab/gpt-4o");
  EXPECT_EQ(gpt.targets[1].weight, 1u);
  EXPECT_THAT(gpt.fallbacks, ElementsAre("tiny"));
  EXPECT_EQ(gpt.retries, 1u);
  EXPECT_EQ(gpt.first_token_timeout, milliseconds(10'000));
  EXPECT_EQ(gpt.total_timeout, milliseconds(120'000));
  EXPECT_EQ(gpt.output_tokens_max, 100);
  EXPECT_EQ(config->find_model("tiny")->strategy, "weighted");
  EXPECT_EQ(config->find_model("tiny")->targets[0].label("tiny"), "engine/tiny");

  ASSERT_EQ(config->keys.size(), 2u);
  const auto& demo = config->keys[0];
  EXPECT_EQ(demo.name, "demo");
  EXPECT_EQ(demo.key_sha256, sha256("sk-weir-demo"));
  EXPECT_THAT(demo.models, ElementsAre("gpt-*", "tiny"));
  EXPECT_EQ(demo.budget->limit.nanos, 5'000'000'000);
  EXPECT_EQ(demo.budget->period, std::chrono::hours(24));
  EXPECT_EQ(demo.limits.requests_per_minute, 600);
  EXPECT_EQ(demo.team, "blue");
  EXPECT_TRUE(demo.blocked);
  EXPECT_EQ(demo.expires_unix_s, 86400);
  EXPECT_EQ(demo.priority, -3);
  EXPECT_THAT(config->keys[1].models, ElementsAre("*"));
  EXPECT_EQ(config->keys[1].budget->period.count(), 0);
  EXPECT_EQ(config->prices.find("my-model")->output_tokens_max, 10);
  EXPECT_EQ(config->prices.find("my-model")->context_tokens, 20);
}

TEST(Load, EmptySectionsAndForEverBudgets) {
  const auto config = good("server:\nkeys:\nmodels: ~\nadmin_key: ''\n");
  EXPECT_EQ(config->server.listen_port, 4000);
  for (const char* per : {"never", "total"}) {
    const auto keyed = good(std::string("keys: [{name: a, key: bbbb, budget: {usd: 1, per: ") + per + "}}]");
    EXPECT_EQ(keyed->keys[0].budget->period.count(), 0);
  }
}

TEST(Load, DefaultsFollowWhatIsWritten) {
  const auto config = good(
      "health: {cooldown: 10m}\naccounts: {e: {provider: echo}}\nmodels:\n  a: {targets: [{account: e}], timeout: "
      "{total: 5s}}\n"
      "  b: {targets: [{account: e}], timeout: {first_token: 20m}}\n");
  EXPECT_EQ(config->health.cooldown_max, std::chrono::minutes(10));
  EXPECT_EQ(config->find_model("a")->first_token_timeout, milliseconds(5000));
  EXPECT_EQ(config->find_model("b")->total_timeout, std::chrono::minutes(20));
}

TEST(Load, WarnsOfWhatIsOfNoUse) {
  const auto outcome = load(R"(
accounts: {a: {provider: openai}, unused: {provider: echo}}
engines: {idle: {model: builtin:weir-tiny}}
models:
  gpt-4o: {targets: [{account: a, weight: 0}]}
  odd: {targets: [{account: a, model: my-deployment}]}
  odd-dated: {targets: [{account: a, model: gpt-4o-2024-08-06}]}
keys: [{name: k, key: short, models: [gpt-4, "x*"]}]
)");
  ASSERT_NE(outcome.config, nullptr) << ::testing::PrintToString(texts(outcome.mistakes));
  EXPECT_THAT(
      texts(outcome.warnings),
      ElementsAre(
          "weir.yaml:2:15: accounts.a: no api_key for the provider's own URL; its calls will be refused",
          "weir.yaml:2:43: accounts.unused: no model uses it", "weir.yaml:3:17: engines.idle: no model uses it",
          "weir.yaml:5:11: models.gpt-4o: every target has weight 0; only fallbacks can serve it",
          "weir.yaml:6:39: models.odd.targets[0].model: no price for \"my-deployment\"; its calls cost 0 until "
          "prices: names it",
          "weir.yaml:8:23: keys[0].key: shorter than 20 characters; easy to guess, fit for a demo only",
          "weir.yaml:8:39: keys[0].models[0]: key \"k\" may use \"gpt-4\", which is no model here; did you mean "
          "\"gpt-4o\"?"));
}

TEST(Load, WarnsOfAnEmptyHouse) {
  const auto outcome = load("log: {level: info}");
  EXPECT_THAT(texts(outcome.warnings),
              ElementsAre("weir.yaml:1:1: models: none; every request will be answered with model_not_found",
                          "weir.yaml:1:1: keys: none, and no admin_key: nobody can call"));
}

class LoadFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "weir-load-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + '/' + name;
    std::ofstream(path) << text;
    return path;
  }

  std::string folder_;
};

TEST_F(LoadFile, ReadsTlsFilesAndModelFolders) {
  const std::string pem = write("c.pem", "x");
  const std::string text = "server: {tls: {certificate: " + pem + ", key: " + folder_ +
                           "/none.pem}}\nengines: {e: {model: " + folder_ + "/no-model}}\n";
  const std::string file = write("weir.yaml", text);
  auto outcome = load_file(file, known());
  ASSERT_EQ(outcome.mistakes.size(), 1u);
  EXPECT_EQ(outcome.mistakes[0].path, "server.tls.key");
  EXPECT_THAT(outcome.mistakes[0].text(), ::testing::StartsWith(file + ":1:"));
  EXPECT_THAT(texts(outcome.warnings), ::testing::Contains(HasSubstr("there is no folder")));
  write("none.pem", "y");
  outcome = load_file(file, known());
  EXPECT_THAT(texts(outcome.mistakes), IsEmpty());
  EXPECT_EQ(outcome.config->file, file);
}

TEST_F(LoadFile, AsksWhetherTheTlsPairServes) {
  write("c.pem", "certificate");
  write("k.pem", "another's key");
  const std::string file =
      write("weir.yaml", "server: {tls: {certificate: " + folder_ + "/c.pem, key: " + folder_ + "/k.pem}}\n");
  KnownNames names = known();
  std::string asked;
  names.bad_tls = [&](const std::string& certificate, const std::string& key) -> std::optional<std::string> {
    asked = certificate + " " + key;
    return "the key is not the certificate's";
  };
  const auto outcome = load_file(file, names);
  EXPECT_EQ(asked, folder_ + "/c.pem " + folder_ + "/k.pem");
  EXPECT_THAT(texts(outcome.mistakes), ElementsAre(file + ":1:15: server.tls: the key is not the certificate's"));
}

TEST_F(LoadFile, WarnsOfAnExpiredKey) {
  const std::string file = write("weir.yaml", "keys: [{name: old, key: 0123456789abcdef0123, expires: 2020-01-01}]\n");
  EXPECT_THAT(texts(load_file(file, known()).warnings),
              ::testing::Contains(HasSubstr("keys[0].expires: key \"old\" has expired (2020-01-01T00:00:00Z)")));
}

TEST_F(LoadFile, SaysWhyAFileCannotBeRead) {
  EXPECT_THAT(texts(load_file(folder_ + "/none.yaml", known()).mistakes),
              ElementsAre(folder_ + "/none.yaml:1:1: cannot be read: No such file or directory"));
  EXPECT_EQ(load_file(folder_, known()).mistakes.size(), 1u);
  const std::string large = write("large.yaml", std::string(1024 * 1024 + 1, '#'));
  EXPECT_THAT(texts(load_file(large, known()).mistakes), ElementsAre(large + ":1:1: the file is larger than 1 MiB"));
  const std::string empty = write("empty.yaml", "# nothing\n");
  EXPECT_THAT(texts(load_file(empty, known()).mistakes), ElementsAre(empty + ":1:1: the file holds no configuration"));
}

}  // namespace
}  // namespace weir::config
