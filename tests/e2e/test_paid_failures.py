"""Attempts that fail although their upstream told what they used: each is charged, whichever attempt answers in the end,
and a model's own mistake cools no target."""
import json

import pytest

from conftest import KEY

SPOILED = {"candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "no such f"}],
           "usageMetadata": {"promptTokenCount": 40, "thoughtsTokenCount": 30, "totalTokenCount": 70}}
GOOD = {"candidates": [{"content": {"parts": [{"text": "fine"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 41, "candidatesTokenCount": 3, "totalTokenCount": 44}}


def sse(*events):
    return b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in events)


def typed(*events):
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def start(weir, upstream, accounts, retries=0, key=""):
    """`accounts`: name -> provider; the model m has a target at each, the first before the others."""
    lines = "".join(f'  {a}: {{provider: {p}, base_url: "http://127.0.0.1:{upstream.port}/{a}", api_key: x}}\n' for a, p in accounts.items())
    targets = ", ".join(f"{{account: {a}, model: up-{i}, weight: {1000 if i == 0 else 1}}}" for i, a in enumerate(accounts))
    prices = "".join(f"  up-{i}: {{input: {1 + i}, output: {2 + i}}}\n" for i in range(len(accounts)))
    return weir(f"health: {{failures: 1}}\naccounts:\n{lines}models:\n  m: {{targets: [{targets}], retries: {retries}}}\nprices:\n{prices}"
                f'keys:\n  - {{name: test, key: {KEY}, models: ["*"]{key}}}\n')


def last_row(gateway):
    gateway.stop()
    row = gateway.rows()[-1]
    gateway.start()
    return row


@pytest.mark.parametrize("stream", [False, True])
def test_a_spoiled_answer_is_charged_and_cools_nothing(weir, upstream, stream):
    upstream.replay["g"] = (200, "text/event-stream", sse(SPOILED)) if stream else (200, "application/json", json.dumps(SPOILED).encode())
    gateway = start(weir, upstream, {"g": "gemini"})
    for _ in range(2):  # the first cooled nothing
        status, headers, body = gateway.chat("m", stream=stream)
        error = json.loads(body)["error"]
        assert (status, error["code"]) == (502, "upstream_error") and "MALFORMED_FUNCTION_CALL: no such f" in error["message"], body
        assert headers["x-weir-cost-usd"] == "0.0001"
    assert gateway.metric("weir_target_ejections_total") == 0
    assert gateway.metric("weir_tokens_total", target="g/up-0", kind="output") == 60
    row = last_row(gateway)
    assert (row["status"], row["input_tokens"], row["output_tokens"], row["reasoning_tokens"], row["charge_nanos"], row["estimated"]) == (
        502, 40, 30, 30, 100_000, 0), row


@pytest.mark.parametrize("stream", [False, True])
def test_each_attempt_is_charged_at_its_own_price(weir, upstream, stream):
    for name, answer in (("g", SPOILED), ("h", GOOD)):
        upstream.replay[name] = (200, "text/event-stream", sse(answer)) if stream else (200, "application/json", json.dumps(answer).encode())
    gateway = start(weir, upstream, {"g": "gemini", "h": "gemini"}, retries=1, key=", budget: {usd: 1}")
    status, headers, body = gateway.chat("m", stream=stream, **({"stream_options": {"include_usage": True}} if stream else {}))
    assert status == 200 and b"fine" in body and headers["x-weir-attempts"] == "2", body
    usage = json.loads(body)["usage"] if not stream else json.loads(body.split(b"\n\n")[-3][6:])["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (41, 3), "the answer's own"
    assert gateway.metric("weir_tokens_total", target="g/up-0", kind="input") == 40
    assert gateway.metric("weir_tokens_total", target="h/up-1", kind="input") == 41
    spent = 40 * 1000 + 30 * 2000 + 41 * 2000 + 3 * 3000
    if not stream:
        assert headers["x-weir-cost-usd"] == "0.000191"
    assert abs(gateway.metric("weir_budget_remaining_usd") - (1 - spent / 1e9)) < 1e-9, "charged once, and nothing is held"
    row = last_row(gateway)
    assert (row["status"], row["attempts"], row["input_tokens"], row["output_tokens"], row["charge_nanos"], row["target"]) == (
        200, 2, 81, 33, spent, "h/up-1"), row


def test_another_attempt_needs_money_of_its_own(weir, upstream):
    for name in ("g", "h"):
        upstream.replay[name] = (200, "application/json", json.dumps(SPOILED).encode())
    gateway = start(weir, upstream, {"g": "gemini", "h": "gemini"}, retries=1, key=", budget: {usd: 0.0008}")
    status, headers, body = gateway.chat("m", max_tokens=150)  # one attempt is held for, two are too many
    assert (status, headers["x-weir-attempts"]) == (502, "1") and b"It was not tried again" in body, body
    row = last_row(gateway)
    assert (row["attempts"], row["charge_nanos"]) == (1, 100_000), row


OPENED = {"type": "message_start", "message": {"usage": {"input_tokens": 40, "output_tokens": 1}}}
FAILED = {"type": "response.failed", "response": {"id": "r", "status": "failed", "error": {"code": "server_error", "message": "oh"},
                                                  "usage": {"input_tokens": 40, "output_tokens": 30}}}
BROKEN = {
    "anthropic": typed(OPENED, {"type": "error", "error": {"type": "api_error", "message": "oh"}}),
    "openai": typed({"type": "response.created", "response": {"id": "r"}}, FAILED),
    "cohere": sse({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "oh", "usage": {"tokens": {"input_tokens": 40, "output_tokens": 30}}}}),
}


@pytest.mark.parametrize("provider, path", [("anthropic", "messages"), ("anthropic", "chat/completions"), ("openai", "responses"),
                                            ("cohere", "chat/completions")])
def test_a_stream_that_breaks_after_its_usage_is_charged(weir, upstream, provider, path):
    upstream.replay["a"] = (200, "text/event-stream", BROKEN[provider])
    gateway = start(weir, upstream, {"a": provider})
    ask = {"input": "hi"} if path == "responses" else {"max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    status, _, body = gateway.request("POST", f"/v1/{path}", {"model": "m", "stream": True, **ask})
    assert status == 502 and b"oh" in body, body
    assert gateway.metric("weir_target_ejections_total") == 1, "that is the upstream's fault"
    row = last_row(gateway)
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == (502, 40, 1 if provider == "anthropic" else 30), row
    assert row["charge_nanos"] == 40_000 + 2_000 * row["output_tokens"], row
