"""Clients that leave before their answer is whole: they pay for what was sent and what was made, and for nothing else."""
import json
import socket
import threading

import pytest

from conftest import KEY, until


class Script:
    """An upstream that says `parts`, one after the other, to each who asks; where one is an Event it waits for it."""

    def __init__(self, *parts):
        self.parts = parts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        self.cut_off = threading.Event()  # who asked closed before all was said
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._say, args=(client,), daemon=True).start()

    def _say(self, client):
        with client:
            got = b""
            while b"\r\n\r\n" not in got:
                got += client.recv(1 << 16)
            head, body = got.split(b"\r\n\r\n", 1)
            length = int(next(line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")))
            while len(body) < length:
                body += client.recv(1 << 16)
            for part in self.parts:
                if isinstance(part, bytes):
                    client.sendall(part)
                elif part is None:  # for ever
                    client.recv(1)
                    self.cut_off.set()
                else:
                    part.wait(30)


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta, finish=None, **more):
    return event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
                  "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})


def start(weir, url, model, key=""):
    return weir(f"""accounts:
  o: {{provider: openai, base_url: "{url}", api_key: sk-x}}
models:
  m: {{targets: [{{account: o, model: {model}}}]}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]{key}}}
""")


def leave(gateway, path, body, when):
    """Asks, closes once `when(bytes of the answer so far)`, and returns them."""
    text = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
        client.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\ncontent-type: application/json\r\n"
                       b"content-length: %d\r\n\r\n%s" % (path.encode(), KEY.encode(), len(text), text))
        got = b""
        while not when(got):
            data = client.recv(1 << 16)
            assert data, got
            got += data
        return got


def rows(gateway):
    until(lambda: gateway.metric("weir_in_flight_requests") == 0, "nothing in flight")
    gateway.stop()
    return gateway.rows()


def only_row(gateway):
    (row,) = rows(gateway)
    return row


def test_a_prompt_that_waited_for_a_token_is_not_charged(weir):
    with socket.create_server(("127.0.0.1", 0)) as authority:  # takes the question and never answers
        url = f"http://127.0.0.1:{authority.getsockname()[1]}"
        gateway = weir(f"""accounts:
  az: {{provider: azure, base_url: "{url}", tenant_id: t, client_id: c, client_secret: s3cr3tsecret, authority: "{url}"}}
models:
  m: {{targets: [{{account: az, model: gpt-4.1}}]}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
""")
        asked = []

        def asks(got):
            asked.append(authority.accept()[0])
            return asked[0].recv(1)

        leave(gateway, "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "y" * 100_000}]}, asks)
        row = only_row(gateway)
    assert (row["status"], row["input_tokens"], row["charge_nanos"]) == (499, 0, 0), row


def test_a_prompt_that_was_sent_is_charged(weir, upstream, standard):
    gateway = weir(standard)
    leave(gateway, "/v1/chat/completions", {"model": "m-hang", "messages": [{"role": "user", "content": "y" * 1000}]},
          lambda got: until(lambda: upstream.requests, "the upstream has the call"))
    row = only_row(gateway)
    assert (row["status"], row["estimated"]) == (499, 1) and 250 <= row["input_tokens"] < 300, row


VISIBLE = EVENTS + chunk({"role": "assistant", "content": ""}) + chunk({"content": "The answer is 42."})
TOLD = chunk({}, "stop") + event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": {
    "prompt_tokens": 20, "completion_tokens": 30_008, "total_tokens": 30_028,
    "completion_tokens_details": {"reasoning_tokens": 30_000}}}) + b"data: [DONE]\n\n"
ASK = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}


def test_reasoning_that_nobody_saw_is_paid_by_who_leaves_before_the_end(weir):
    left = threading.Event()
    with Script(VISIBLE, left, TOLD) as upstream:
        gateway = start(weir, upstream.url, "gpt-5", ", limits: {concurrency: 1}")
        leave(gateway, "/v1/chat/completions", ASK, lambda got: b"42." in got)
        # The key's place is free, though the upstream has not ended.
        until(lambda: leave(gateway, "/v1/chat/completions", ASK, lambda got: b"\r\n\r\n" in got).startswith(b"HTTP/1.1 200"),
              "another call may come")
        left.set()
        both = rows(gateway)
    assert len(both) == 2
    for row in both:
        assert (row["input_tokens"], row["output_tokens"], row["reasoning_tokens"], row["estimated"]) == (20, 30_008, 30_000, 0), row
        assert row["charge_nanos"] == 20 * 1_250 + 30_008 * 10_000


def test_an_upstream_that_goes_on_is_let_go(weir):
    with Script(VISIBLE, None) as upstream:
        gateway = start(weir, upstream.url, "gpt-5")
        leave(gateway, "/v1/chat/completions", ASK, lambda got: b"42." in got)
        assert upstream.cut_off.wait(30)
        row = only_row(gateway)
    assert (row["status"], row["cancelled"], row["estimated"]) == (499, 1, 1) and row["charge_nanos"] > 0, row


def test_a_shutdown_does_not_wait_longer_for_who_left(weir):
    with Script(VISIBLE, None) as upstream:
        gateway = start(weir, upstream.url, "gpt-5")
        leave(gateway, "/v1/chat/completions", ASK, lambda got: b"42." in got)
        assert gateway.stop() == 0
        (row,) = gateway.rows()
    assert (row["status"], row["estimated"]) == (499, 1), row


def test_images_that_were_seen_are_paid(weir):
    partial = event({"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "A" * 20_000})
    with Script(EVENTS + partial, None) as upstream:
        gateway = start(weir, upstream.url, "gpt-image-1")
        leave(gateway, "/v1/images/generations", {"model": "m", "prompt": "cat", "stream": True, "partial_images": 3},
              lambda got: b"partial_image_index" in got)
        row = only_row(gateway)
    assert (row["status"], row["estimated"], row["output_tokens"]) == (499, 1, 6540), row
    assert row["charge_nanos"] == row["input_tokens"] * 5_000 + 6540 * 40_000 and row["input_tokens"] > 10


def test_speech_as_events_comes_as_it_is_made_and_is_charged(weir):
    heard = threading.Event()
    with Script(EVENTS + event({"type": "speech.audio.delta", "audio": "AAAA"}), heard, event(
            {"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 2000, "total_tokens": 2014}})) as upstream:
        gateway = start(weir, upstream.url, "gpt-4o-mini-tts")

        def all_of_it(got):
            if b"speech.audio.delta" in got:
                heard.set()
            return b"speech.audio.done" in got

        leave(gateway, "/v1/audio/speech", {"model": "m", "input": "x" * 60, "voice": "alloy", "stream_format": "sse"}, all_of_it)
        row = only_row(gateway)
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == (14, 2000, 0), row
    assert row["charge_nanos"] == 14 * 600 + 2000 * 12_000


@pytest.mark.parametrize("stream", [False, True])
def test_sound_that_breaks_off_is_not_whole(weir, stream):
    sound = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n" + b"\xff" * 1000 + b"\r\n"
    with Script(sound) as upstream:  # and no last chunk
        gateway = start(weir, upstream.url, "tts-1")
        body = json.dumps({"model": "m", "input": "x" * 60, "voice": "alloy", "stream": stream}).encode()
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
            client.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\nconnection: close\r\n"
                           b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (KEY.encode(), len(body), body))
            got = b""
            while data := client.recv(1 << 16):
                got += data
        row = only_row(gateway)
    assert row["status"] == 502, row
    if stream:
        assert got.startswith(b"HTTP/1.1 200") and b"\r\ncontent-type: audio/mpeg\r\n" in got.lower() and got.endswith(b"\xff\r\n"), got[-200:]
    else:
        assert got.startswith(b"HTTP/1.1 502"), got
