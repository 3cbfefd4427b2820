"""Clients whose protocol the gateway does not serve as a whole: cohere for its rerank, and boto3 as the judge of what the
bedrock codec writes, signs and reads."""
import base64
import json

import boto3
import cohere
import pytest

import wire_oracles
from conftest import DATA, KEY
from test_translation import ASKED, IMAGE, PLAIN, TOOLS, config, wire  # noqa: F401: a fixture
from wire_answers import CACHED, INPUT, OUTPUT
from wire_clients import Chat, Gemini, NoWord
from wire_upstream import SAY

RERANKED = DATA / "wire/best/cohere/chat.response.json"  # recorded from /v2/rerank
MODELS = {"bedrock-claude": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock-nova": "amazon.nova-2-lite-v1:0"}


def aws(wire_):
    return boto3.client("bedrock-runtime", endpoint_url=wire_.url("bedrock"), region_name=wire_oracles.REGION,
                        aws_access_key_id=wire_oracles.ACCESS_KEY, aws_secret_access_key=wire_oracles.SECRET_KEY)


@pytest.mark.skipif(not RERANKED.exists(), reason="../shared/data is not there")
def test_cohere_reranks(weir, upstream):
    upstream.replay["rerank"] = (200, "application/json", RERANKED.read_bytes())
    url = upstream.url("rerank").removesuffix("/v1") + "/v2"
    gateway = weir(f"""accounts:
  co: {{provider: cohere, base_url: "{url}", api_key: k}}
models:
  rerank: {{targets: [{{account: co, model: "rerank-v3.5"}}]}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
""")
    documents = ["Ruby is a programming language", "Paris is in France", "Rails is a Ruby framework"]
    recorded = json.loads(RERANKED.read_bytes())["results"]
    for version in (cohere.Client, cohere.ClientV2):
        client = version(api_key=KEY, base_url=f"http://127.0.0.1:{gateway.port}")
        answer = client.rerank(model="rerank", query="ruby", documents=documents, top_n=2)
        assert [(one.index, one.relevance_score) for one in answer.results] == [(one["index"], one["relevance_score"]) for one in recorded]
        _, headers, body = upstream.requests[-1]
        assert headers["authorization"] == "Bearer k"
        assert json.loads(body) == {"model": "rerank-v3.5", "query": "ruby", "documents": documents, "top_n": 2}
        with pytest.raises(cohere.core.ApiError) as caught:
            client.rerank(model="nobody", query="ruby", documents=documents)
        assert caught.value.status_code == 404


def test_boto3_reads_what_the_mock_says(wire):  # noqa: F811
    """The mock that stands for Bedrock elsewhere speaks its wire format: AWS's own client reads it, event stream and all."""
    client = aws(wire)
    call = ("call_1", "weather", {"city": "Oslo"})
    wire.answer = {**SAY, "calls": [call], "think": "MARK-THOUGHT", "signature": "c2ln", "stop": "tool_calls"}
    asked = {"modelId": MODELS["bedrock-claude"], "messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    whole = client.converse(**asked)
    blocks = whole["output"]["message"]["content"]
    assert blocks[0]["reasoningContent"]["reasoningText"] == {"text": "MARK-THOUGHT", "signature": "c2ln"}
    assert blocks[1]["text"] == SAY["text"] and blocks[2]["toolUse"]["input"] == call[2] and whole["stopReason"] == "tool_use"
    text, arguments, usage = "", "", None
    for event in client.converse_stream(**asked)["stream"]:
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        text += delta.get("text", "")
        arguments += delta.get("toolUse", {}).get("input", "")
        usage = event.get("metadata", {}).get("usage") or usage
    assert (text, json.loads(arguments)) == (SAY["text"], call[2])
    assert (usage["inputTokens"], usage["cacheReadInputTokens"], usage["outputTokens"]) == (INPUT - CACHED, CACHED, OUTPUT)
    assert not wire.mistakes, wire.mistakes


def as_arguments(value):
    """A body of the wire as boto3 takes it: bytes are bytes there."""
    if isinstance(value, dict):
        return {key: base64.b64decode(one) if key in ("bytes", "redactedContent") and isinstance(one, str) else as_arguments(one)
                for key, one in value.items()}
    return [as_arguments(one) for one in value] if isinstance(value, list) else value


def test_boto3_would_send_what_the_gateway_sends(weir, wire):  # noqa: F811
    """Everything that Converse can be asked, given to boto3, leaves it as the same JSON to the same path; and botocore makes
    the same signature of our request (the mock checks every one)."""
    gateway, client, seen = weir(config(wire)), aws(wire), 0
    for protocol in (Chat(), Gemini()):
        for provider, model in MODELS.items():
            for stream in (False, True):
                for name, ask, _ in [*ASKED, ("image", {**PLAIN, "tools": TOOLS, "turns": [("user", ["MARK", {"image": IMAGE}])]}, None)]:
                    wire.requests.clear()
                    try:
                        path, body = protocol.body(ask, provider, stream)
                    except NoWord:
                        continue
                    status, _, _ = gateway.request("POST", path, body)
                    if status != 200:
                        continue  # refused: the table of translation says so
                    path, ours, _ = wire.requests[-1]
                    call = client.converse_stream if stream else client.converse
                    call(modelId=model, **as_arguments(ours))
                    assert wire.requests[-1][:2] == (path, ours), name
                    seen += 1
    assert seen > 60
    assert not wire.mistakes, wire.mistakes
    assert wire_oracles.signature("/x", {"authorization": "Bearer k"}, b"")  # the check itself can fail
