"""What hostile clients, odd upstreams and the end of the process do: every answer is clean, nothing is charged twice."""
import json
import re
import socket
import subprocess
import threading

from conftest import BINARY, KEY, until
from loadgen import one, run
from test_serve import certificate, common_name


def error_of(body):
    return json.loads(body)["error"]


def raw(gateway, data):
    """Everything that comes back until the gateway closes."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
        client.sendall(data)
        out = b""
        while True:
            part = client.recv(65536)
            if not part:
                return out.decode()
            out += part


def test_a_full_queue_ejects_nobody(weir, standard):
    gateway = weir(standard.replace('tiny: {model: "builtin:weir-tiny"}', 'tiny: {model: "builtin:weir-tiny", max_sequences: 1, queue: 1}'))
    answers = run([one(gateway.port, KEY, "tiny", "Count from 1 to 30.", max_tokens=200, ignore_eos=True) for _ in range(12)])
    assert {a.status for a in answers} == {200, 429}
    full = next(a for a in answers if a.status == 429)
    assert error_of(full.bytes)["code"] == "engine_overloaded"
    assert gateway.metric("weir_target_up", target="engine/tiny") == 1
    assert gateway.metric("weir_target_ejections_total", target="engine/tiny") == 0
    assert gateway.chat("tiny")[0] == 200


def test_the_drains_deadline_is_said(weir, standard, upstream):
    gateway = weir('server: {listen: "127.0.0.1:PORT", threads: 2, drain_timeout: 200ms}\n' + standard.replace("first_token: 2s, total: 20s", "first_token: 60s, total: 60s"))
    answers = {}
    threads = [threading.Thread(target=lambda m=m, s=s: answers.__setitem__(m, gateway.chat(m, stream=s)))
               for m, s in (("m-veryslow", True), ("m-hang", False))]
    for thread in threads:
        thread.start()
    until(lambda: len(upstream.requests) == 2, "both calls are under way")
    until(lambda: gateway.metric("weir_in_flight_requests") == 2, "both are in flight")
    assert gateway.stop() == 0
    for thread in threads:
        thread.join()
    status, _, body = answers["m-veryslow"]
    if status == 200:  # the drain may come before its first word
        events = body.decode().strip().split("\n\n")
        assert error_of(events[-1].removeprefix("data: "))["code"] == "shutting_down" and "[DONE]" not in body.decode()
    status, headers, body = answers["m-hang"]
    assert status == 503 and error_of(body)["code"] == "shutting_down" and headers["retry-after"] == "1"
    rows = {row["model"]: row for row in gateway.rows()}
    assert {row["status"] for row in rows.values()} == {503} and {row["error_code"] for row in rows.values()} == {"shutting_down"}
    assert rows["m-hang"]["charge_nanos"] == 0 and rows["m-hang"]["input_tokens"] == 0


def test_a_strangers_body_is_not_read(weir, standard):
    gateway = weir(standard)
    for path, status in (("/v1/chat/completions", 401), ("/nowhere", 404), ("/health/live", 405)):
        answer = raw(gateway, b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 31000000\r\nExpect: 100-continue\r\n\r\n" % path.encode())
        assert answer.startswith(f"HTTP/1.1 {status} "), answer
        assert "x-weir-request-id: req_" in answer and "connection: close" in answer.lower()
    status, headers, body = gateway.request("POST", "/v1/chat/completions", b"x" * 1_000_000, key="sk-wrong")
    assert status == 401 and error_of(body)["code"] == "invalid_api_key" and headers["x-weir-request-id"]
    assert gateway.metric("weir_requests_total", status="401") == 2


def test_every_answer_has_an_id_and_options_are_answered(weir, standard):
    gateway = weir(standard)
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405), ("GET", "/v1/models", 200),
                                 ("GET", "/v1/models/nope", 404), ("OPTIONS", "*", 204), ("OPTIONS", "/v1/models", 204)):
        got, headers, _ = gateway.request(method, path)
        assert got == status and headers["x-weir-request-id"].startswith("req_"), (method, path, got)
    assert "x-weir-request-id: req_" in raw(gateway, b"nonsense\r\n\r\n")


def test_rate_limit_headers_on_the_refusal(weir, standard):
    gateway = weir(standard + "  - {name: slow, key: sk-slow-0123456789abcdef, limits: {rpm: 1}}\n")
    assert gateway.chat("echo", key="sk-slow-0123456789abcdef")[0] == 200
    status, headers, body = gateway.chat("echo", key="sk-slow-0123456789abcdef")
    assert status == 429 and error_of(body)["code"] == "rate_limit_exceeded"
    assert headers["x-ratelimit-limit-requests"] == "1" and headers["x-ratelimit-remaining-requests"] == "0"
    reset = headers["x-ratelimit-reset-requests"]
    assert re.fullmatch(r"(\d+m)?\d+(ms|s)", reset) and f"Try again in {reset}." in error_of(body)["message"]
    assert ".." not in error_of(body)["message"]


def test_a_target_that_hangs_ends_with_its_attempt(weir, standard):
    config = standard.replace("prices:\n", "  m-late: {targets: [{account: hang, model: mock-1}], fallbacks: [m-ok], timeout: {attempt: 300ms, total: 60s}}\nprices:\n")
    gateway = weir(config)
    for stream in (False, True):
        status, headers, _ = gateway.chat("m-late", stream=stream)
        assert status == 200 and headers["x-weir-target"] == "ok/mock-1" and headers["x-weir-attempts"] == "2"


def test_time_per_token_is_of_streams(weir, standard):
    gateway = weir(standard)
    assert gateway.chat("m-ok")[0] == 200
    assert gateway.metric("weir_time_per_output_token_seconds_count") == 0
    assert gateway.chat("m-ok", stream=True)[0] == 200
    until(lambda: gateway.metric("weir_time_per_output_token_seconds_count") == 1, "the stream is settled")


def test_an_answer_that_is_no_stream(weir, standard, upstream):
    gateway = weir(standard)
    for content_type, text in (("text/html", b"<html>\n\n<h1>Sorry</h1>\n\n</html>"), ("text/plain", b"all is well\n\nor not\n"),
                               ("application/json", b'{"choices": []}')):
        upstream.replay["replay"] = (200, content_type, text)
        status, _, body = gateway.chat("m-replay", stream=True)
        if status == 503:  # it cools down after three of them
            break
        message = error_of(body)["message"]
        assert status == 502 and error_of(body)["code"] == "upstream_error"
        assert "stream" in message and "status 502" not in message, message


def test_absurd_usage_stays_an_integer(weir, standard, upstream):
    gateway = weir(standard.replace("mock-1: {input: 0.15", "mock-1: {input: 9000000000").replace("output: 0.60", "output: 9000000000"))
    usage = {"prompt_tokens": 99_999_999, "completion_tokens": 99_999_999, "total_tokens": 199_999_998}
    upstream.replay["replay"] = (200, "application/json", json.dumps({"choices": [{"index": 0, "message": {"content": "x"}}], "usage": usage}).encode())
    for _ in range(3):
        assert gateway.chat("m-replay")[0] == 200
    gateway.stop()
    rows = gateway.rows()
    assert [row["charge_nanos"] for row in rows] == [10**15] * 3 and {row["input_tokens"] for row in rows} == {99_999_999}


def test_check_and_reload_refuse_a_certificate_that_cannot_serve(weir, standard, tmp_path):
    certificate(tmp_path, "first")
    config = (f'server: {{listen: "127.0.0.1:PORT", threads: 2, tls: {{certificate: {tmp_path}/cert.pem, key: {tmp_path}/key.pem}}}}\n' + standard)
    gateway = weir(config)
    other = tmp_path / "other"
    other.mkdir()
    certificate(other, "second")
    (tmp_path / "key.pem").write_bytes((other / "key.pem").read_bytes())
    checked = subprocess.run([BINARY, "check", gateway.file], capture_output=True, text=True)
    assert checked.returncode == 2 and "server.tls" in checked.stdout, checked.stdout
    gateway.process.send_signal(1)
    until(lambda: gateway.events("config_refused"), "the reload is refused")
    assert common_name(gateway.port) == "first" and not gateway.events("config_reloaded")
    (tmp_path / "key.pem").write_text("garbage")
    assert subprocess.run([BINARY, "check", gateway.file], capture_output=True).returncode == 2


def test_generate_refuses_what_the_build_lacks():
    for option in (("--device", "cuda"), ("--quantization", "fp4")):
        result = subprocess.run([BINARY, "generate", "--model", "builtin:weir-tiny", "--prompt", "x", *option], capture_output=True, text=True)
        assert result.returncode == 2 and option[0] in result.stderr


def test_an_answer_that_says_nothing_is_no_success(weir, standard, upstream):
    gateway = weir(standard)
    ask = {"model": "m-replay", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    calls = {"/v1/chat/completions": ask, "/v1/messages": ask, "/v1/completions": {"model": "m-replay", "prompt": "x"},
             "/v1/responses": {"model": "m-replay", "input": "x"}, "/v1/embeddings": {"model": "m-replay", "input": "x"},
             "/v1/moderations": {"model": "m-replay", "input": "x"}, "/v1/images/generations": {"model": "m-replay", "prompt": "x"},
             "/v1/rerank": {"model": "m-replay", "query": "x", "documents": ["y"]}}
    for answer in (b"{}", b"[]", b"<html>busy</html>", b""):
        upstream.replay["replay"] = (200, "application/json", answer)
        for path, body in calls.items():
            status, _, said = gateway.request("POST", path, body)
            # After some of these the target cools down, and that is said.
            assert status in (502, 503), (path, answer, said)
    assert all(row["charge_nanos"] == 0 and row["status"] >= 500 for row in gateway.rows())


def test_a_page_is_no_stream(weir, standard, upstream):
    gateway = weir(standard.replace("provider: openai, base_url: \"" + upstream.url("replay") + "\"",
                                    "provider: gemini, base_url: \"" + upstream.url("replay") + "\""))
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    for kind, text in (("text/html", b"<html>busy</html>"), ("application/json", b'{"candidates":[]}')):
        upstream.replay["replay"] = (200, kind, text)
        status, _, said = gateway.request("POST", "/v1beta/models/m-replay:streamGenerateContent?alt=sse", body)
        assert status in (502, 503) and b"<html>" not in said, said
    assert all(row["charge_nanos"] == 0 for row in gateway.rows())


def test_what_an_upstream_says_of_our_credential_stays_here(weir, standard, upstream):
    gateway = weir(standard)
    secret = b'{"error":{"message":"Incorrect API key provided: sk-upstream-replay","code":"invalid_api_key"}}'
    upstream.replay["replay"] = (401, "application/json", secret)
    status, _, body = gateway.chat("m-replay")
    assert status == 401 and b"sk-upstream" not in body and "credential" in error_of(body)["message"]


def test_a_key_in_the_address_may_be_percent_encoded(weir, standard):
    gateway = weir(standard)
    assert gateway.request("GET", "/v1/models?key=" + KEY.replace("-", "%2D"), key=None)[0] == 200
