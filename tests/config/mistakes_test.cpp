// Bad configs: the exact line that a person reads for each.
#include "tests/config/support.h"

namespace weir::config {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;

struct Case {
  const char* yaml;
  std::vector<std::string> mistakes;  // without "weir.yaml:"
};

void check(const std::vector<Case>& cases) {
  for (const auto& [yaml, mistakes] : cases) {
    const auto outcome = load(yaml, {{"KEY", "sk-very-secret"}, {"WORD", "hunter2"}, {"NOTHING", ""}});
    std::vector<std::string> wanted;
    for (const auto& mistake : mistakes) wanted.push_back("weir.yaml:" + mistake);
    EXPECT_THAT(texts(outcome.mistakes), ElementsAreArray(wanted)) << yaml;
    EXPECT_EQ(outcome.config == nullptr, !mistakes.empty());
  }
}

TEST(Mistakes, Keys) {
  check({
      {"sevrer: {}\n", {"1:1: sevrer: unknown key; did you mean \"server\"?"}},
      {"server: {lissten: x}\n", {"1:10: server.lissten: unknown key; did you mean \"listen\"?"}},
      {"log:\n  level: info\n  colour: red\n", {"3:3: log.colour: unknown key; known here: level or requests"}},
      {"log: {level: info, level: warn}\n", {"1:20: log.level: is given twice, first at line 1; keep one"}},
      {"accounts:\n  a: {provider: echo}\n  a: {provider: echo}\n",
       {"3:3: accounts.a: is given twice, first at line 2; keep one"}},
      {"log: {level: }\n", {"1:7: log.level: has no value; give it one or remove the key"}},
      {"log: info\n", {"1:6: log: must be a map of keys and values, is a value"}},
      {"log: [info]\n", {"1:6: log: must be a map of keys and values, is a list"}},
      {"[a, b]\n", {"1:1: must be a map of keys and values, is a list"}},
      {"just words\n", {"1:1: must be a map of keys and values, is a value"}},
      {"? [a]\n: b\n", {"1:3: a key must be plain text, is a list"}},
      {"accounts: [a]\n", {"1:11: accounts: must be a map of names, is a list"}},
      {"keys: {a: b}\n", {"1:7: keys: must be a list, is a map; write [a, b] or one \"- a\" a line"}},
  });
}

TEST(Mistakes, Server) {
  check({
      {"server: {listen: 4000}\n",
       {"1:18: server.listen: must be host:port such as 127.0.0.1:4000 or [::1]:4000, is \"4000\""}},
      {"server: {listen: \":4000\"}\n",
       {"1:18: server.listen: must be host:port such as 127.0.0.1:4000 or [::1]:4000, is \":4000\"; write 0.0.0.0:4000 "
        "for "
        "every interface"}},
      {"server: {listen: localhost:70000}\n",
       {"1:18: server.listen: the port must be 0 to 65535, in \"localhost:70000\""}},
      {"server: {threads: many}\n", {"1:19: server.threads: must be auto or a whole number, is \"many\""}},
      {"server: {threads: 0}\n", {"1:19: server.threads: must be ≥ 1, is 0"}},
      {"server: {threads: [1]}\n", {"1:19: server.threads: must be a whole number, is a list"}},
      {"server: {drain_timeout: 30}\n",
       {"1:25: server.drain_timeout: must be a duration such as 250ms, 10s or 1d, is \"30\"; write 30s for seconds"}},
      {"server: {drain_timeout: 2d}\n", {"1:25: server.drain_timeout: must be ≤ 1d, is 2d"}},
      {"server: {tls: {certificate: c.pem}}\n", {"1:10: server.tls: needs key: the PEM file of the private key"}},
      {"server: {tls: {certificate: '', key: k.pem}}\n",
       {"1:29: server.tls.certificate: must be the path of a PEM file, is empty"}},
      {"server: {limits: {body: 32MX}}\n",
       {"1:25: server.limits.body: must be a size such as 64KiB, 32MiB or 2GiB, is \"32MX\""}},
      {"server: {limits: {header: 2MiB}}\n", {"1:27: server.limits.header: must be ≤ 1MiB, is 2MiB"}},
      {"server: {limits: {idle_timeout: 0s}}\n", {"1:33: server.limits.idle_timeout: must be ≥ 1ms, is 0s"}},
      {"store: {url: 'postgresql://u:hunter2@db/weir'}\n",
       {"1:14: store.url: PostgreSQL is not available in this version; write sqlite:weir.db"}},
      {"store: {url: weir.db}\n",
       {"1:14: store.url: must be sqlite: and the path of the file, such as sqlite:weir.db"}},
      {"log: {level: inof}\n",
       {"1:14: log.level: must be debug, info, warn or error, is \"inof\"; did you mean \"info\"?"}},
      {"log: {requests: 2}\n", {"1:17: log.requests: must be true or false, is \"2\""}},
      {"health: {cooldown: 1m, cooldown_max: 30s}\n", {"1:38: health.cooldown_max: must be ≥ cooldown (1m), is 30s"}},
      {"health: {day_cooldown_max: 1m}\n", {"1:28: health.day_cooldown_max: must be ≥ cooldown_max (5m), is 1m"}},
      {"metrics: {series: 1}\n", {"1:19: metrics.series: must be ≥ 10, is 1"}},
      {"admin_key: [a]\n", {"1:12: admin_key: must be a credential as text, is a list"}},
      {"admin_key: a b\n",
       {"1:12: admin_key: must be printable ASCII without spaces or line ends; check what was pasted"}},
      {"shared_state: {url: redis://x}\n",
       {"1:15: shared_state: sharing limits and budgets between gateways is not available in this version; remove this "
        "key"}},
      {"model_list: []\nlitellm_settings: {}\n",
       {"1:13: model_list: reading a LiteLLM config is not available in this version; write accounts: and models: "
        "instead"}},
  });
}

TEST(Mistakes, AccountsAndEngines) {
  check({
      {"accounts:\n  a: {}\n", {"2:3: accounts.a: needs provider: one of openai, echo"}},
      {"accounts:\n  a: {provider: opnai}\n",
       {"2:17: accounts.a.provider: unknown provider \"opnai\"; this version has openai, echo; did you mean "
        "\"openai\"?"}},
      {"accounts: {a: {provider: openai, base_url: ftp://x}}\n",
       {"1:44: accounts.a.base_url: must begin with https:// or http://, is \"ftp://x\""}},
      {"accounts: {a: {provider: openai, base_url: 'https://u:hunter2@x'}}\n",
       {"1:44: accounts.a.base_url: must not hold a user or password; put the credential into api_key"}},
      {"accounts: {a: {provider: openai, region: us}}\n",
       {"1:34: accounts.a.region: unknown key; known here: provider, base_url, api_key, limits, connect_timeout, "
        "idle_connections, idle_connection_timeout, drop_params, organization or project"}},
      {"accounts: {a: {provider: echo, dealy: 1s}}\n",
       {"1:32: accounts.a.dealy: unknown key; did you mean \"delay\"?"}},
      {"accounts: {a: {provider: openai, organization: 'a b'}}\n",
       {"1:48: accounts.a.organization: must be printable ASCII without spaces or line ends; check what was pasted"}},
      {"accounts: {a: {provider: openai, limits: {rpm: 0, tpm: -3, concurrency: 99999999999999999999}}}\n",
       {"1:48: accounts.a.limits.rpm: must be ≥ 1, is 0", "1:56: accounts.a.limits.tpm: must be ≥ 1, is -3",
        "1:73: accounts.a.limits.concurrency: must be a whole number, is \"99999999999999999999\""}},
      {"accounts:\n  a/b: {provider: echo}\n", {"2:3: accounts.a/b: the name must not hold '/'"}},
      {"accounts:\n  'a b': {provider: echo}\n",
       {"2:3: accounts.a b: the name must not hold spaces or control characters"}},
      {"engines: {e: {}}\n",
       {"1:11: engines.e: needs model: builtin:weir-tiny, or the folder of a Hugging Face model"}},
      {"engines: {e: {model: builtin:tiny}}\n",
       {"1:22: engines.e.model: must be builtin:weir-tiny or the folder of a Hugging Face model, is \"builtin:tiny\""}},
      {"engines: {e: {model: m, device: cuda, quantization: fp9}}\n",
       {"1:53: engines.e.quantization: must be none, int8, fp8 or int4, is \"fp9\"; did you mean \"fp8\"?"}},
      {"engines: {e: {model: m, device: gpu}}\n",
       {"1:33: engines.e.device: must be auto, cpu, cuda or cuda:N, is \"gpu\"; did you mean \"cpu\"?"}},
      {"engines: {e: {model: m, device: 'cuda:x'}}\n",
       {"1:33: engines.e.device: must be auto, cpu, cuda or cuda:N, is \"cuda:x\"; did you mean \"cuda\"?"}},
      {"engines: {e: {model: m, kv_cache: {memory: 1KiB, blocksize: 1}}}\n",
       {"1:44: engines.e.kv_cache.memory: must be ≥ 1MiB, is 1KiB",
        "1:50: engines.e.kv_cache.blocksize: unknown key; did you mean \"block_size\"?"}},
      {"engines: {e: {model: m, kv_cache: {host_memory: much}}}\n",
       {"1:49: engines.e.kv_cache.host_memory: must be a size such as 64KiB, 32MiB or 2GiB, is \"much\""}},
      {"engines: {e: {model: m, device: cpu, kv_cache: {host_memory: 8GiB}}}\n",
       {"1:62: engines.e.kv_cache.host_memory: is for what a GPU gives up; on the CPU the blocks lie in that memory "
        "already: "
        "raise memory instead"}},
      {"engines: {e: {model: m, kv_cache: {prefix: false, host_memory: 8GiB}}}\n",
       {"1:64: engines.e.kv_cache.host_memory: keeps prefixes, and prefix: false keeps none; leave out one of the "
        "two"}},
  });
}

constexpr const char* kAccount = "accounts: {openai-a: {provider: openai}}\n";

TEST(Mistakes, Models) {
  std::vector<Case> cases = {
      {"models: {m: {}}\n", {"2:10: models.m: needs targets: a list such as [{account: NAME, model: NAME}]"}},
      {"models: {m: {targets: []}}\n", {"2:23: models.m.targets: is empty; a model needs at least one target"}},
      {"models: {m: {targets: openai-a}}\n",
       {"2:23: models.m.targets: must be a list, is a value; write [a, b] or one \"- a\" a line"}},
      {"models:\n  gpt-4o:\n    targets:\n      - {account: openai-a}\n      - {account: openai-a, weight: -3}\n",
       {"6:37: models.gpt-4o.targets[1].weight: must be ≥ 0, is -3"}},
      {"models: {m: {targets: [{account: openai-a, weight: 1000001}]}}\n",
       {"2:52: models.m.targets[0].weight: must be ≤ 1000000, is 1000001"}},
      {"models: {m: {targets: [{account: openai-b}]}}\n",
       {"2:34: models.m.targets[0].account: there is no \"openai-b\" under accounts; did you mean \"openai-a\"?"}},
      {"models: {m: {targets: [{engine: tiny}]}}\n",
       {"2:33: models.m.targets[0].engine: there is no \"tiny\" under engines; define it, or name one that is there"}},
      {"models: {m: {targets: [{model: x}]}}\n",
       {"2:24: models.m.targets[0]: needs account: a name under accounts, or engine: a name under engines"}},
      {"engines: {e: {model: builtin:weir-tiny}}\nmodels: {m: {targets: [{engine: e, account: openai-a}]}}\n",
       {"3:24: models.m.targets[0]: has account and engine; keep one of them"}},
      {"engines: {e: {model: builtin:weir-tiny}}\nmodels: {m: {targets: [{engine: e, model: x}]}}\n",
       {"3:43: models.m.targets[0].model: an engine serves one model; remove this key"}},
      {"models: {m: {targets: [{acount: openai-a}]}}\n",
       {"2:24: models.m.targets[0]: needs account: a name under accounts, or engine: a name under engines",
        "2:25: models.m.targets[0].acount: unknown key; did you mean \"account\"?"}},
      {"models: {m: {target: [{account: openai-a}]}}\n",
       {"2:10: models.m: needs targets: a list such as [{account: NAME, model: NAME}]",
        "2:14: models.m.target: unknown key; did you mean \"targets\"?"}},
      {"models: {m: {targets: [{account: openai-a}], strategy: wieghted}}\n",
       {"2:56: models.m.strategy: must be weighted or least_busy, is \"wieghted\"; did you mean \"weighted\"?"}},
      {"models: {m: {targets: [{account: openai-a}], timeout: {first_token: 10s, total: 5s}}}\n",
       {"2:69: models.m.timeout.first_token: must be ≤ total (5s), is 10s"}},
      {"models: {m: {targets: [{account: openai-a}], timeout: {total: 0s}, retries: 101, max_output_tokens: 0}}\n",
       {"2:63: models.m.timeout.total: must be ≥ 1ms, is 0s", "2:77: models.m.retries: must be ≤ 100, is 101",
        "2:101: models.m.max_output_tokens: must be ≥ 1, is 0"}},
      {"models: {m*: {targets: [{account: openai-a}]}}\n", {"2:10: models.m*: the name must not hold '*'"}},
      {"models: {gpt-4o: {targets: [{account: openai-a}]}, m: {targets: [{account: openai-a}], fallbacks: [gpt4o]}}\n",
       {"2:100: models.m.fallbacks[0]: there is no \"gpt4o\" under models; did you mean \"gpt-4o\"?"}},
      {"models: {m: {targets: [{account: openai-a}], fallbacks: [m]}}\n",
       {"2:58: models.m.fallbacks[0]: fallbacks go in a circle: m -> m; remove one of them"}},
      {"models:\n  a: {targets: [{account: openai-a}], fallbacks: [b]}\n  b: {targets: [{account: openai-a}], "
       "fallbacks: "
       "[c]}\n  c: {targets: [{account: openai-a}], fallbacks: [d, b]}\n  d: {targets: [{account: openai-a}]}\n",
       {"5:54: models.c.fallbacks[1]: fallbacks go in a circle: b -> c -> b; remove one of them"}},
  };
  std::vector<std::string> texts_kept;
  texts_kept.reserve(cases.size());
  for (auto& each : cases) each.yaml = texts_kept.emplace_back(kAccount + std::string(each.yaml)).c_str();
  check(cases);
}

TEST(Mistakes, ClientKeysAndPrices) {
  check({
      {"keys: [{}]\n",
       {"1:8: keys[0]: needs name: what the ledger and the metrics show",
        "1:8: keys[0]: needs key: what the client sends, such as ${TEAM_KEY}"}},
      {"keys: [{name: a, key: ''}]\n", {"1:23: keys[0].key: is empty; give the key a value or remove its entry"}},
      {"keys:\n  - {name: a, key: x}\n  - {name: a, key: x}\n",
       {"3:12: keys[1].name: \"a\" is the name of an earlier key; names are unique",
        "3:20: keys[1].key: is the same key as that of \"a\"; give each its own"}},
      {"admin_key: x\nkeys: [{name: a, key: x}]\n",
       {"2:23: keys[0].key: is the same as admin_key; a client key must not open the management API"}},
      {"keys: [{name: a, key: x, models: gpt-4o}]\n",
       {"1:34: keys[0].models: must be a list, is a value; write [a, b] or one \"- a\" a line"}},
      {"keys: [{name: a, key: x, budget: {per: 1d}}]\n",
       {"1:26: keys[0].budget: needs usd: the limit in dollars, such as 5.00"}},
      {"keys: [{name: a, key: x, budget: {usd: 0, per: monthly}}]\n",
       {"1:40: keys[0].budget.usd: must be dollars above 0, with at most nine decimals, such as 5.00, is \"0\"",
        "1:48: keys[0].budget.per: must be a duration such as 250ms, 10s or 1d, is \"monthly\""}},
      {"keys: [{name: a, key: x, budget: {usd: 1, per: 1500ms}}]\n",
       {"1:48: keys[0].budget.per: must be whole seconds, is 1s500ms"}},
      {"keys: [{name: a, key: x, expires: tomorrow}]\n",
       {"1:35: keys[0].expires: must be a date such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z, is "
        "\"tomorrow\""}},
      {"prices: {m: {input: 1}}\n",
       {"1:10: prices.m: needs output: dollars a million output tokens; 0 for an embedding model"}},
      {"prices: {m: {input: -1, output: free}}\n",
       {"1:21: prices.m.input: must be dollars a million tokens, ≥ 0 and with at most six decimals, such as 0.15, is "
        "\"-1\"",
        "1:33: prices.m.output: must be dollars a million tokens, ≥ 0 and with at most six decimals, such as 0.15, is "
        "\"free\""}},
      {"prices: {m: {input: 1, output: 1, above: [{tokens: 9, input: 2}, {tokens: 9, input: 1, output: 1}]}}\n",
       {"1:43: prices.m.above[0]: needs output: dollars a million output tokens; 0 for an embedding model",
        "1:66: prices.m.above[1]: its tokens must be more than those of the one before"}},
      {"prices: {m: {input: 1, output: 1, web_search: x}}\n",
       {"1:47: prices.m.web_search: must be dollars a thousand searches, ≥ 0 and with at most six decimals, such as "
        "10, "
        "is \"x\""}},
      {"prices: {m: {input: 1, output: 1, above: {tokens: 9}}}\n",
       {"1:42: prices.m.above: must be a list, is a map; write [a, b] or one \"- a\" a line"}},
      {"prices: {m: {input: 1, output: 1, tiers: {flex: half, a+b: 2, priority: {input: 2, putput: 1}}}}\n",
       {"1:49: prices.m.tiers.flex: must be a multiple of the price, ≥ 0 and with at most six decimals, such as 0.5, "
        "or a map of prices, is \"half\"",
        "1:55: prices.m.tiers.a+b: the name must not hold '+'",
        "1:63: prices.m.tiers.priority: needs output: dollars a million output tokens; 0 for an embedding model",
        "1:84: prices.m.tiers.priority.putput: unknown key; did you mean \"output\"?"}},
  });
}

TEST(Mistakes, Environment) {
  check({
      {"admin_key: ${MISSING}\n",
       {"1:12: admin_key: environment variable MISSING is not set; export it, or write ${MISSING:-default}"}},
      {"accounts: {a: {provider: echo}}\nmodels: {m: {targets: [{account: ${MISSING}}]}}\n",
       {"2:34: models.m.targets[0].account: environment variable MISSING is not set; export it, or write "
        "${MISSING:-default}"}},
      {"log: {level: '${'}\n",
       {"1:14: log.level: malformed environment reference; write ${NAME} or ${NAME:-default}, and $${ for a literal "
        "${"}},
      {"log: {level: '${1A}'}\n",
       {"1:14: log.level: malformed environment reference; write ${NAME} or ${NAME:-default}, and $${ for a literal "
        "${"}},
      {"log: {level: '${A:-${B}}'}\n",
       {"1:14: log.level: malformed environment reference; write ${NAME} or ${NAME:-default}, and $${ for a literal "
        "${"}},
      {"server: {threads: ${WORD}}\n",
       {"1:19: server.threads: must be auto or a whole number, is the value of \"${WORD}\""}},
      {"server: {listen: ${WORD}}\n",
       {"1:18: server.listen: must be host:port such as 127.0.0.1:4000, is the value of \"${WORD}\""}},
      {"accounts: {a: {provider: ${WORD}}}\n",
       {"1:26: accounts.a.provider: unknown provider the value of \"${WORD}\"; this version has openai, echo"}},
  });
}

TEST(Mistakes, NoSecretIsEverShown) {
  const char* everywhere[] = {
      "server: {listen: $V, threads: $V, drain_timeout: $V, tls: {certificate: $V, key: $V}, limits: {body: $V}}",
      "store: {url: $V, journal: $V}",
      "log: {level: $V, requests: $V}",
      "accounts: {a: {provider: openai, base_url: $V, limits: {rpm: $V}, connect_timeout: $V, organization: $V}}",
      "accounts: {a: {provider: $V}}",
      "accounts: {a: $V}",
      "engines: {a: {model: m, device: $V, quantization: $V, kv_cache: {memory: $V}, threads: $V}}",
      "accounts: {a: {provider: echo}}\nmodels: {m: {strategy: $V, targets: [{account: $V, weight: $V}], fallbacks: "
      "[$V]}}",
      "keys: [{name: $V, key: 'a b', budget: {usd: $V, per: $V}, expires: $V, blocked: $V}]",
      "prices: {m: {input: $V, output: $V}}",
      "prices: {m: {input: 1, output: 1, above: [{tokens: $V}], tiers: {flex: $V, $V: x, b: [$V]}}}",
      "server: $V",
      "keys: [{name: $V, key: 0123456789abcdef0123}, {name: b, key: 0123456789abcdef0123}]",
      "keys: [{name: $V, key: 0123456789abcdef0123, models: [$V, nope]}]\nnonsense: 1",
      "accounts: {v: {provider: vertex, project: p, credentials: $V}}",
  };
  for (const std::string text : everywhere) {
    for (const std::string value : {"${SECRET}", "sk-hunter2"}) {
      std::string yaml = text;
      for (size_t at = yaml.find("$V"); at != std::string::npos; at = yaml.find("$V", at)) yaml.replace(at, 2, value);
      const auto outcome = load(yaml, {{"SECRET", "hunter2"}});
      EXPECT_FALSE(outcome.mistakes.empty()) << yaml;
      for (const auto& mistake : outcome.mistakes) EXPECT_THAT(mistake.text(), Not(HasSubstr("hunter2"))) << yaml;
      for (const auto& warning : outcome.warnings) EXPECT_THAT(warning.text(), Not(HasSubstr("hunter2"))) << yaml;
    }
  }
}

TEST(Mistakes, WhatStandsWhereAKeyCouldIsNotShown) {
  for (const char* yaml : {"keys: [hunter2]", "keys: hunter2", "keys: [{name: a, key: [hunter2]}]",
                           "admin_key: [hunter2]", "keys: [{sk-hunter2: 1}]", "keys: [{name: a, sk-hunter2: 1}]"}) {
    const auto outcome = load(yaml);
    EXPECT_FALSE(outcome.mistakes.empty()) << yaml;
    for (const auto& mistake : outcome.mistakes) EXPECT_THAT(mistake.text(), Not(HasSubstr("hunter2"))) << yaml;
  }
}

TEST(Mistakes, AMalformedReferenceHidesNoOther) {
  const std::string malformed =
      "malformed environment reference; write ${NAME} or ${NAME:-default}, and $${ for a literal ${";
  check({
      {"accounts: {a: {provider: echo, api_key: ${1BAD}, nope: 1}}\nlog: {levl: info}\n",
       {"1:41: accounts.a.api_key: " + malformed,
        "1:50: accounts.a.nope: unknown key; known here: provider, base_url, api_key, limits, connect_timeout, "
        "idle_connections, idle_connection_timeout, drop_params, delay or chunk_delay",
        "2:7: log.levl: unknown key; did you mean \"level\"?"}},
      {"accounts: {a: {provider: echo, api_key: ${A B}}}\n", {"1:41: accounts.a.api_key: " + malformed}},
      {"accounts: {a: {provider: echo, api_key: ${A:-{}}}}\n", {"1:41: accounts.a.api_key: " + malformed}},
      {"accounts: {a: {provider: echo, api_key: ${, drop_params: maybe}}\n",
       {"1:41: accounts.a.api_key: " + malformed, "1:58: accounts.a.drop_params: must be true or false, is \"maybe\""}},
  });
}

TEST(Mistakes, ListenersApart) {
  const std::string same =
      "metrics.listen: is the same address as server.listen; give it another port, or remove it: /metrics is then on "
      "server.listen";
  check({
      {"metrics: {listen: 127.0.0.1:4000}\n", {"1:19: " + same}},
      {"server: {listen: 0.0.0.0:1}\nmetrics: {listen: 127.0.0.1:1}\n", {"2:19: " + same}},
      {"server: {listen: 127.0.0.1:1}\nmetrics: {listen: 127.0.0.2:1}\n", {}},
      {"server: {listen: 127.0.0.1:0}\nmetrics: {listen: 127.0.0.1:0}\n", {}},
  });
}

TEST(Mistakes, LimitsThatContradictEachOther) {
  check({
      {"server: {limits: {body: 8MiB, bodies: 4MiB}}\n",
       {"1:39: server.limits.bodies: must be ≥ body (8MiB), is 4MiB"}},
      {"accounts: {a: {provider: echo}}\nmodels: {m: {targets: [{account: a}], timeout: {attempt: 3m, total: 2m}}}\n",
       {"2:58: models.m.timeout.attempt: must be ≤ total (2m), is 3m"}},
  });
  EXPECT_EQ(good("server: {limits: {body: 2GiB}}")->server.limits.bodies_bytes_max, uint64_t{2} << 30);
}

TEST(Warnings, KeysThatOpenNothing) {
  EXPECT_THAT(texts(load("keys: [{name: a, key: 0123456789abcdef0123, models: []}]").warnings),
              ::testing::Contains(HasSubstr("keys[0].models: is empty, so key \"a\" may use no model")));
}

TEST(Mistakes, ComeInTheOrderOfTheFileAndAreCapped) {
  std::string yaml = "models: {m: {targets: [{account: x}]}}\n";
  for (int i = 0; i < 1000; ++i) yaml += "unknown" + std::to_string(i) + ": 1\n";
  const auto outcome = load(yaml);
  ASSERT_EQ(outcome.mistakes.size(), 201u);
  for (size_t i = 1; i < outcome.mistakes.size(); ++i)
    EXPECT_LE(outcome.mistakes[i - 1].line, outcome.mistakes[i].line);
  EXPECT_THAT(outcome.mistakes.back().message, HasSubstr("mend the ones above first"));
}

}  // namespace
}  // namespace weir::config
