"""Every client protocol before every provider: official clients, recorded answers of real providers behind the gateway."""
import http.server
import json
import threading

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from conftest import DATA, KEY

WIRE = DATA / "wire/best"
# What each provider answers: a recording for a whole answer and one for a stream, in text and with tool calls.
RECORDED = {
    "openai": {"text": ("chat-text-1", "chat-stream-text-usage-2"), "tools": ("chat-parallel-tools-1", "chat-stream-parallel-tools-1")},
    "anthropic": {"text": ("messages-text-1", "stream-text-1"), "tools": ("messages-tool-use-1", "stream-tool-use-1"),
                  "cited": (None, "stream-citations"), "thought": (None, "stream-thinking-1")},
    "gemini": {"text": ("generate-text-1", "stream-text-1"), "tools": ("generate-tools-1", "stream-tools-1")},
    "bedrock": {"text": ("converse-text-1", "converse-stream-text-1"), "tools": ("converse-tools-1", "converse-stream-tools-1")},
    "cohere": {"text": (None, "chat-stream-2"), "tools": (None, "chat-stream-1")},
}
# Nova, because Claude on Bedrock answers clients of Anthropic's protocol in that protocol.
MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash", "bedrock": "amazon.nova-pro-v1:0",
          "cohere": "command-a-03-2025"}
# OpenAI's own Responses pass through, so they need recordings of their own; of a whole answer with tools there is none.
RESPONSES = {"text": ("responses-text-1", "responses-stream-1"), "tools": (None, "responses-stream-tools-1")}
TYPES = {".json": "application/json", ".sse": "text/event-stream", ".bin": "application/vnd.amazon.eventstream"}
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}}
pytestmark = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/data is not there")


def recording(provider, name):
    return next(path for path in (WIRE / provider).glob(name + ".response.*") if not path.name.endswith(".meta.json"))


class Replay(http.server.BaseHTTPRequestHandler):
    """POST /KIND/PROVIDER/…: the recording, streamed where the call asks for a stream."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        kind, provider = self.path.split("/")[1:3]
        stream = "stream" in self.path.lower() or json.loads(body).get("stream") is True
        names = RESPONSES if self.path.endswith("/responses") else RECORDED[provider]
        path = recording(provider, names[kind][stream])
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("content-type", TYPES[path.suffix])
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway(weir):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    accounts, models = "", ""
    for provider, kinds in RECORDED.items():
        for kind in kinds:
            suffix = "/v1" if provider == "openai" else ""
            keys = "api_key: k" if provider != "bedrock" else "region: us-east-1, access_key_id: AKIDEXAMPLE, secret_access_key: none"
            url = f"http://127.0.0.1:{server.server_port}/{kind}/{provider}{suffix}"
            accounts += f'  {kind}-{provider}: {{provider: {provider}, base_url: "{url}", {keys}}}\n'
            models += f'  {kind}-{provider}: {{targets: [{{account: {kind}-{provider}, model: "{MODELS[provider]}"}}]}}\n'
    yield weir(f"""accounts:
{accounts}engines:
  tiny: {{model: "builtin:weir-tiny"}}
models:
  text-engine: {{targets: [{{engine: tiny}}]}}
{models}prices:
  text-engine: {{input: 1, output: 2}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
""")
    server.shutdown()
    thread.join()
    server.server_close()


def through_chat(port, model, stream, tools):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
    extra = {"tools": [{"type": "function", "function": {"name": "f", "parameters": TOOL}}]} if tools else {}
    asked = dict(model=model, messages=[{"role": "user", "content": "What is the capital of France?"}], **extra)
    if not stream:
        message = client.chat.completions.create(**asked).choices[0].message
        return message.content or "", [(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or []]
    text, calls = "", {}
    for chunk in client.chat.completions.create(stream=True, **asked):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                entry = calls.setdefault(call.index, ["", ""])
                entry[0] += call.function.name or ""
                entry[1] += call.function.arguments or ""
    return text, [(name, json.loads(arguments or "{}")) for name, arguments in calls.values()]


def through_responses(port, model, stream, tools):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
    extra = {"tools": [{"type": "function", "name": "f", "parameters": TOOL, "strict": False}]} if tools else {}
    asked = dict(model=model, input="What is the capital of France?", **extra)
    if stream:
        answer = None
        for event in client.responses.create(stream=True, **asked):
            if event.type in ("response.completed", "response.incomplete"):
                answer = event.response
    else:
        answer = client.responses.create(**asked)
    calls = [(item.name, json.loads(item.arguments)) for item in answer.output if item.type == "function_call"]
    return answer.output_text, calls


def through_messages(port, model, stream, tools):
    client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key=KEY, max_retries=0)
    extra = {"tools": [{"name": "f", "input_schema": TOOL}]} if tools else {}
    asked = dict(model=model, max_tokens=500, messages=[{"role": "user", "content": "What is the capital of France?"}], **extra)
    if stream:
        with client.messages.stream(**asked) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(**asked)
    text = "".join(block.text for block in answer.content if block.type == "text")
    return text, [(block.name, block.input) for block in answer.content if block.type == "tool_use"]


def through_gemini(port, model, stream, tools):
    client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=f"http://127.0.0.1:{port}"))
    config = None
    if tools:
        declaration = types.FunctionDeclaration(name="f", parameters_json_schema=TOOL)
        config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declaration])])
    asked = dict(model=model, contents="What is the capital of France?", config=config)
    answers = client.models.generate_content_stream(**asked) if stream else [client.models.generate_content(**asked)]
    text, calls = "", []
    for answer in answers:
        for candidate in answer.candidates or []:
            for part in (candidate.content.parts if candidate.content else None) or []:
                if part.function_call:
                    calls.append((part.function_call.name, part.function_call.args))
                elif part.text and not part.thought:
                    text += part.text
    return text, calls


CLIENTS = {"chat": through_chat, "responses": through_responses, "messages": through_messages, "gemini": through_gemini}


def recorded(kind, stream):
    """The providers that there is a recording of."""
    return [provider for provider, kinds in RECORDED.items() if kinds[kind][stream]]


def answers_of(gateway, kind, provider, stream):
    """By client: the answer of the same recording, as (text, tool calls)."""
    return {name: client(gateway.port, f"{kind}-{provider}", stream, kind == "tools") for name, client in CLIENTS.items()
            if not (provider == "openai" and name == "responses" and RESPONSES[kind][stream] is None)}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_text_reaches_every_client_from_every_provider(gateway, stream):
    for provider in [*recorded("text", stream), "engine"]:
        texts = {name: answer[0] for name, answer in answers_of(gateway, "text", provider, stream).items()}
        assert all(texts.values()), (provider, texts)
        if provider == "openai":
            texts.pop("responses")  # another recording
        if provider != "engine":  # which draws its words anew each time
            assert len(set(texts.values())) == 1, (provider, texts)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tool_calls_reach_every_client_from_every_provider(gateway, stream):
    for provider in recorded("tools", stream):
        calls = {name: answer[1] for name, answer in answers_of(gateway, "tools", provider, stream).items()}
        assert all(calls.values()), (provider, calls)
        if provider == "openai":
            calls.pop("responses", None)
        assert all(one == calls["chat"] for one in calls.values()), (provider, calls)


def test_openai_puts_every_stream_together(gateway):
    """Its stream() helper adds up the deltas of every list, known to it or not."""
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=KEY, max_retries=0)
    for provider, kinds in RECORDED.items():
        for kind in kinds:
            with client.chat.completions.stream(model=f"{kind}-{provider}", messages=[{"role": "user", "content": "x"}]) as events:
                events.until_done()
                message = events.current_completion_snapshot.choices[0].message
            assert message.content or message.tool_calls, (provider, kind)
            assert kind != "thought" or message.thinking_blocks
            assert kind != "cited" or message.citations  # of a document: OpenAI has annotations for pages of the web alone


AGAIN = "And of Spain?"


def back_by_chat(port, model, whole, tools, others):
    """Asks `model`, then each of `others` with the message of that answer as the client has it."""
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
    extra = {"tools": [{"type": "function", "function": {"name": "f", "parameters": TOOL}}]} if tools else {}
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    if whole:
        message = client.chat.completions.create(model=model, messages=asked, **extra).choices[0].message
    else:
        with client.chat.completions.stream(model=model, messages=asked) as events:
            events.until_done()
            message = events.current_completion_snapshot.choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Madrid"} for call in message.tool_calls or []]
    turns = [*asked, message, *results, {"role": "user", "content": AGAIN}]
    return [client.chat.completions.create(model=other, messages=turns, **extra).choices[0].message.content for other in others]


def back_by_responses(port, model, whole, tools, others):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
    extra = {"tools": [{"type": "function", "name": "f", "parameters": TOOL, "strict": False}], "store": False} if tools else {"store": False}
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    if whole:
        output = client.responses.create(model=model, input=asked, **extra).output
    else:
        with client.responses.stream(model=model, input=asked) as events:
            output = events.get_final_response().output
    results = [{"type": "function_call_output", "call_id": one.call_id, "output": "Madrid"} for one in output if one.type == "function_call"]
    items = [*asked, *output, *results, {"role": "user", "content": AGAIN}]
    return [client.responses.create(model=other, input=items, **extra).output_text for other in others]


def back_by_messages(port, model, whole, tools, others):
    client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key=KEY, max_retries=0)
    extra = {"max_tokens": 500, **({"tools": [{"name": "f", "input_schema": TOOL}]} if tools else {})}
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    if whole:
        answer = client.messages.create(model=model, messages=asked, **extra)
    else:
        with client.messages.stream(model=model, messages=asked, **extra) as events:
            answer = events.get_final_message()
    results = [{"type": "tool_result", "tool_use_id": one.id, "content": "Madrid"} for one in answer.content if one.type == "tool_use"]
    turns = [*asked, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [*results, {"type": "text", "text": AGAIN}]}]
    return [client.messages.create(model=other, messages=turns, **extra).content[0].text for other in others]


@pytest.mark.parametrize("back", [back_by_chat, back_by_responses, back_by_messages])
def test_what_an_answer_holds_is_taken_back_by_every_other_provider(gateway, back):
    """Whatever members an official client's own objects have."""
    others = [f"text-{provider}" for provider in recorded("text", False)]
    for provider, kinds in RECORDED.items():
        for kind, (whole, _) in kinds.items():
            if provider == "openai" and kind == "tools" and back is back_by_responses:
                continue  # there is no such recording
            answers = back(gateway.port, f"{kind}-{provider}", whole, kind == "tools" and whole, others)
            assert all(answers), (provider, kind, answers)
