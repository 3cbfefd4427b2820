// The template language: some four hundred snippets against what the real Jinja2 makes of them, and templates that try
// to break their renderer: none may crash it, hang it, or use memory without bound.
#include "config/base/rng.h"
#include "engine/text/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace weir::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::chrono::system_clock::time_point kNow{std::chrono::seconds{1735787045}};

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// The rendered text, or the error of parsing or rendering.
Result<std::string> render(const std::string& source, const ordered_json& context = ordered_json::object(),
                           const jinja::Limits& limits = {}) {
  auto parsed = ChatTemplate::parse(source, "snippet", limits);
  if (!parsed.ok()) return parsed.error();
  const ordered_json messages = context.contains("messages") ? context["messages"] : ordered_json();
  return (*parsed)->render({.messages = messages,
                            .add_generation_prompt = false,
                            .bos_token = "<s>",
                            .eos_token = "</s>",
                            .extra = context,
                            .now = kNow});
}

std::string outcome(const std::string& source, const ordered_json& context = ordered_json::object(),
                    const jinja::Limits& limits = {}) {
  auto text = render(source, context, limits);
  return text.ok() ? *text : "error: " + text.error().detail;
}

ErrorKind failure(const std::string& source, const jinja::Limits& limits = {}) {
  auto text = render(source, ordered_json::object(), limits);
  EXPECT_FALSE(text.ok()) << source.substr(0, 200);
  return text.ok() ? ErrorKind::internal : text.error().kind;
}

std::string repeated(const std::string& unit, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += unit;
  return out;
}

TEST(Jinja, MatchesTheRealJinja2) {
  std::ifstream lines(fs::path(WEIR_SOURCE_DIR) / "tests" / "engine" / "jinja_cases.jsonl");
  ASSERT_TRUE(lines) << "tests/engine/jinja_cases.jsonl is missing";
  int cases = 0;
  for (std::string line; std::getline(lines, line); ++cases) {
    const ordered_json row = read_json<ordered_json>(line);
    const auto source = row["template"].get<std::string>();
    const auto got = render(source, row.value("context", ordered_json::object()));
    if (row.contains("expected")) {
      ASSERT_TRUE(got.ok()) << source << "\n" << got.error().detail;
      EXPECT_EQ(*got, row["expected"].get<std::string>()) << source;
      continue;
    }
    ASSERT_FALSE(got.ok()) << source << "\n" << *got;
    const auto message = row["error"].get<std::string>();
    const std::string raised = "TemplateError: ";
    if (row["group"] == "syntax") {
      EXPECT_EQ(got.error().kind, ErrorKind::config) << source;
    } else if (message.starts_with(raised)) {
      EXPECT_EQ(got.error().detail, message.substr(raised.size())) << source;
    } else {
      EXPECT_TRUE(got.error().detail.ends_with(": " + message)) << source << "\n"
                                                                << got.error().detail << "\n"
                                                                << message;
    }
  }
  std::printf("jinja snippets %d\n", cases);
  EXPECT_GE(cases, 370);
}

TEST(Jinja, ErrorsTellTheirPlace) {
  EXPECT_EQ(outcome("a\n {{ x.y }}"), "error: snippet:2:6: UndefinedError: 'x' is undefined");
  EXPECT_EQ(outcome("a\n\n{% if %}"),
            "error: snippet:3:7: TemplateSyntaxError: Expected an expression, got 'end of "
            "statement block'");
  EXPECT_EQ(outcome("{% for x in [1] %}"),
            "error: snippet:1:4: TemplateSyntaxError: Unexpected end of template. Jinja "
            "was looking for the end of this 'for' block.");
  EXPECT_EQ(outcome("{{ '\xff' }}"), "error: snippet: the template is not valid UTF-8");
  EXPECT_EQ(outcome("ok\n{{ raise_exception('No system role') }}"), "error: No system role");
  EXPECT_EQ(failure("{{ raise_exception('x') }}"), ErrorKind::bad_request);
  EXPECT_EQ(failure("{{ 1 + none }}"), ErrorKind::bad_request);
  EXPECT_EQ(failure("{{ 1 + }}"), ErrorKind::config);
}

TEST(Jinja, EndlessWorkEnds) {
  const std::string nested = "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}";
  const jinja::Limits limits{.steps_max = 1'000'000};
  EXPECT_EQ(failure(nested, limits), ErrorKind::too_large);
  EXPECT_EQ(failure("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}"), ErrorKind::bad_request);
  EXPECT_EQ(failure("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"), ErrorKind::bad_request);
  EXPECT_EQ(failure("{% macro f(n) %}{% call f(n) %}{% endcall %}{{ caller }}{% endmacro %}{{ f(1) }}"),
            ErrorKind::bad_request);
  // A value that shares its parts has exponentially many of them.
  const std::string shared =
      "{% set ns = namespace(l=[1]) %}{% for i in range(150) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}";
  EXPECT_EQ(failure(shared + "{{ ns.l }}", limits), ErrorKind::too_large);
  EXPECT_EQ(failure(shared + "{{ ns.l|tojson }}", limits), ErrorKind::too_large);
  EXPECT_EQ(failure("{% set ns = namespace(l=(1,)) %}{% for i in range(150) %}{% set ns.l = (ns.l, ns.l) %}{% endfor %}"
                    "{{ {ns.l: 1} }}",
                    limits),
            ErrorKind::too_large);
}

TEST(Jinja, MemoryAndOutputAreBounded) {
  const jinja::Limits limits{.output_bytes_max = 1 << 20, .memory_bytes_max = 4 << 20};
  const char* const greedy[] = {
      "{{ 'x' * 1000000000000 }}",
      "{{ [1] * 1000000000000 }}",
      "{{ [[]] * 9223372036854775807 }}",
      "{{ 'x'.center(1000000000) }}",
      "{{ 'x'.zfill(1000000000) }}",
      "{{ '%1000000000s' % 'x' }}",
      "{{ '%0*d' % (1000000000, 1) }}",
      "{{ '{:>1000000000}'.format('x') }}",
      "{{ '{:1000000000d}'.format(1) }}",
      "{{ '%.1000000000f' % 1.5 }}",
      "{{ 'a\nb'|indent(1000000000) }}",
      "{{ [1]|tojson(indent=1000000000) }}",
      "{{ [1]|batch(1000000000, 'x')|list }}",
      "{{ [1]|slice(1000000000)|list }}",
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s='xx') %}{% for i in range(99) %}{% set ns.s = ns.s.replace('x', ns.s) %}{% endfor %}",
      "{% set ns = namespace(s='xx') %}{% for i in range(99) %}{% set ns.s = ns.s.join(ns.s) %}{% endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
      "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l, i] %}{% endfor %}",
      "{% for i in range(99999) %}{{ 'some text to fill the output' }}{% endfor %}",
      "{% for i in range(99999) %}{% set x = namespace(a=i) %}{% endfor %}",
      "{% for i in range(99999) %}{% macro f() %}{% endmacro %}{% endfor %}",
      "{% macro f(n) %}{{ 'x' * 500000 }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}",
  };
  for (const char* source : greedy) EXPECT_EQ(failure(source, limits), ErrorKind::too_large) << source;
  EXPECT_EQ(failure("{{ range(1000000) }}"), ErrorKind::bad_request);
  EXPECT_EQ(failure("{{ range(-9223372036854775807, 9223372036854775807, 1) }}"), ErrorKind::bad_request);
  EXPECT_EQ(failure(std::string(2000, 'x'), {.template_bytes_max = 1000}), ErrorKind::config);
}

TEST(Jinja, DeepNestingIsRefused) {
  EXPECT_EQ(failure("{{ " + repeated("(", 100000) + "1" + repeated(")", 100000) + " }}"), ErrorKind::config);
  EXPECT_EQ(failure("{{ " + repeated("[", 100000) + repeated("]", 100000) + " }}"), ErrorKind::config);
  EXPECT_EQ(failure("{{ " + repeated("not ", 100000) + "1 }}"), ErrorKind::config);
  EXPECT_EQ(failure("{{ " + repeated("-", 1) + repeated(" -", 100000) + "1 }}"), ErrorKind::config);
  EXPECT_EQ(failure("{{ " + repeated("1 if 0 else ", 100000) + "1 }}"), ErrorKind::config);
  EXPECT_EQ(failure(repeated("{% if 1 %}", 50000)), ErrorKind::config);
  EXPECT_EQ(failure("{% for " + repeated("(", 50000) + "a in b %}"), ErrorKind::config);
  // A long chain is not nested in the source, but its evaluation is.
  EXPECT_EQ(failure("{{ 1" + repeated(" + 1", 100000) + " }}"), ErrorKind::bad_request);
  EXPECT_EQ(failure("{{ 1" + repeated("|string", 100000) + " }}"), ErrorKind::bad_request);
  EXPECT_EQ(failure("{{ x" + repeated("()", 100000) + " }}"), ErrorKind::bad_request);
  EXPECT_EQ(outcome("{{ 1" + repeated(" + 1", 400) + " }}"), "401");

  ordered_json deep = 1;
  for (int i = 0; i < 1000; ++i) deep = ordered_json::array({deep});
  EXPECT_FALSE(render("{{ deep }}", {{"deep", deep}}).ok());
}

TEST(Jinja, ThingsThatReferToThemselvesAreFreed) {  // leaks are the address sanitizer's to find
  EXPECT_EQ(outcome("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.l = [ns] %}ok"), "ok");
  EXPECT_EQ(outcome("{% for i in [1] %}{% macro f() %}{{ i }}{% endmacro %}{% endfor %}ok"), "ok");
  EXPECT_EQ(outcome("{% set ns = namespace() %}{% for i in [1] %}{% set ns.l = loop %}{{ loop.changed(loop) }}"
                    "{% endfor %}{{ ns.l.changed(ns.l) }}"),
            "TrueTrue");
  EXPECT_EQ(outcome("{% macro f() %}{% set ns.c = caller %}{% endmacro %}{% set ns = namespace() %}"
                    "{% call f() %}{{ ns.c }}{% endcall %}{{ ns.c() is string }}"),
            "True");
  EXPECT_NE(outcome("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}").find("RecursionError"),
            std::string::npos);
}

TEST(Jinja, NothingOfTheHostIsReachable) {
  for (const char* source : {"{{ ''.__class__.__mro__ }}", "{{ [].__class__.__base__.__subclasses__() }}",
                             "{{ raise_exception.__globals__.x }}", "{{ namespace.__init__.__globals__.x }}",
                             "{{ '{0.__class__.__mro__}'.format('') }}", "{{ ''|attr('__class__')|attr('__mro__') }}",
                             "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}"})
    EXPECT_FALSE(render(source).ok()) << source;
}

/// A change of the kind that breaks parsers: bytes dropped, doubled, replaced, moved, or the end cut off.
std::string mutated(std::string text, Rng& rng) {
  static constexpr std::string_view kPieces[] = {
      "{%", "%}",          "{{",           "}}",         "{#", "#}",          "-",      "(",    ")",    "[",    "]",
      "|",  "'",           "\"",           ".",          "~",  " if ",        " else ", " in ", " is ", "not ", "\\",
      "\n", "{% endif %}", "{% endfor %}", "{% else %}", "0",  "99999999999", "\xc3"};
  const auto below = [&](size_t bound) { return static_cast<size_t>(rng.next() % bound); };
  for (size_t change = 1 + below(2); change > 0 && !text.empty(); --change) {
    const size_t at = below(text.size());
    const size_t length = std::min(text.size() - at, 1 + below(8));
    switch (below(9)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, text.substr(at, length));
        break;
      case 2:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      case 3:
        text.insert(below(text.size()), text.substr(at, length));
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}

TEST(Jinja, MutatedTemplatesNeverBreakTheRenderer) {
  std::vector<std::string> seeds = {
      "{% for m in messages %}{{ '<|' + m.role + '|>' + m['content']|trim }}{% if loop.last %}x{% endif %}{% endfor %}",
      "{% macro f(a, b=1) %}{{ a ~ b }}{{ caller() if caller }}{% endmacro %}{% call f(messages[0]) %}z{% endcall %}",
      "{% set ns = namespace(i=0) %}{% for k, v in {'a': [1.5, none]}.items() %}{% set ns.i = ns.i + 1 %}{{ v|tojson }}"
      "{% else %}{% raw %}{{ x }}{% endraw %}{% endfor %}{{ '%5s' % ns.i }}{{ "
      "messages[::-1]|map(attribute='role')|list }}",
  };
  const fs::path real = fs::path(WEIR_SOURCE_DIR) / ".." / "shared" / "data" / "templates";
  if (fs::exists(real))
    for (const auto& entry : fs::directory_iterator(real))
      if (entry.path().extension() == ".jinja") seeds.push_back(read(entry.path()));
  const ordered_json messages = read_json<ordered_json>(
      R"([{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"é猫"}]},
          {"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}}]},
          {"role":"tool","content":"r"},{"role":"user","content":"u"}])");
  const jinja::Limits limits{.output_bytes_max = 1 << 20, .memory_bytes_max = 16 << 20, .steps_max = 200'000};
  const char* rounds_asked = std::getenv("WEIR_FUZZ_ROUNDS");
  const int rounds = rounds_asked ? std::atoi(rounds_asked) : 600;
  Rng rng(20250102);
  int rendered = 0;
  for (int i = 0; i < rounds; ++i) {
    const std::string source = mutated(seeds[static_cast<size_t>(rng.next() % seeds.size())], rng);
    const auto text = render(source, {{"messages", messages}}, limits);
    rendered += text.ok();
  }
  std::printf("mutated templates %d, of which %d still rendered\n", rounds, rendered);
  EXPECT_GT(rendered, 0);
}

}  // namespace
}  // namespace weir::engine
