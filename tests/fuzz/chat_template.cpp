// Chat templates: any source parses or is refused, and renders or fails within its limits, for a conversation with
// tools and one without.
#include "engine/text/chat_template.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using Json = nlohmann::ordered_json;

void run(std::string_view input) {
  static const Json talk = read_json<Json>(
      R"([{"role":"system","content":"s"},{"role":"user","content":"hé"},{"role":"assistant","content":null,
      "tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":{"x":1.5}}}]},
      {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"r"}]}])");
  static const Json tools =
      read_json<Json>(R"([{"type":"function","function":{"name":"f","parameters":{"x":{"type":"string"}}}}])");
  engine::jinja::Limits limits;  // small, so that reaching them is quick
  limits.template_bytes_max = 64 * 1024;
  limits.output_bytes_max = 256 * 1024;
  limits.memory_bytes_max = 4 * 1024 * 1024;
  limits.steps_max = 50'000;
  const auto parsed = engine::ChatTemplate::parse(std::string(input), "fuzz.jinja", limits);
  if (!parsed) return check(!parsed.error().detail.empty(), "a refusal says why");
  for (const bool with_tools : {false, true}) {
    engine::ChatTemplate::Context context{.messages = talk};
    context.bos_token = "<s>";
    context.extra = Json{{"enable_thinking", true}};
    const engine::ChatTemplate::Context tooled{
        .messages = talk, .tools = tools, .documents = tools, .add_generation_prompt = false, .extra = nullptr};
    const auto text = (*parsed)->render(with_tools ? tooled : context);
    if (!text)
      check(!text.error().detail.empty(), "a refusal says why");
    else
      check(text->size() <= limits.output_bytes_max, "the output's limit");
  }
}

}  // namespace

const Target kChatTemplate{
    "chat_template",
    run,
    {"{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ m.content | trim }}\n{% elif m.tool_calls %}"
     "{{ m.tool_calls[0].function | tojson(indent=2) }}{% else %}{{ raise_exception('no') }}{% endif %}{% endfor %}",
     "{%- macro f(x, y=1) -%}{{ x ~ y }}{%- endmacro -%}{% set ns = namespace(n=0) %}{% for i in range(9)[::-1] %}"
     "{% set ns.n = ns.n + i %}{{ f(i) }}{{ loop.index0 }}{% endfor %}{{ ns.n // 2 ** 3 }}{# c #}",
     "{% filter upper %}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(', ') }}"
     "{% endfilter %}{{ '%s' | format(1) }}{{ {'a': [1, 2.5, none]}.items() | list }}{{ 'x' * 100 }}"},
    {"templates/*.jinja"}};

}  // namespace weir::fuzz
