"""The process around the requests: reload, drain, TLS and its certificate, a bad configuration, several cores."""
import contextlib
import http.client
import json
import os
import resource
import socket
import ssl
import subprocess
import threading
import time

from conftest import ADMIN, BINARY, KEY, until
from loadgen import one, run


def test_a_reload_drops_no_request(weir, standard):
    gateway = weir(standard)
    statuses, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            statuses.append(gateway.chat("m-ok")[0])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(5):
        gateway.write(standard + f'  - {{name: new{i}, key: sk-new-{i}-0123456789abcdef}}\n')
        until(lambda: gateway.chat("echo", key=f"sk-new-{i}-0123456789abcdef")[0] == 200, "the new key works")
    stop.set()
    for thread in threads:
        thread.join()
    assert len(statuses) > 20 and set(statuses) == {200}
    assert gateway.chat("echo", key="sk-new-0-0123456789abcdef")[0] == 401, "a key that is gone is refused"
    changes = until(lambda: [e["change"] for e in gateway.events("config_change") if "new4" in e["change"]], "the change is logged")
    assert changes and "sk-new" not in (gateway.folder / "weir.log").read_text()


def test_a_stream_keeps_the_snapshot_it_began_with(weir, standard):
    gateway = weir(standard)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(gateway.chat("m-slow", stream=True)))
    thread.start()
    until(lambda: gateway.metric("weir_in_flight_requests") == 1, "the stream runs")
    gateway.write(standard.replace("  m-slow: ", "  m-renamed: "))
    until(lambda: gateway.chat("m-slow")[0] == 404, "the model is gone")
    thread.join()
    status, _, body = answers[0]
    assert status == 200 and body.endswith(b"data: [DONE]\n\n")


def test_another_credential_is_tried_at_once(weir, standard, upstream):
    gateway = weir(standard)
    assert gateway.chat("m-status401")[0] == 401
    assert gateway.chat("m-status401")[0] == 503, "the account cools"
    gateway.write(standard.replace(upstream.url("status401"), upstream.url("ok")))
    until(lambda: gateway.events("config_reloaded"), "the reload is done")
    assert gateway.chat("m-status401")[0] == 200


def test_another_secret_is_taken_and_so_is_drop_params(weir, upstream):
    """Of those that are not api_key."""
    config = (f'accounts:\n  c: {{provider: anthropic, base_url: "{upstream.url("ok")}", auth_token: old-token-0123456789}}\n'
              f'models:\n  c: {{targets: [{{account: c}}]}}\nkeys:\n  - {{name: test, key: {KEY}, models: ["*"]}}\n')
    gateway = weir(config)
    token = lambda: dict(upstream.requests[-1][1]).get("authorization")
    assert gateway.chat("c", seed=1)[0] == 400
    gateway.chat("c")
    assert token() == "Bearer old-token-0123456789"
    gateway.write(config.replace("old-token-0123456789", "new-token-0123456789, drop_params: true"))
    until(lambda: gateway.events("config_reloaded"), "the reload is done")
    gateway.chat("c", seed=1)
    assert token() == "Bearer new-token-0123456789"


def test_a_bad_file_is_refused_and_the_old_one_stays(weir, standard):
    gateway = weir(standard)
    gateway.write(standard.replace("targets: [{account: parrot}]", "targets: [{acount: parrot}]"))
    mistakes = until(lambda: gateway.events("config_mistake") if gateway.events("config_refused") else None, "the refusal is logged")
    text = "\n".join(event["detail"] for event in mistakes)
    assert 'did you mean "account"' in text and f"{gateway.file}:" in text
    assert gateway.metric("weir_config_reloads_total", result="failure") >= 1
    assert gateway.chat("echo")[0] == 200
    gateway.write(standard)
    gateway.process.send_signal(1)  # SIGHUP
    until(lambda: gateway.events("config_reloaded"), "the good file is taken")


def test_sigterm_drains(weir, standard):
    gateway = weir(standard)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(gateway.chat("m-slow", stream=True))) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: gateway.metric("weir_in_flight_requests") == 4, "four streams run")
    assert gateway.stop() == 0
    for thread in threads:
        thread.join()
    assert [a[0] for a in answers] == [200] * 4 and all(a[2].endswith(b"data: [DONE]\n\n") for a in answers)
    assert len(gateway.rows()) == 4 and not list(gateway.folder.glob("*.journal*"))


def test_a_second_sigterm_waits_no_longer(weir, standard, upstream):
    gateway = weir('server: {listen: "127.0.0.1:PORT", threads: 2, drain_timeout: 50s}\n'
                   + standard.replace("first_token: 2s, total: 20s", "first_token: 60s, total: 60s"))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(gateway.chat("m-hang")))
    thread.start()
    until(lambda: gateway.metric("weir_in_flight_requests") == 1, "it waits")
    gateway.process.send_signal(15)
    until(lambda: gateway.events("draining"), "the drain has begun")
    begun = time.monotonic()
    assert gateway.stop() == 0 and time.monotonic() - begun < 20
    thread.join()
    assert answers[0][0] == 503 and b"shutting_down" in answers[0][2]
    assert len(gateway.rows()) == 1


def test_a_reload_under_way_holds_up_no_drain(weir, standard):
    gateway = weir(standard)
    gateway.file.unlink()
    os.mkfifo(gateway.file)

    def being_read():  # only then may a pipe be opened for writing; it takes seconds, because nothing is written
        with contextlib.suppress(OSError):
            return os.open(gateway.file, os.O_WRONLY | os.O_NONBLOCK)

    silent = until(being_read, "the reload reads")
    assert gateway.chat("echo")[0] == 200
    assert gateway.stop() == 0
    os.close(silent)
    assert gateway.events("drained") and gateway.events("reload_left_unfinished")
    assert len(gateway.rows()) == 1


def test_a_start_is_given_up_or_drained(tmp_path):
    """Whenever the signal comes, either nothing was served or what was served is drained."""
    file = tmp_path / "weir.yaml"
    file.write_text(f'server: {{listen: "127.0.0.1:0"}}\nstore: {{url: "sqlite:{tmp_path}/weir.db"}}\nengines:\n  tiny: {{model: "builtin:weir-tiny"}}\n'
                    "models:\n  m: {targets: [{engine: tiny}]}\n")
    for delay in range(16):
        process = subprocess.Popen([BINARY, "serve", "--config", file], stderr=subprocess.PIPE, text=True)
        time.sleep(0.01 * delay)
        process.terminate()
        log = process.communicate(timeout=20)[1]
        given_up, listening, drained = ('"event":"%s"' % event in log for event in ("stopped_while_starting", "listening", "drained"))
        assert process.returncode in (0, -15) and (process.returncode == 0) == (given_up or drained), log
        assert listening == drained and not (given_up and listening), log


def test_a_pipe_in_the_configurations_place_is_passed_over(weir, standard):
    gateway = weir(standard)
    gateway.file.unlink()
    os.mkfifo(gateway.file)
    until(lambda: gateway.events("config_refused"), "the pipe is refused", 90)
    gateway.file.unlink()
    gateway.write(standard.replace("  m-slow: ", "  m-renamed: "))
    until(lambda: gateway.chat("m-slow")[0] == 404, "the file that came after it is read", 90)


def test_want_of_descriptors_is_said_and_passes(weir, standard):
    gateway = weir(standard)
    assert gateway.chat("echo")[0] == 200
    process = gateway.process.pid
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{process}/fd")) + 2, before[1]))
    waiting = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(8)]
    events = until(lambda: gateway.events("cannot_accept"), "the want is logged")
    assert "open files" in events[0]["detail"] and len(events) <= 4
    resource.prlimit(process, resource.RLIMIT_NOFILE, before)
    assert gateway.chat("echo")[0] == 200
    for connection in waiting:
        connection.close()


def certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)


def common_name(port):
    with socket.create_connection(("127.0.0.1", port)) as raw:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(raw) as tls:
            return subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"], input=tls.getpeercert(True),
                                  capture_output=True, check=True).stdout.decode().strip().split("=")[-1].strip()


def test_tls_and_a_new_certificate(weir, standard, tmp_path):
    certificate(tmp_path, "first")
    config = (f'server: {{listen: "127.0.0.1:PORT", threads: 2, tls: {{certificate: {tmp_path}/cert.pem, key: {tmp_path}/key.pem}}}}\n'
              + standard)
    gateway = weir(config)
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    connection = http.client.HTTPSConnection("127.0.0.1", gateway.port, context=context, timeout=30)
    for _ in range(2):  # the second on the same connection
        connection.request("POST", "/v1/chat/completions", json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Hello!"}]}),
                           {"authorization": f"Bearer {KEY}"})
        response = connection.getresponse()
        assert response.status == 200 and response.read()
    assert common_name(gateway.port) == "first"
    certificate(tmp_path, "second")
    gateway.process.send_signal(1)
    until(lambda: common_name(gateway.port) == "second", "the new certificate is served")
    connection.close()


def test_budget_never_overshoots_at_any_concurrency(weir, standard):
    config = standard + "  - {name: poor, key: sk-poor-0123456789abcdef, budget: {usd: 0.0002, per: 3650d}}\n"
    gateway = weir(config)
    answers = run([one(gateway.port, "sk-poor-0123456789abcdef", "echo", "six words cost a little money", stream=i % 2 == 0,
                       max_tokens=6) for i in range(120)])
    served = [a for a in answers if a.status == 200]
    assert served and {a.status for a in answers} == {200, 429}
    gateway.stop()
    spent = sum(row["charge_nanos"] for row in gateway.rows() if row["key"] == "poor")
    assert 0 < spent <= 200_000


def test_concurrency_limit_frees_with_the_client(weir, standard):
    config = standard + "  - {name: two, key: sk-two-0123456789abcdef, limits: {concurrency: 2}}\n"
    gateway = weir(config)
    key = "sk-two-0123456789abcdef"
    for _ in range(3):
        answers = run([one(gateway.port, key, "m-slow", "x", leave_after=2) for _ in range(4)])
        assert sorted(a.status for a in answers) == [200, 200, 429, 429]
        until(lambda: gateway.metric("weir_in_flight_requests") == 0, "the clients that left are settled")


def test_health_shows_a_cooling_target(weir, standard):
    gateway = weir(standard)
    assert gateway.chat("m-status429")[0] == 429
    health = json.loads(gateway.request("GET", "/health", key=ADMIN)[2])
    target = next(t for t in health["targets"] if t["target"] == "status429/mock-1")
    assert target["state"] != "up" and "429" in target["reason"]
    assert gateway.metric("weir_target_up", target="status429/mock-1") == 0
    assert gateway.metric("weir_target_ejections_total", target="status429/mock-1") == 1
    until(lambda: gateway.chat("m-status429")[0] == 429, "after its second it is tried again")
