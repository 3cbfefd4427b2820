"""What a call costs where its price is more than one number: long prompts, tiers of service, searches, recordings. What
the client is told, the ledger's row, the log and the metrics say the same, and the hold was no less."""
import json

import pytest

from conftest import KEY
from test_odd_answers import last_row, sse, typed

POOR = "sk-poor-0123456789abcdef"
CONFIG = """accounts:
  openai: {{provider: openai, base_url: "{openai}", api_key: k}}
  claude: {{provider: anthropic, base_url: "{claude}", api_key: k}}
models:
  gpt: {{targets: [{{account: openai, model: tiered}}], retries: 0}}
  claude: {{targets: [{{account: claude, model: claude-opus-4-8}}], retries: 0}}
  hear: {{targets: [{{account: openai, model: gpt-4o-transcribe}}], retries: 0}}
  whisper: {{targets: [{{account: openai, model: whisper-1}}], retries: 0}}
prices:
  tiered:
    {{input: 1, cached_input: 0.5, output: 2, web_search: 10,
     above: [{{tokens: 1000, input: 3, output: 4}}], tiers: {{flex: 0.5, priority: 2}}}}
keys:
  - {{name: test, key: {key}, models: ["*"]}}
  - {{name: poor, key: {poor}, models: ["*"], budget: {{usd: {budget}, per: 3650d}}}}
"""
QUESTION = {"messages": [{"role": "user", "content": "hello there"}]}


def start(weir, upstream, budget="1"):
    return weir(CONFIG.format(openai=upstream.url("openai"), claude=upstream.url("claude").removesuffix("/v1"), key=KEY, poor=POOR, budget=budget))


def chat_answer(tier=None, prompt=100, cached=0, output=10):
    return {"id": "c", "object": "chat.completion", "model": "tiered", "service_tier": tier,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
                      "prompt_tokens_details": {"cached_tokens": cached}}}


def says(upstream, name, body, content_type="application/json"):
    upstream.replay[name] = (200, content_type, body if isinstance(body, bytes) else json.dumps(body).encode())


def nanos(dollars):
    return round(float(dollars) * 1e9)


@pytest.mark.parametrize("prompt, cached, tier, cost", [
    (1000, 200, None, 800 * 1000 + 200 * 500 + 10 * 2000),
    (1001, 200, "default", 1001 * 3000 + 10 * 4000),
    (1000, 0, "flex", (1000 * 1000 + 10 * 2000) // 2),
    (1001, 0, "priority", 2 * (1001 * 3000 + 10 * 4000)),
])
def test_whole_answers(weir, upstream, prompt, cached, tier, cost):
    gateway = start(weir, upstream)
    says(upstream, "openai", chat_answer(tier, prompt, cached))
    status, headers, body = gateway.chat("gpt")
    assert status == 200, body
    assert nanos(headers["x-weir-cost-usd"]) == cost
    assert abs(gateway.metric("weir_cost_usd_total", model="gpt") - cost / 1e9) < 1e-12
    row = last_row(gateway)
    assert (row["charge_nanos"], row["estimated"], row["unpriced"]) == (cost, 0, 0), row
    assert row["tier"] == (tier if tier in ("flex", "priority") else ""), row
    line = gateway.events("request")[-1]
    assert nanos(line["cost_usd"]) == cost and line.get("tier", "") == row["tier"], line


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_streams(weir, upstream, client):
    gateway = start(weir, upstream)
    chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}], "service_tier": "priority"}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "service_tier": "priority"}
    usage = {"choices": [], "service_tier": "priority", "usage": chat_answer()["usage"]}
    says(upstream, "openai", sse(chunk, end, usage, b"[DONE]"), "text/event-stream")
    cost = 2 * (100 * 1000 + 10 * 2000)
    if client == "chat":
        status, _, body = gateway.chat("gpt", stream=True, stream_options={"include_usage": True})
        told = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")][-1]["usage"]
        assert nanos(told["cost_usd"]) == cost
    else:
        status, _, body = gateway.request("POST", "/v1/messages", {"model": "gpt", "max_tokens": 100, "stream": True, **QUESTION})
    assert status == 200, body
    row = last_row(gateway)
    assert (row["charge_nanos"], row["tier"], row["estimated"]) == (cost, "priority", 0), row


def test_a_tier_without_a_price_is_said(weir, upstream):
    gateway = start(weir, upstream)
    says(upstream, "openai", chat_answer("ultrafast"))
    status, headers, _ = gateway.chat("gpt")
    assert (status, nanos(headers["x-weir-cost-usd"])) == (200, 120_000), "as if it had not been said"
    assert gateway.metric("weir_unpriced_tiers_total", target="openai/tiered") == 1
    row = last_row(gateway)
    assert (row["tier"], row["unpriced"], row["charge_nanos"]) == ("ultrafast", 1, 120_000), row
    line = gateway.events("request")[-1]
    assert line["unpriced_tier"] == "ultrafast", line


def test_who_asks_and_is_not_told_pays_the_dearer(weir, upstream):
    gateway = start(weir, upstream)
    says(upstream, "openai", {k: v for k, v in chat_answer().items() if k != "service_tier"})
    for asked, cost in (("priority", 240_000), ("flex", 120_000), ("default", 120_000)):
        status, headers, body = gateway.chat("gpt", service_tier=asked)
        assert (status, nanos(headers["x-weir-cost-usd"])) == (200, cost), (asked, body)


def test_the_hold_is_for_the_tier_and_the_length(weir, upstream):
    """A budget that pays for 100 tokens of output at the standard price, not at twice the price, nor after a long prompt."""
    gateway = start(weir, upstream, "0.00035")
    says(upstream, "openai", chat_answer("default", prompt=20, output=10))
    long = "word " * 1200

    def ask(content="hello there", **fields):
        return gateway.request("POST", "/v1/chat/completions", {"model": "gpt", "max_tokens": 100,
                               "messages": [{"role": "user", "content": content}], **fields}, key=POOR)

    status, _, body = ask(service_tier="priority")
    assert status == 429 and b"insufficient_quota" in body, body
    status, _, body = ask(long)
    assert status == 429 and b"insufficient_quota" in body, body
    for asked in ("default", "flex", "auto"):
        assert ask(service_tier=asked)[0] == 200
    gateway.stop()
    assert [row["charge_nanos"] for row in gateway.rows() if row["status"] == 200] == 3 * [40_000]


def test_claude_is_fast_in_the_us_and_searches(weir, upstream):
    gateway = start(weir, upstream)
    usage = {"input_tokens": 100, "output_tokens": 10, "service_tier": "standard", "inference_geo": "us", "speed": "fast",
             "server_tool_use": {"web_search_requests": 2}}
    says(upstream, "claude", {"type": "message", "role": "assistant", "model": "claude-opus-4-8", "stop_reason": "end_turn",
                              "content": [{"type": "text", "text": "hi"}], "usage": usage})
    cost = round((100 * 5000 + 10 * 25000) * 2 * 1.1) + 2 * 10_000_000
    for path in ("/v1/messages", "/v1/chat/completions"):
        status, headers, body = gateway.request("POST", path, {"model": "claude", "max_tokens": 100, **QUESTION})
        assert (status, nanos(headers["x-weir-cost-usd"])) == (200, cost), body
    row = last_row(gateway)
    assert (row["tier"], row["web_searches"], row["charge_nanos"]) == ("fast+us", 2, cost), row


def test_responses_tell_their_tier_and_searches(weir, upstream):
    gateway = start(weir, upstream)
    response = {"id": "resp_1", "object": "response", "status": "completed", "service_tier": "flex", "metadata": {"service_tier": "priority"},
                "output": [{"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "q"}},
                           {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi", "annotations": []}]}],
                "usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}}
    cost = (100 * 1000 + 10 * 2000) // 2 + 10_000_000
    says(upstream, "openai", response)
    status, headers, body = gateway.request("POST", "/v1/responses", {"model": "gpt", "input": "hello there"})
    assert (status, nanos(headers["x-weir-cost-usd"])) == (200, cost), body
    says(upstream, "openai", typed({"type": "response.created", "response": {**response, "service_tier": "auto", "usage": None}},
                                   {"type": "response.completed", "response": response}), "text/event-stream")
    assert gateway.request("POST", "/v1/responses", {"model": "gpt", "input": "hello there", "stream": True})[0] == 200
    row = last_row(gateway)
    assert (row["tier"], row["web_searches"], row["charge_nanos"]) == ("flex", 1, cost), row


def form(model, **fields):
    parts = [(b"model", b"", model.encode()), (b"file", b'; filename="a.mp3"', b"x" * 80_000)]  # 11 s at 64 kbit/s
    parts += [(name.encode(), b"", value.encode()) for name, value in fields.items()]
    return b"".join(b'--B\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % part for part in parts) + b"--B--\r\n"


TOKENS = {"type": "tokens", "input_tokens": 114, "input_token_details": {"text_tokens": 4, "audio_tokens": 110}, "output_tokens": 20}
BY_TOKENS = 4 * 2500 + 110 * 6000 + 20 * 10000


@pytest.mark.parametrize("model, answer, kind, cost, estimated", [
    ("hear", {"text": "hi", "usage": TOKENS}, "application/json", BY_TOKENS, 0),
    ("hear", typed({"type": "transcript.text.delta", "delta": "hi"}, {"type": "transcript.text.done", "text": "hi", "usage": TOKENS}),
     "text/event-stream", BY_TOKENS, 0),
    ("hear", b"only words", "text/plain", 110 * 6000 + 3 * 10000, 1),
    ("hear", typed({"type": "transcript.text.delta", "delta": "hi"}, {"type": "transcript.text.done", "text": "hi"}),
     "text/event-stream", 110 * 6000 + 10000, 1),
    ("whisper", {"text": "hi", "usage": {"type": "duration", "seconds": 9}}, "application/json", 9 * 100_000, 0),
    ("whisper", b"only words", "text/plain", 11 * 100_000, 1),
])
def test_recordings(weir, upstream, model, answer, kind, cost, estimated):
    gateway = start(weir, upstream)
    says(upstream, "openai", answer, kind)
    stream = {"stream": "true"} if kind == "text/event-stream" else {}
    status, _, body = gateway.request("POST", "/v1/audio/transcriptions", form(model, **stream), {"content-type": "multipart/form-data; boundary=B"})
    assert status == 200, body
    row = last_row(gateway)
    assert (row["charge_nanos"], row["estimated"]) == (cost, estimated), row
