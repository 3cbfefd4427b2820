"""What we send to OpenAI and what all our OpenAI routes answer, held against OpenAI's own OpenAPI document."""
import base64
import json

import pytest

import wire_answers
from conftest import DATA, KEY
from openai_schema import FILE, OPENAI
from test_translation import ASKED, IMAGE, PLAIN, PROVIDERS, TOOLS, config, wire  # noqa: F401: a fixture
from wire_clients import CLIENTS, Chat, NoWord, Responses, sse_events
from wire_upstream import SAY

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="../shared/data is not there")
ANSWERS = [{}, {"text": "", "calls": [("call_1", "weather", {"city": "Oslo"})], "stop": "tool_calls"},
           {"think": "MARK-THOUGHT", "signature": base64.b64encode(b"signed").decode()}, {"stop": "length"}]


def answers(gateway, wire_, client, stream):  # noqa: F811
    """Every kind of answer of every provider and of the engine: (what, body bytes)."""
    for provider in [*PROVIDERS, "engine"]:
        for answer in ANSWERS if provider != "engine" else [{}]:
            wire_.answer = {**SAY, **answer}
            tools = {} if provider == "engine" else {"tools": TOOLS}
            path, body = client.body({**PLAIN, **tools, "max_tokens": 16}, provider, stream)
            status, _, data = gateway.request("POST", path, body)
            assert status == 200, (provider, data)
            yield f"{provider} {sorted(answer)}", data


def mistakes_of(name, what, value):
    return [f"{what}: {one}" for one in OPENAI.mistakes(name, value)]


def none(mistakes):
    assert not mistakes, "\n".join(["", *dict.fromkeys(mistakes)])


def recorded_events(name):
    """A stream that OpenAI itself sent."""
    return sse_events((DATA / f"wire/best/openai/{name}.response.sse").read_bytes())


def event_schemas():
    """By an event's type: the name of its schema."""
    schemas = OPENAI.registry.contents("urn:openai")["components"]["schemas"]
    names = [one["$ref"].rsplit("/", 1)[1] for one in schemas["ResponseStreamEvent"]["anyOf"]]
    return {schemas[name]["properties"]["type"]["enum"][0]: name for name in names}


def test_the_document_refuses_what_is_wrong():
    good = json.loads(wire_answers.chat({**SAY}, False))
    assert not OPENAI.mistakes("CreateChatCompletionResponse", good)
    for name, value in (("id", 1), ("choices", [{}]), ("usage", {"prompt_tokens": "many"})):
        assert OPENAI.mistakes("CreateChatCompletionResponse", {**good, name: value}), name


def test_whole_answers(weir, wire):  # noqa: F811
    gateway, found = weir(config(wire)), []
    for what, data in answers(gateway, wire, Chat(), False):
        found += mistakes_of("CreateChatCompletionResponse", what, json.loads(data))
    for what, data in answers(gateway, wire, Responses(), False):
        found += mistakes_of("Response", what, json.loads(data))
    for fields in ({}, {"logprobs": 2}, {"n": 2}):
        status, _, data = gateway.request("POST", "/v1/completions", {"model": "engine", "prompt": "Once", "max_tokens": 4, **fields})
        assert status == 200, data
        found += mistakes_of("CreateCompletionResponse", f"completions {fields}", json.loads(data))
    status, _, data = gateway.request("POST", "/v1/chat/completions", {
        "model": "engine", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "logprobs": True, "top_logprobs": 2, "n": 2})
    assert status == 200, data
    found += mistakes_of("CreateChatCompletionResponse", "chat with logprobs", json.loads(data))
    none(found)


def test_streams(weir, wire):  # noqa: F811
    gateway, found = weir(config(wire)), []
    for what, data in answers(gateway, wire, Chat(), True):
        for event in sse_events(data):
            found += mistakes_of("CreateChatCompletionStreamResponse", what, event)
    names = event_schemas()
    # The document is stricter than OpenAI: usage is null until it is known, and so is a completion's finish_reason.
    theirs = set()
    for event in recorded_events("responses-stream-1"):
        theirs.update(OPENAI.mistakes(names[event["type"]], event))
    for event in recorded_events("completions-stream"):
        theirs.update(OPENAI.mistakes("CreateCompletionResponse", event))
    for what, data in answers(gateway, wire, Responses(), True):
        if what.startswith("openai"):
            continue  # passed through
        for event in sse_events(data):
            found += mistakes_of(names[event["type"]], what, event)
    status, _, data = gateway.request("POST", "/v1/completions", {"model": "engine", "prompt": "Once", "max_tokens": 4, "stream": True,
                                                                  "stream_options": {"include_usage": True}})
    assert status == 200, data
    for event in sse_events(data):
        found += mistakes_of("CreateCompletionResponse", "completions", event)
    none([one for one in found if one.split(": ", 1)[1] not in theirs])


def test_requests_to_openai(weir, wire):  # noqa: F811
    """The mock upstream checks each with the document; what is asked is all that the table of translation asks."""
    gateway = weir(config(wire))
    for client in CLIENTS:
        for stream in (False, True):
            for _, ask, _ in ASKED:
                try:
                    path, body = client.body(ask, "openai", stream)
                except NoWord:
                    continue
                gateway.request("POST", path, body)
    assert len(wire.requests) > 100
    none(wire.mistakes)


def unary_config(upstream):
    """Accounts whose upstream answers one fixed body each."""
    plain = {"embeddings-gemini": ("gemini", "gemini-embedding-001"), "embeddings-cohere": ("cohere", "embed-v4.0"),
             "embeddings-nova": ("bedrock", "amazon.titan-embed-text-v2:0")}
    accounts, models = "", ""
    for name, (provider, model) in plain.items():
        keys = "region: us-east-1, access_key_id: a, secret_access_key: b" if provider == "bedrock" else "api_key: k"
        url = upstream.url(name).removesuffix("/v1")
        accounts += f'  {name}: {{provider: {provider}, base_url: "{url}", {keys}}}\n'
        models += f'  {name}: {{targets: [{{account: {name}, model: "{model}"}}]}}\n'
    for name in ("embeddings", "images", "moderations", "transcriptions"):
        accounts += f'  {name}: {{provider: openai, base_url: "{upstream.url(name)}", api_key: k}}\n'
        models += f'  {name}: {{targets: [{{account: {name}, model: "of-openai"}}]}}\n'
    return f"accounts:\n{accounts}models:\n{models}keys:\n  - {{name: test, key: {KEY}, models: [\"*\"]}}\n"


def test_other_routes(weir, upstream):
    vector = [0.5, -0.25]
    said = {
        "embeddings-gemini": {"embeddings": [{"values": vector}]},
        "embeddings-cohere": {"id": "e", "embeddings": {"float": [vector]}, "texts": ["hi"], "meta": {"billed_units": {"input_tokens": 2}}},
        "embeddings-nova": {"embedding": vector, "inputTextTokenCount": 2, "embeddingsByType": {"float": vector}},
        "embeddings": {"object": "list", "model": "of-openai", "data": [{"object": "embedding", "index": 0, "embedding": vector}],
                       "usage": {"prompt_tokens": 2, "total_tokens": 2}},
        "images": {"created": 1, "data": [{"b64_json": IMAGE}]},
        "moderations": {"id": "m", "model": "of-openai", "results": []},
        "transcriptions": {"text": "hello", "usage": {"type": "duration", "seconds": 1}},
    }
    for name, body in said.items():
        upstream.replay[name] = (200, "application/json", json.dumps(body).encode())
    gateway, found = weir(unary_config(upstream)), []

    def check(schema, what, answer):
        status, _, data = answer
        assert status == 200, (what, data)
        found.extend(mistakes_of(schema, what, json.loads(data)))

    for name in [one for one in said if one.startswith("embeddings")]:
        check("CreateEmbeddingResponse", name, gateway.request("POST", "/v1/embeddings", {"model": name, "input": "hi"}))
    check("ImagesResponse", "images", gateway.request("POST", "/v1/images/generations", {"model": "images", "prompt": "a cat"}))
    check("CreateModerationResponse", "moderations", gateway.request("POST", "/v1/moderations", {"model": "moderations", "input": "hi"}))
    form = ("--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ntranscriptions\r\n"
            "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n")
    check("CreateTranscriptionResponseJson", "transcriptions",
          gateway.request("POST", "/v1/audio/transcriptions", form, {"content-type": "multipart/form-data; boundary=b"}))
    check("ListModelsResponse", "models", gateway.request("GET", "/v1/models"))
    check("Model", "one model", gateway.request("GET", "/v1/models/images"))
    sent = [(name, json.loads(body)) for name, _, body in upstream.requests if name in ("embeddings", "images", "moderations")]
    for (name, body), schema in zip(sent, ("CreateEmbeddingRequest", "CreateImageRequest", "CreateModerationRequest")):
        found += mistakes_of(schema, "request " + name, body)
    none(found)


def test_errors(weir, wire):  # noqa: F811
    gateway, found = weir(config(wire)), []
    question = {"messages": [{"role": "user", "content": "hi"}]}
    cases = [("/v1/chat/completions", {"model": "nobody", **question}, KEY), ("/v1/chat/completions", {"model": "engine", **question}, "sk-wrong"),
             ("/v1/chat/completions", {"model": "engine"}, KEY), ("/v1/chat/completions", {"model": "anthropic", **question, "seed": 1}, KEY),
             ("/v1/completions", {"model": "engine"}, KEY), ("/v1/responses", {"model": "engine"}, KEY),
             ("/v1/embeddings", {"model": "engine", "input": "hi"}, KEY), ("/v1/nothing", {}, KEY), ("/v1/chat/completions", b"{", KEY)]
    for path, body, key in cases:
        status, _, data = gateway.request("POST", path, body, key=key)
        assert status >= 400
        found += mistakes_of("ErrorResponse", f"{path} {status}", json.loads(data))
    none(found)
