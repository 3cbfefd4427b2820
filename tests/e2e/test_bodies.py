"""Bodies of unusual size or beginning: read by the workers, left halfway, refused before they were whole."""
import gzip
import json
import socket

import pytest

from conftest import KEY, until

LARGE = "flow weir " * 30_000  # 300 KB: over limits.inline


@pytest.fixture(params=["256KiB", "1KiB"])
def gateway(weir, standard, request):
    """Large bodies by workers, then nearly all of them, with one worker alone."""
    workers = 1 if request.param == "1KiB" else 2
    server = f'server: {{listen: "127.0.0.1:PORT", threads: 2, workers: {workers}, limits: {{inline: {request.param}}}}}\n'
    return weir(server + standard)


def post(gateway, path, body, **headers):
    return gateway.request("POST", path, body, {"content-type": "application/json", **headers})


@pytest.mark.parametrize("stream", [False, True])
def test_large_bodies_pass_and_are_translated(gateway, upstream, stream):
    status, _, body = gateway.chat("m-ok", LARGE, stream=stream)
    assert status == 200, body[:500]
    assert json.loads(upstream.requests[-1][2])["messages"][0]["content"] == LARGE
    call = {"model": "m-ok", "max_tokens": 20, "stream": stream, "system": "s", "messages": [{"role": "user", "content": LARGE}]}
    status, _, body = post(gateway, "/v1/messages", call)
    assert status == 200, body[:500]
    assert json.loads(upstream.requests[-1][2])["messages"][-1]["content"] == LARGE
    status, _, body = gateway.chat("echo", LARGE, stream=stream, max_tokens=100_000)
    assert status == 200 and len(body) > 100_000


def test_large_mistakes_are_named(gateway):
    for text, param in (('{"model":"m-ok","messages":[{"role":"user","content":"%s"}' % LARGE, None),
                        ('{"model":"m-ok","user":5,"messages":[{"role":"user","content":"%s"}]}' % LARGE, "user"),
                        ('{"model":"nope","messages":[{"role":"user","content":"%s"}]}' % LARGE, "model")):
        status, _, body = post(gateway, "/v1/chat/completions", text)
        error = json.loads(body)["error"]
        assert status in (400, 404) and error["param"] == param, error


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_byte_order_mark_and_lone_surrogates_are_read(gateway, upstream, path):
    for words in ("half \\ud83d a pair", "half \\ud83d " + LARGE):
        body = '{"model":"m-ok","max_tokens":9,"messages":[{"role":"user","content":"%s"}]}' % words
        status, _, answer = post(gateway, path, b"\xef\xbb\xbf" + body.encode())
        assert status == 200, answer[:500]
        assert not upstream.requests[-1][2].startswith(b"\xef\xbb\xbf")


def test_a_body_in_a_coding_is_refused(gateway):
    call = {"model": "echo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    status, _, body = post(gateway, "/v1/chat/completions", gzip.compress(json.dumps(call).encode()), **{"content-encoding": "gzip"})
    assert status == 415 and "Content-Encoding: gzip" in json.loads(body)["error"]["message"]
    assert post(gateway, "/v1/messages", json.dumps(call), **{"content-encoding": "identity"})[0] == 200


def test_clients_that_leave_while_a_worker_works(gateway):
    body = json.dumps({"model": "m-slow", "messages": [{"role": "user", "content": LARGE}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(30)]
    for client in clients:
        client.sendall(head.encode() + body)
        client.close()
    until(lambda: gateway.metric("weir_in_flight_requests") == 0, "nothing is in flight")
    assert gateway.chat("m-ok")[0] == 200
    gateway.stop()
    assert sum(row["key"] == "test" for row in gateway.rows()) <= 31


def test_a_refusal_outlives_a_large_upload(gateway):
    """By clients that read only when all is sent, and lose the answer where the connection is reset."""
    status, _, body = gateway.request("POST", "/v1/chat/completions", b"x" * 20_000_000, key="sk-wrong")
    assert status == 401 and json.loads(body)["error"]["code"] == "invalid_api_key"
    status, _, body = gateway.request("POST", "/v1/chat/completions", b"x" * 40_000_000)
    assert status == 413 and json.loads(body)["error"]["code"] == "request_too_large"
