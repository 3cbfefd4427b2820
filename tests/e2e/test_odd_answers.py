"""What upstreams answer that is odd, as each client protocol sees it: content that has no word in the client's protocol,
usage that lacks a half, streams without an end, errors that repeat our credential."""
import http.client
import json
import random
import socket
import struct
import subprocess
import threading

import pytest

from conftest import BINARY, KEY, ROOT, until

SECRET = "sk-up/stream+0123456789="
ENCODED = "sk-up%2Fstream%2B0123456789%3D"

CALLS = {
    "chat": ("/v1/chat/completions", lambda m: {"model": m, "messages": [{"role": "user", "content": "hello there"}]}),
    "completions": ("/v1/completions", lambda m: {"model": m, "prompt": "hello there"}),
    "responses": ("/v1/responses", lambda m: {"model": m, "input": "hello there"}),
    "messages": ("/v1/messages", lambda m: {"model": m, "max_tokens": 100, "messages": [{"role": "user", "content": "hello there"}]}),
    "gemini": ("/v1beta/models/{m}:{call}", lambda m: {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}),
}
NATIVE = {"openai": {"chat", "completions", "responses"}, "anthropic": {"messages"}, "gemini": {"gemini"}, "cohere": set()}


@pytest.fixture
def odd(weir, upstream):
    return start(weir, upstream)


@pytest.fixture
def patient(weir, upstream):
    """Goes on asking an upstream whatever it answers."""
    return start(weir, upstream, "health: {failures: 1000}\n")


def start(weir, upstream, more=""):
    accounts = "".join(f'  {p}: {{provider: {p}, base_url: "http://127.0.0.1:{upstream.port}/{p}", api_key: "{SECRET}"}}\n' for p in NATIVE)
    models = "".join(f"  m-{p}: {{targets: [{{account: {p}, model: up-1}}], retries: 0}}\n" for p in NATIVE)
    return weir(f"{more}accounts:\n{accounts}models:\n{models}prices:\n  up-1: {{input: 1, output: 2}}\n"
                f'keys:\n  - {{name: test, key: {KEY}, models: ["*"]}}\n')


def call_of(protocol, model, stream=False):
    """(path, body)"""
    path, body = CALLS[protocol]
    call = "streamGenerateContent?alt=sse" if stream else "generateContent"
    fields = {} if protocol == "gemini" or not stream else {"stream": True}
    return path.replace("{m}", model).replace("{call}", call), {**body(model), **fields}


def ask(gateway, protocol, model, stream=False):
    return gateway.request("POST", *call_of(protocol, model, stream))


def sse(*events):
    return b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events)


def typed(*events):
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def last_row(gateway):
    gateway.stop()
    row = gateway.rows()[-1]
    gateway.start()
    return row


ODD_BLOCK = {"type": "hologram", "frames": [1, 2]}


@pytest.mark.parametrize("client", ["chat", "responses", "completions", "gemini"])
def test_a_block_without_a_word_is_named_and_charged(odd, upstream, client):
    usage = {"input_tokens": 40, "output_tokens": 30}
    upstream.replay["anthropic"] = (200, "application/json", json.dumps(
        {"type": "message", "role": "assistant", "content": [ODD_BLOCK], "stop_reason": "end_turn", "usage": usage}).encode())
    status, _, body = ask(odd, client, "m-anthropic")
    assert status == 502 and b"hologram" in body, body
    row = last_row(odd)
    assert (row["status"], row["input_tokens"], row["output_tokens"], row["charge_nanos"]) == (502, 40, 30, 100_000)
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 40, "output_tokens": 1}}}
    upstream.replay["anthropic"] = (200, "text/event-stream", typed(
        start, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "so far"}},
        {"type": "content_block_stop", "index": 0}, {"type": "content_block_start", "index": 1, "content_block": ODD_BLOCK}))
    status, _, body = ask(odd, client, "m-anthropic", stream=True)
    assert b"hologram" in body and b"[DONE]" not in body
    row = last_row(odd)
    assert (row["status"], row["input_tokens"], row["estimated"]) == (502, 40, 1) and row["output_tokens"] > 0


@pytest.mark.parametrize("client", ["responses", "chat", "gemini"])
def test_a_translated_stream_ends_where_more_would_have_to_be_kept(weir, upstream, client):
    gateway = start(weir, upstream, 'server: {listen: "127.0.0.1:PORT", limits: {response: 256KiB}}\n')
    events = [{"type": "message_start", "message": {"usage": {"input_tokens": 40, "output_tokens": 1}}},
              {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
              *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "y" * 16384}} for _ in range(64)),
              {"type": "content_block_stop", "index": 0},
              {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 262144}}, {"type": "message_stop"}]
    upstream.replay["anthropic"] = (200, "text/event-stream", typed(*events))
    status, _, body = ask(gateway, client, "m-anthropic", stream=True)
    assert status == 200 and b"longer than 262144 bytes" in body and b"[DONE]" not in body, body[-500:]
    row = last_row(gateway)
    assert row["status"] == 502 and row["input_tokens"] == 40 and row["estimated"] == 1, row
    assert 256 * 1024 / 4 < row["output_tokens"] < 262144, row
    assert ask(gateway, "messages", "m-anthropic", stream=True)[2].count(b"y") >= 64 * 16384, "nothing of what passes is kept"


def test_an_odd_block_passes_to_its_own_protocol(odd, upstream):
    answer = json.dumps({"type": "message", "content": [ODD_BLOCK], "usage": {"input_tokens": 4, "output_tokens": 3}}).encode()
    upstream.replay["anthropic"] = (200, "application/json", answer)
    assert ask(odd, "messages", "m-anthropic")[::2] == (200, answer)


WHOLE_HALF = {
    "openai": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "an answer of words"}, "text": "an answer of words",
                            "finish_reason": "stop"}], "output": [], "usage": {"completion_tokens": 9, "output_tokens": 9}},
    "anthropic": {"type": "message", "content": [{"type": "text", "text": "an answer"}], "usage": {"output_tokens": 9}},
    "gemini": {"candidates": [{"content": {"parts": [{"text": "an answer"}]}, "finishReason": "STOP"}],
               "usageMetadata": {"candidatesTokenCount": 9}},
    "cohere": {"message": {"content": [{"type": "text", "text": "an answer"}]}, "finish_reason": "COMPLETE",
               "usage": {"tokens": {"output_tokens": 9}}},
}


@pytest.mark.parametrize("client", CALLS)
@pytest.mark.parametrize("provider", WHOLE_HALF)
def test_usage_without_its_input_is_estimated(odd, upstream, client, provider):
    upstream.replay[provider] = (200, "application/json", json.dumps(WHOLE_HALF[provider]).encode())
    status, _, body = ask(odd, client, f"m-{provider}")
    assert status == 200, body
    row = last_row(odd)
    assert row["input_tokens"] > 0 and row["output_tokens"] == 9 and row["estimated"] == 1, row


USAGE_OF = {"openai": ("usage", {"prompt_tokens": 0, "input_tokens": 0, "completion_tokens": 0, "output_tokens": 0}),
            "anthropic": ("usage", {"input_tokens": 0, "output_tokens": 0}),
            "gemini": ("usageMetadata", {"promptTokenCount": 0, "candidatesTokenCount": 0}),
            "cohere": ("usage", {"tokens": {"input_tokens": 0, "output_tokens": 0}})}


@pytest.mark.parametrize("client", CALLS)
@pytest.mark.parametrize("provider", WHOLE_HALF)
def test_usage_of_nothing_beside_an_answer_is_estimated(odd, upstream, client, provider):
    answer = dict(WHOLE_HALF[provider])
    if client == "responses" and provider == "openai":
        answer["output"] = [{"type": "message", "content": [{"type": "output_text", "text": "an answer of words"}]}]
    name, nothing = USAGE_OF[provider]
    upstream.replay[provider] = (200, "application/json", json.dumps({**answer, name: nothing}).encode())
    assert ask(odd, client, f"m-{provider}")[0] == 200
    row = last_row(odd)
    assert row["input_tokens"] > 0 and row["output_tokens"] > 0 and row["estimated"] == 1, row


class Held:
    """An upstream that sends one stream and then holds the connection open until it is told to cut it off, or to send the rest."""

    def __init__(self, body, rest=b""):
        self.cut = threading.Event()
        self._body, self._rest = body, rest
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connection, _ = self._listener.accept()
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n"
                           % (len(self._body), self._body))
        self.cut.wait(60)
        if self._rest:
            connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(self._rest), self._rest))
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no end
        connection.close()

    def close(self):
        self.cut.set()
        self._thread.join()
        self._listener.close()


ENDED = {
    "openai": sse({"choices": [{"index": 0, "delta": {"content": "words"}, "finish_reason": None}]},
                  {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                  {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}}, b"[DONE]"),
    "anthropic": typed({"type": "message_start", "message": {"usage": {"input_tokens": 4, "output_tokens": 1}}},
                       {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "words"}},
                       {"type": "content_block_stop", "index": 0},
                       {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
                       {"type": "message_stop"}),
    "cohere": sse({"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": "words"}}}},
                  {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 4, "output_tokens": 3}}}}),
    "gemini": sse({"candidates": [{"content": {"parts": [{"text": "words"}]}, "finishReason": "STOP"}],
                   "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 3}}),
}


@pytest.mark.parametrize("client, provider", [(c, p) for c in CALLS for p in ENDED if (c, p) != ("responses", "openai")])  # passed on: other events
def test_an_answer_ends_at_its_end_mark_and_not_with_its_connection(weir, client, provider):
    held = Held(ENDED[provider])
    gateway = weir(f'accounts:\n  a: {{provider: {provider}, base_url: "http://127.0.0.1:{held.port}/v1", api_key: x}}\n'
                   f'models:\n  m: {{targets: [{{account: a, model: up-1}}], retries: 0}}\n'
                   f'keys:\n  - {{name: test, key: {KEY}, models: ["*"]}}\n')
    if provider == "gemini":  # has no mark: what is whole stays so where the connection breaks behind it
        threading.Timer(0.2, held.cut.set).start()
    try:
        status, _, body = ask(gateway, client, "m", stream=True)
    finally:
        held.close()
    assert status == 200 and b"words" in body and b'"error"' not in body.replace(b'"error":null', b""), body
    row = last_row(gateway)
    assert (row["status"], row["input_tokens"], row["output_tokens"], row["estimated"]) == (200, 4, 3, 0), row


UNSEEN = {"thinking": {"type": "thinking", "thinking": "", "signature": ""},
          "a tool of the upstream's": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}}


@pytest.mark.parametrize("client", CALLS)
@pytest.mark.parametrize("block", UNSEEN)
def test_work_that_shows_nothing_is_a_first_token(weir, client, block):
    held = Held(typed({"type": "message_start", "message": {"usage": {"input_tokens": 4, "output_tokens": 1}}},
                      {"type": "content_block_start", "index": 0, "content_block": UNSEEN[block]}),
                typed({"type": "content_block_stop", "index": 0},
                      {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "words"}},
                      {"type": "content_block_stop", "index": 1},
                      {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
                      {"type": "message_stop"}))
    config = (f'accounts:\n  a: {{provider: anthropic, base_url: "http://127.0.0.1:{held.port}/v1", api_key: x}}\n'
              "models:\n  m: {targets: [{account: a, model: up-1}], retries: 0, timeout: {first_token: 1s, total: 60s}}\n"
              f'keys:\n  - {{name: test, key: {KEY}, models: ["*"]}}\n')
    try:
        gateway = weir(config)
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        path, fields = call_of(client, "m", stream=True)
        connection.request("POST", path, json.dumps(fields), {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
        answer = connection.getresponse()  # while the upstream still works
        status = answer.status
        held.cut.set()
        body = answer.read()
        connection.close()
    finally:
        held.close()
    assert status == 200 and b"words" in body and b'"error"' not in body.replace(b'"error":null', b""), body
    row = last_row(gateway)
    assert (row["status"], row["attempts"], row["input_tokens"], row["output_tokens"]) == (200, 1, 4, 3), row


# Well-formed up to a point within the usage: what was read from there on was once read through a null pointer.
BROKEN_USAGE = (b'{"id":"2","choices":[{"index":0,"message":{"content":"4"},"text":"4","finish_reason":"stop"}],"data":[{"embedding":[0.1]}],'
                b'"output":[],"usage":{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":163,"image_tokens"},'
                b':0"completion_tokens_details":{"reasoning_tokens":0}},"object":"x"}')


@pytest.mark.parametrize("path, body", [("chat/completions", {"messages": [{"role": "user", "content": "x"}]}), ("completions", {"prompt": "x"}),
                                        ("responses", {"input": "x"}), ("embeddings", {"input": "x"}), ("moderations", {"input": "x"}),
                                        ("rerank", {"query": "x", "documents": ["a"]}), ("images/generations", {"prompt": "x"})])
def test_no_answer_ends_the_gateway(patient, upstream, path, body):
    order = random.Random(path)
    for turn in range(40):
        answer = bytearray(BROKEN_USAGE)
        if turn:
            at = order.randrange(len(answer) - 24)
            answer[at:at + 24] = order.sample(bytes(answer[at:at + 24]), 24)
        upstream.replay["openai"] = (200, "application/json", bytes(answer))
        status, _, said = patient.request("POST", f"/v1/{path}", {"model": "m-openai", **body})
        assert status in (200, 502), (status, said, bytes(answer))
    assert patient.request("GET", "/health/live")[0] == 200


DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize("provider", list(NATIVE))
def test_no_depth_ends_the_gateway(patient, upstream, provider):
    """Texts of a client and of an upstream whose trees would take all of a stack to walk."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": DEEP}}
    rounds = ([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{**call, "function": {"name": "f", "arguments": "{}"}}]},
               {"role": "tool", "tool_call_id": "c1", "content": DEEP}],
              [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "y"}])
    for messages in rounds:
        status, _, said = patient.request("POST", "/v1/chat/completions", {"model": f"m-{provider}", "messages": messages})
        assert status in (200, 400, 502), (status, said[:500])  # the stand-in answers as OpenAI does
    for answer in (200, 400, 429, 500):
        upstream.replay[provider] = (answer, "application/json", DEEP.encode())
        for client in CALLS:
            status, _, said = ask(patient, client, f"m-{provider}")
            assert status >= 400 or client in NATIVE[provider], (client, status, said[:500])
    assert patient.request("GET", "/health/live")[0] == 200


def test_who_has_no_stream_answers_whole_and_is_charged(odd, upstream):
    """whisper-1 ignores the field, as OpenAI's reference says; embeddings have no streams whoever asks for one."""
    form = b"".join(b'--B\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % part for part in (
        (b"model", b"", b"m-openai"), (b"stream", b"", b"true"), (b"file", b'; filename="a.mp3"', b"x" * 100))) + b"--B--\r\n"
    said = json.dumps({"text": "hi", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 3}}).encode()
    upstream.replay["openai"] = (200, "application/json", said)
    status, headers, body = odd.request("POST", "/v1/audio/transcriptions", form, {"content-type": "multipart/form-data; boundary=B"})
    assert (status, headers["content-type"], body) == (200, "application/json", said)
    row = last_row(odd)
    assert (row["input_tokens"], row["output_tokens"], row["charge_nanos"]) == (14, 3, 20_000), row
    upstream.replay["openai"] = (200, "application/json", json.dumps({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 4}}).encode())
    assert odd.request("POST", "/v1/embeddings", {"model": "m-openai", "input": "x", "stream": True})[0] == 200
    assert last_row(odd)["charge_nanos"] == 4_000


WHOLE = {
    "openai": {**WHOLE_HALF["openai"], "status": "completed", "usage": {"prompt_tokens": 4, "completion_tokens": 3, "input_tokens": 4, "output_tokens": 3},
               "output": [{"type": "message", "id": "i", "content": [{"type": "output_text", "text": "an answer of words", "annotations": []}]}]},
    "anthropic": {**WHOLE_HALF["anthropic"], "role": "assistant", "stop_reason": "end_turn", "usage": {"input_tokens": 4, "output_tokens": 3}},
    "gemini": {**WHOLE_HALF["gemini"], "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 3}},
    "cohere": {**WHOLE_HALF["cohere"], "usage": {"tokens": {"input_tokens": 4, "output_tokens": 3}}},
}


@pytest.mark.parametrize("client", CALLS)
@pytest.mark.parametrize("provider", WHOLE)
def test_a_whole_answer_to_a_streaming_call_is_told_as_a_stream(odd, upstream, client, provider):
    upstream.replay[provider] = (200, "application/json", json.dumps(WHOLE[provider]).encode())
    status, headers, body = ask(odd, client, f"m-{provider}", stream=True)
    assert status == 200 and headers["content-type"].startswith("text/event-stream"), (status, headers, body)
    assert all(part.startswith((b"data: ", b"event: ")) for part in body.replace(b"\r\n", b"\n").split(b"\n\n") if part), body
    assert b"an answer" in body and b'"error":{' not in body, body
    row = last_row(odd)
    assert (row["status"], row["input_tokens"], row["output_tokens"], row["estimated"], row["stream"]) == (200, 4, 3, 0, 1), row


def test_an_error_in_place_of_a_stream_stays_one(odd, upstream):
    for said in ({"error": {"message": "no such thing", "type": "server_error"}}, {"choices": []}, {"hello": 1}):
        upstream.replay["openai"] = (200, "application/json", json.dumps(said).encode())
        status, _, body = ask(odd, "chat", "m-openai", stream=True)
        assert status == 502 and b"no event stream" in body, body


NO_MONEY = {
    "openai": (429, {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}}),
    "anthropic": (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access"}}),
    "gemini": (403, {"error": {"code": 403, "message": "This API method requires billing to be enabled", "status": "PERMISSION_DENIED"}}),
    "cohere": (402, {"message": "please add or update your payment method"}),
}


@pytest.mark.parametrize("provider", NO_MONEY)
def test_an_account_without_money_is_no_budget_of_the_clients(odd, upstream, provider):
    status, said = NO_MONEY[provider]
    upstream.replay[provider] = (status, "application/json", json.dumps(said).encode())
    status, _, body = ask(odd, "messages" if provider == "anthropic" else "chat", f"m-{provider}")
    error = json.loads(body)["error"]
    kind = "billing_error" if provider == "anthropic" else "insufficient_quota"
    assert (status, error["type"], error["code"]) == (429, kind, "upstream_insufficient_quota") and "no budget of your key's" in error["message"], body
    assert odd.metric("weir_target_ejections_total", reason="quota") == 1, "it cools, as its credential does"
    status, _, body = ask(odd, "gemini", f"m-{provider}")
    assert status == 503 and b"used up" in body, body
    assert until(lambda: odd.events("upstream_quota_exhausted"), "it is logged")[0]["target"] == f"{provider}/up-1"
    assert last_row(odd)["charge_nanos"] == 0


def chunk(delta, finish=None, **more):
    return {"choices": [{"index": 0, "delta": delta, "text": delta.get("content", ""), "finish_reason": finish}], **more}


STREAM_HALF = {
    "openai": lambda: sse(chunk({"content": "words"}), chunk({}, "stop", usage={"completion_tokens": 9}), b"[DONE]"),
    "anthropic": lambda: typed({"type": "message_start", "message": {}},
                               {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "words"}},
                               {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
                               {"type": "message_stop"}),
    "gemini": lambda: sse({"candidates": [{"content": {"parts": [{"text": "words"}]}, "finishReason": "STOP"}],
                           "usageMetadata": {"candidatesTokenCount": 9}}),
    "cohere": lambda: sse({"type": "content-delta", "delta": {"message": {"content": {"text": "words"}}}},
                          {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"output_tokens": 9}}}}),
}


@pytest.mark.parametrize("client", ["chat", "completions", "messages", "gemini", "responses"])
@pytest.mark.parametrize("provider", STREAM_HALF)
def test_a_streams_usage_without_its_input_is_estimated(odd, upstream, client, provider):
    if (provider, client) == ("openai", "responses"):
        upstream.replay[provider] = (200, "text/event-stream", typed(
            {"type": "response.output_text.delta", "delta": "words"},
            {"type": "response.completed", "response": {"usage": {"output_tokens": 9}}}))
    else:
        upstream.replay[provider] = (200, "text/event-stream", STREAM_HALF[provider]())
    status, _, body = ask(odd, client, f"m-{provider}", stream=True)
    assert status == 200 and b"words" in body, body
    row = last_row(odd)
    assert row["input_tokens"] > 0 and row["output_tokens"] == 9 and row["estimated"] == 1, row


ERROR_MARKS = {"chat": b'"error"', "completions": b'"error"', "messages": b"event: error", "responses": b"response.failed",
               "gemini": b'"error"'}
CUT = {
    "openai": lambda: sse(chunk({"content": "words"}), chunk({"content": " more"})),
    "anthropic": lambda: typed({"type": "message_start", "message": {"usage": {"input_tokens": 3}}},
                               {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "words"}}),
    "gemini": lambda: sse({"candidates": [{"content": {"parts": [{"text": "words"}]}}]}),
    "cohere": lambda: sse({"type": "content-delta", "delta": {"message": {"content": {"text": "words"}}}}),
}


@pytest.mark.parametrize("client", CALLS)
@pytest.mark.parametrize("provider", CUT)
def test_a_stream_without_an_end_ends_in_an_error(odd, upstream, client, provider):
    if (provider, client) == ("openai", "responses"):
        upstream.replay[provider] = (200, "text/event-stream", typed({"type": "response.output_text.delta", "delta": "words"}))
    else:
        upstream.replay[provider] = (200, "text/event-stream", CUT[provider]())
    status, _, body = ask(odd, client, f"m-{provider}", stream=True)
    assert status == 200 and b"words" in body and b"[DONE]" not in body, body
    end = body.strip().split(b"\n\n")[-1].split(b"\r\n\r\n")[-1]
    assert ERROR_MARKS[client] in end or (client == "responses" and b'"error"' in end), body
    row = last_row(odd)
    assert row["status"] == 502, row
    assert row["input_tokens"] > 0 and row["output_tokens"] > 0 and row["charge_nanos"] > 0, "what came is charged"
    assert row["estimated"] == 1, row


@pytest.mark.parametrize("cut", [b"da", b"data:", b'data: {"id":"c","obj', b'data: {"id":"c"}', b'data: {"id":"c"}\n', b": wait", b"event: x"])
@pytest.mark.parametrize("provider, client", [("openai", "chat"), ("openai", "completions"), ("anthropic", "messages"), ("gemini", "gemini")])
def test_a_stream_cut_within_an_event_ends_in_an_error_event(odd, upstream, provider, client, cut):
    upstream.replay[provider] = (200, "text/event-stream", CUT[provider]() + cut)
    status, _, body = ask(odd, client, f"m-{provider}", stream=True)
    assert status == 200 and b"words" in body, body
    events = [event.split(b"\n") for event in body.strip().split(b"\n\n")]
    for event in events:
        data = b"\n".join(line.removeprefix(b"data: ") for line in event if line.startswith(b"data:"))
        assert data == b"" or json.loads(data), body
    assert ERROR_MARKS[client] in b"\n".join(events[-1]), body


@pytest.mark.parametrize("client", ["chat", "completions", "messages", "gemini"])
def test_a_finish_without_done_is_an_end(odd, upstream, client):
    upstream.replay["openai"] = (200, "text/event-stream", sse(chunk({"content": "words"}), chunk({}, "stop")))
    status, _, body = ask(odd, client, "m-openai", stream=True)
    assert status == 200 and b"words" in body and b'"error"' not in body, body
    assert last_row(odd)["status"] == 200


LEAKS = [f"bad key {SECRET}!", f"GET /x?key={ENCODED}&a=b failed", f"GET /x?key={ENCODED.lower().replace('%2f', '%2F')}",
         f"header x-api-key: {SECRET}", "x" * (2048 - 12) + SECRET]


@pytest.mark.parametrize("client", CALLS)
@pytest.mark.parametrize("provider", NATIVE)
def test_no_error_shows_our_credential(odd, upstream, client, provider):
    def clean(body):
        text = body.decode()
        for form in (SECRET, ENCODED, ENCODED.lower(), json.dumps(SECRET).replace("/", "\\/")[1:-1], SECRET[:10]):
            assert form not in text, text
        return text

    for leak in LEAKS:
        for text in (json.dumps({"error": {"message": leak, "code": "x"}}), json.dumps({"message": leak}).replace("/", "\\/")):
            upstream.replay[provider] = (400, "application/json", text.encode())
            status, _, body = ask(odd, client, f"m-{provider}")
            assert status == 400 and ("***" in clean(body) or len(leak) > 2000)
    error = {"type": "error", "error": {"type": "api_error", "message": LEAKS[0], "code": "server_error"}}
    for begun in (b"", CUT[provider]()):
        for text in (json.dumps(error), json.dumps(error).replace("/", "\\/"), json.dumps(error).replace("+", "\\u002b")):
            upstream.replay[provider] = (200, "text/event-stream", begun + b"event: error\ndata: " + text.encode() + b"\n\n")
            clean(ask(odd, client, f"m-{provider}", stream=True)[2])
    clean((odd.folder / "weir.log").read_bytes())


def test_why_a_service_account_is_refused_stands_in_the_log_alone(weir, upstream, tmp_path):
    private_key = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, text=True, check=True).stdout
    file = tmp_path / "account.json"
    file.write_text(json.dumps({"type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": private_key,
                                "client_email": "weir@p.iam.gserviceaccount.com", "token_uri": f"http://127.0.0.1:{upstream.port}/token"}))
    upstream.replay["token"] = (400, "application/json", json.dumps(
        {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}).encode())
    gateway = weir(f"""accounts:
  vertex: {{provider: vertex, project: p, base_url: "http://127.0.0.1:{upstream.port}/vertex", credentials: "{file}"}}
models:
  m: {{targets: [{{account: vertex, model: gemini-2.5-flash}}]}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
""")
    status, _, body = gateway.chat("m")
    error = json.loads(body)["error"]
    assert status == 401 and error["type"] == "authentication_error", body
    assert "tell those who run the gateway" in error["message"] and "JWT" not in error["message"], body
    event = until(lambda: gateway.events("credential_refused"), "the refusal is logged")[0]
    assert "invalid_grant: Invalid JWT Signature." in event["detail"] and "clock" in event["detail"]
    assert event["target"] == "vertex/gemini-2.5-flash" and "PRIVATE" not in json.dumps(event)


OPENINGS = {
    "chat": ("openai", lambda: sse(chunk({"role": "assistant", "content": ""})),
             {"error": {"message": "too busy", "code": "server_error"}}, lambda: STREAM_HALF["openai"]()),
    "completions": ("openai", lambda: sse(chunk({})), {"error": {"message": "too busy"}}, lambda: STREAM_HALF["openai"]()),
    "responses": ("openai", lambda: typed({"type": "response.created", "response": {"output": []}}, {"type": "response.in_progress", "response": {}}),
                  {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "too busy"}}},
                  lambda: typed({"type": "response.output_text.delta", "delta": "words"},
                                {"type": "response.completed", "response": {"usage": {"input_tokens": 1, "output_tokens": 9}}})),
    "messages": ("anthropic", lambda: typed({"type": "message_start", "message": {"usage": {"input_tokens": 40}}}, {"type": "ping"},
                                            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                 {"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}}, lambda: STREAM_HALF["anthropic"]()),
    "gemini": ("gemini", lambda: sse({"candidates": [{"content": {"role": "model"}}], "usageMetadata": {"promptTokenCount": 40}}),
               {"error": {"code": 503, "status": "UNAVAILABLE", "message": "too busy"}}, lambda: STREAM_HALF["gemini"]()),
}


@pytest.mark.parametrize("client", OPENINGS)
def test_a_stream_that_fails_before_its_first_word_is_tried_elsewhere(weir, upstream, client):
    provider, opening, error, good = OPENINGS[client]
    account = '{{provider: {p}, base_url: "http://127.0.0.1:{port}/{b}", api_key: k}}'
    gateway = weir("accounts:\n" + "".join(f"  {b}: " + account.format(p=provider, port=upstream.port, b=b) + "\n" for b in ("bad", "good")) +
                   "models:\n  m: {targets: [{account: bad, model: up-1}], fallbacks: [n], retries: 0}\n"
                   "  n: {targets: [{account: good, model: up-1}]}\n  alone: {targets: [{account: bad, model: up-1}], retries: 0}\n"
                   f'prices:\n  up-1: {{input: 1, output: 2}}\nkeys:\n  - {{name: test, key: {KEY}, models: ["*"]}}\n')
    name = f"event: {error['type']}\n".encode() if "type" in error else b""
    upstream.replay["bad"] = (200, "text/event-stream", opening() + name + b"data: " + json.dumps(error).encode() + b"\n\n")
    upstream.replay["good"] = (200, "text/event-stream", opening() + good())
    status, headers, body = ask(gateway, client, "m", stream=True)
    assert status == 200 and headers["x-weir-target"] == "good/up-1" and b"words" in body, body
    assert b"too busy" not in body and body.startswith(opening()) and body.count(opening()) == 1, body
    status, _, body = ask(gateway, client, "alone", stream=True)
    assert status >= 400 and b"too busy" in json.dumps(json.loads(body)).encode(), "an error before the answer is an error, not a stream"


def test_a_days_limit_is_named_and_cools_its_target(odd, upstream):
    upstream.replay["openai"] = (429, "application/json", json.dumps({"error": {
        "message": "Rate limit reached for up-1 on tokens per day (TPD): Limit 100000, Used 99999", "type": "tokens", "code": "rate_limit_exceeded"}}).encode())
    status, _, body = ask(odd, "chat", "m-openai")
    assert status == 429 and json.loads(body)["error"]["param"] == "day", body
    status, headers, body = ask(odd, "chat", "m-openai")
    assert status == 503 and b"what it allows in a day" in body and 200 < int(headers["retry-after"]) <= 300, body
    said = odd.metrics()
    assert 'weir_upstream_rate_limits_total{target="openai/up-1",limit="day"} 1' in said
    assert 'weir_target_ejections_total{target="openai/up-1",reason="rate_limited"} 1' in said


TINY = ROOT / "engine/builtin/weir-tiny"
LETTERS = "q z " * 300  # two bytes a token at most, where a quarter of the bytes would be counted
LETTERS_SAID = {
    "chat": lambda: sse(chunk({"content": LETTERS}), chunk({}, "stop"), b"[DONE]"),
    "completions": lambda: sse(chunk({"content": LETTERS}), chunk({}, "stop"), b"[DONE]"),
    "responses": lambda: typed({"type": "response.output_text.delta", "delta": LETTERS}, {"type": "response.completed", "response": {}}),
    "messages": lambda: typed({"type": "message_start", "message": {}},
                              {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": LETTERS}},
                              {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}),
    "gemini": lambda: sse({"candidates": [{"content": {"parts": [{"text": LETTERS}]}, "finishReason": "STOP"}]}),
}


@pytest.mark.parametrize("client", CALLS)
def test_what_nobody_counts_is_counted_by_the_tokenizer_at_hand(weir, upstream, client):
    provider = {"messages": "anthropic", "gemini": "gemini"}.get(client, "openai")
    other = "openai" if client == "messages" else "anthropic"
    account = '{{provider: {p}, base_url: "http://127.0.0.1:{port}/{b}", api_key: k}}'
    gateway = weir("accounts:\n" + "".join(f"  {b}: " + account.format(p=p, port=upstream.port, b=b) + "\n"
                                           for p, b in ((provider, "up"), (other, "other"))) +
                   "engines:\n  tiny: {model: builtin:weir-tiny, context: 256, kv_cache: {memory: 8MiB}}\nmodels:\n"
                   "  bytes: {targets: [{account: up, model: up-1}]}\n"
                   f"  model: {{targets: [{{account: up, model: up-1}}], tokenizer: {TINY}}}\n"
                   f"  target: {{targets: [{{account: up, model: up-1, tokenizer: {TINY}/tokenizer.json}}]}}\n"
                   "  engine: {targets: [{account: up, model: up-1}, {engine: tiny, weight: 0}]}\n"
                   f"  translated: {{targets: [{{account: other, model: up-1}}], tokenizer: {TINY}}}\n"
                   f'prices:\n  up-1: {{input: 1, output: 2}}\nkeys:\n  - {{name: test, key: {KEY}, models: ["*"]}}\n')
    upstream.replay["up"] = (200, "text/event-stream", LETTERS_SAID[client]())
    upstream.replay["other"] = (200, "text/event-stream", LETTERS_SAID["messages" if other == "anthropic" else "chat"]())
    counted = {}
    for model in ("bytes", "model", "target", "engine", "translated"):
        status, _, body = ask(gateway, client, model, stream=True)
        assert status == 200 and LETTERS.encode() in body, body
        row = last_row(gateway)
        assert row["estimated"] == 1 and row["charge_nanos"] == 1000 * row["input_tokens"] + 2000 * row["output_tokens"], row
        counted[model] = (row["input_tokens"], row["output_tokens"])
    assert counted["bytes"][1] == len(LETTERS) / 4, counted
    assert counted["model"] == counted["target"] == counted["engine"] == counted["translated"], counted
    assert 600 <= counted["model"][1] <= 1200 and 2 <= counted["model"][0] <= 40, counted


def test_count_tokens_of_a_target_that_cannot_is_by_its_tokenizer(weir, upstream):
    gateway = weir(f'accounts:\n  up: {{provider: openai, base_url: "http://127.0.0.1:{upstream.port}/up", api_key: k}}\n'
                   "models:\n  bytes: {targets: [{account: up, model: up-1}]}\n"
                   f"  model: {{targets: [{{account: up, model: up-1}}], tokenizer: {TINY}}}\n"
                   f'prices:\n  up-1: {{input: 1, output: 2}}\nkeys:\n  - {{name: test, key: {KEY}, models: ["*"]}}\n')
    counts = {}
    for model in ("bytes", "model"):
        call = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": LETTERS}]}
        status, headers, body = gateway.request("POST", "/v1/messages/count_tokens", call)
        assert status == 200 and headers["x-weir-estimated"] == "true", body
        counts[model] = json.loads(body)["input_tokens"]
    assert counts["bytes"] < 500 < 600 <= counts["model"] <= 1250, counts


def test_a_tokenizer_that_is_none_is_refused_by_check(tmp_path):
    file = tmp_path / "weir.yaml"
    (tmp_path / "tokenizer.json").write_text("{}")
    file.write_text("accounts:\n  up: {provider: openai, api_key: sk-0123456789abcdef}\nmodels:\n"
                    f"  m: {{targets: [{{account: up}}], tokenizer: {tmp_path}}}\n"
                    f"  n: {{targets: [{{account: up, tokenizer: {tmp_path}/tokenizer.json}}]}}\n"
                    f"  o: {{targets: [{{account: up}}], tokenizer: {tmp_path}/absent}}\n")
    result = subprocess.run([BINARY, "check", file], capture_output=True, text=True, timeout=60)
    said = result.stdout + result.stderr
    assert result.returncode == 2 and "models.m.tokenizer: " in said and "models.n.targets[0].tokenizer: " in said, said
    assert "weir.yaml:4:" in said and "weir.yaml:5:" in said and "warning: models.o.tokenizer: there is no file or folder" in said, said
