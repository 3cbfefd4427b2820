"""Answers of the in-process engine that have a form: with the official client, through every protocol, and whatever the
model would rather say. Drawn hot, so that a model's answer is a walk at random through the schema; what comes is judged
by python-jsonschema."""
import enum
import json
import re
import shutil

import jsonschema
import openai
import pydantic
import pytest

from conftest import DATA, KEY, ROOT

CONFIG = """
admin_key: admin-0123456789abcdef
keys:
  - {name: tester, key: %s, models: ["*"]}
engines:
  tiny: {model: "builtin:weir-tiny", kv_cache: {memory: 32MiB}, max_sequences: 8, queue: 64}
%s
models:
  tiny: {targets: [{engine: tiny}]}
%s
"""
STORIES = DATA / "weights/stories260K-hf"
PERSON = {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 130},
    "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}},
    "required": ["name", "age", "tags"], "additionalProperties": False}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from conftest import Weir
    there = STORIES.is_dir()
    weir = Weir(tmp_path_factory.mktemp("structured"), CONFIG % (
        KEY, f"  stories: {{model: {STORIES}}}" if there else "",
        "  stories: {targets: [{engine: stories}]}" if there else ""))
    yield weir
    weir.stop()


@pytest.fixture
def client(served):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key=KEY, max_retries=0)


def form(schema):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def answer(served, schema, model="tiny", **fields):
    status, _, body = served.chat(model, "Tell me.", response_format=form(schema), **fields)
    assert status == 200, body
    return json.loads(body)["choices"]


def written(served, schema, model, **fields):
    """How an answer of at most 200 tokens ends, and its text; of a model without a chat template, a completion's."""
    if model == "tiny":
        choice = answer(served, schema, max_tokens=200, **fields)[0]
        return choice["finish_reason"], choice["message"]["content"]
    status, _, body = served.request("POST", "/v1/completions", {
        "model": model, "prompt": "Once upon a time", "max_tokens": 200, "structured_outputs": {"json": schema}, **fields})
    assert status == 200, body
    choice = json.loads(body)["choices"][0]
    return choice["finish_reason"], choice["text"]


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


class Item(pydantic.BaseModel):
    colour: Colour
    count: int = pydantic.Field(ge=1, le=9)
    note: str | None = pydantic.Field(max_length=8)


class Order(pydantic.BaseModel):
    items: list[Item] = pydantic.Field(max_length=3)
    paid: bool


def test_the_clients_own_parse(client):
    for seed in range(4):
        done = client.chat.completions.parse(model="tiny", messages=[{"role": "user", "content": "Order."}],
                                             response_format=Order, seed=seed, temperature=1.5, max_tokens=600)
        assert done.choices[0].finish_reason == "stop"
        assert isinstance(done.choices[0].message.parsed, Order)


def test_responses_too(client):
    done = client.responses.parse(model="tiny", input="Order.", text_format=Order, max_output_tokens=600, temperature=0)
    assert isinstance(done.output_parsed, Order)


def test_streamed_and_several(served, client):
    with client.chat.completions.stream(model="tiny", messages=[{"role": "user", "content": "x"}], response_format=Order,
                                        temperature=0, max_tokens=600) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Order)
    choices = answer(served, PERSON, n=4, seed=3, max_tokens=300)
    assert len(choices) == 4
    for choice in choices:
        jsonschema.validate(json.loads(choice["message"]["content"]), PERSON)


@pytest.mark.parametrize("model", ["tiny", "stories"])
def test_every_recorded_schema(served, model):
    """Those of the unit tests: hot and greedy, an answer that is whole is valid, one that is cut is a beginning."""
    if model == "stories" and not STORIES.is_dir():
        pytest.skip("no ../shared/data/weights/stories260K-hf")
    lines = (ROOT / "tests/engine/grammar_cases.jsonl").read_text().splitlines()
    schemas = {json.dumps(json.loads(line)["schema"]): None for line in lines}
    whole = 0
    for text in schemas:
        schema = json.loads(text)
        if not isinstance(schema, dict):
            continue
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for fields in ({"temperature": 0}, {"temperature": 2, "seed": 1}, {"temperature": 2, "seed": 2}):
            finish, text = written(served, schema, model, **fields)
            if finish == "length":
                continue
            value = json.loads(text)
            errors = list(validator.iter_errors(value))
            assert not errors, (schema, value, errors)
            whole += 1
    assert whole > len(schemas), "most answers end within their tokens"


def test_any_object(served):
    for seed in range(6):
        status, _, body = served.chat("tiny", "x", response_format={"type": "json_object"}, seed=seed, temperature=1.2,
                                      max_tokens=400)
        choice = json.loads(body)["choices"][0]
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["message"]["content"]), dict)
        else:
            assert choice["message"]["content"].startswith("{")


def test_the_other_protocols(served):
    status, _, body = served.request("POST", "/v1/messages", {
        "model": "tiny", "max_tokens": 300, "messages": [{"role": "user", "content": "x"}],
        "output_config": {"format": {"type": "json_schema", "schema": PERSON}}}, {"anthropic-version": "2023-06-01"})
    assert status == 200, body
    jsonschema.validate(json.loads(json.loads(body)["content"][0]["text"]), PERSON)
    status, _, body = served.request("POST", "/v1beta/models/tiny:generateContent", {
        "contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "generationConfig": {"responseMimeType": "application/json", "maxOutputTokens": 300,
                             "responseJsonSchema": PERSON}})
    assert status == 200, body
    jsonschema.validate(json.loads(json.loads(body)["candidates"][0]["content"]["parts"][0]["text"]), PERSON)


def test_vllms_fields(served):
    for fields, fits in (({"structured_outputs": {"choice": ["yes", "no"]}}, r"yes|no"),
                         ({"guided_regex": "[a-c]{3}-[0-9]+x"}, r"[a-c]{3}-[0-9]+x"),
                         ({"guided_json": {"const": 7}}, "7")):
        status, headers, body = served.chat("tiny", "x", max_tokens=100, seed=1, **fields)
        assert status == 200, body
        choice = json.loads(body)["choices"][0]
        assert choice["finish_reason"] == "length" or re.fullmatch(fits, choice["message"]["content"])
        assert "x-weir-dropped-params" not in headers


def test_logprobs_are_of_what_is_allowed(served):
    choice = answer(served, {"enum": ["red", "blue"]}, logprobs=True, top_logprobs=5)[0]
    assert choice["message"]["content"] in ('"red"', '"blue"')
    for token in choice["logprobs"]["content"]:
        assert token["logprob"] <= 1e-3 and sum(2.718281828 ** t["logprob"] for t in token["top_logprobs"]) <= 1.001


TOOLS_TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if tools %}<|im_start|>system
Call: <tool_call>{"name": …, "arguments": …}</tool_call>
{{ tools | tojson }}<|im_end|>
{% endif %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def test_a_forced_call(tmp_path):
    """The built-in model under a template that speaks of tools: it was not taught, and calls all the same."""
    from conftest import Weir
    folder = tmp_path / "model"
    shutil.copytree(ROOT / "engine/builtin/weir-tiny", folder)
    (folder / "chat_template.jinja").write_text(TOOLS_TEMPLATE)
    weir = Weir(tmp_path, CONFIG % (KEY, f"  caller: {{model: {folder}}}", "  caller: {targets: [{engine: caller}]}"))
    city = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}}, "required": ["city"],
            "additionalProperties": False}
    tools = [{"type": "function", "function": {"name": name, "parameters": city}} for name in ("weather", "time")]
    try:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{weir.port}/v1", api_key=KEY, max_retries=0)
        for choice, names in (("required", {"weather", "time"}), ({"type": "function", "function": {"name": "time"}}, {"time"})):
            done = client.chat.completions.create(model="caller", messages=[{"role": "user", "content": "x"}], tools=tools,
                                                  tool_choice=choice, parallel_tool_calls=False, temperature=0, max_tokens=200)
            assert done.choices[0].finish_reason == "tool_calls", done
            (call,) = done.choices[0].message.tool_calls
            assert call.function.name in names
            jsonschema.validate(json.loads(call.function.arguments), city)
        status, _, body = weir.request("POST", "/v1/messages", {
            "model": "caller", "max_tokens": 200, "messages": [{"role": "user", "content": "x"}],
            "tools": [{"name": "time", "input_schema": city}], "temperature": 0,
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}, {"anthropic-version": "2023-06-01"})
        assert status == 200, body
        block = json.loads(body)["content"][-1]
        assert block["type"] == "tool_use" and block["name"] == "time"
        wrong = {**city, "properties": {"city": {"type": "integer", "multipleOf": 2}}}
        status, _, body = weir.chat("caller", "x", tool_choice="required",
                                    tools=[{"type": "function", "function": {"name": "f", "parameters": wrong}}])
        assert status == 400
        assert json.loads(body)["error"]["param"] == "tools[0].function.parameters.properties.city.multipleOf"
    finally:
        weir.stop()


def test_an_answer_that_is_cut(served):
    choice = answer(served, PERSON, max_tokens=3)[0]
    assert choice["finish_reason"] == "length"


def test_what_is_refused(served):
    for schema, param in (({"type": "object", "properties": {"x": {"type": "integer", "multipleOf": 3}}},
                           "response_format.json_schema.schema.properties.x.multipleOf"),
                          ({"type": "string", "pattern": "(?=x)"}, "response_format.json_schema.schema.pattern"),
                          ({"type": "string", "pattern": "^(a|b)*a(a|b){40}$"}, "response_format.json_schema.schema"),
                          ({"anyOf": []}, "response_format.json_schema.schema.anyOf")):
        status, _, body = served.chat("tiny", "x", response_format=form(schema))
        assert status == 400, body
        error = json.loads(body)["error"]
        assert error["param"].startswith(param) and param in error["message"], error
    status, _, body = served.chat("tiny", "x", structured_outputs={"grammar": "root ::= x"})
    assert status == 400 and json.loads(body)["error"]["param"] == "structured_outputs.grammar"
