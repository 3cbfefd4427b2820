"""An engine whose step takes too long: what it was at ends with an error or goes elsewhere, and the process says so."""
import json
import threading

import pytest

from conftest import ADMIN, KEY, until

LONG = " ".join(f"word{n}" for n in range(220))  # a step of it takes far longer than a millisecond


@pytest.fixture
def gateway(weir):
    return weir(f"""admin_key: {ADMIN}
accounts: {{parrot: {{provider: echo}}}}
engines:
  slow: {{model: "builtin:weir-tiny", step_timeout: 1ms, step_tokens: 2048}}
models:
  alone: {{targets: [{{engine: slow}}]}}
  backed: {{targets: [{{engine: slow}}], fallbacks: [echo]}}
  echo: {{targets: [{{account: parrot}}]}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
prices: {{alone: {{input: 1.00, output: 1.00}}}}
""")


def test_a_stall_is_an_error_and_then_over(gateway):
    status, _, body = gateway.chat("alone", LONG)
    error = json.loads(body)["error"]
    assert status == 502 and error["code"] == "upstream_error" and "step_timeout" in error["message"], body
    assert gateway.metric("weir_engine_stalls_total", engine="slow") >= 1
    until(lambda: gateway.request("GET", "/health/ready", key=None)[0] == 200, "the engine is up again")
    assert gateway.metric("weir_engine_up", engine="slow") == 1
    until(lambda: gateway.events("engine_up"), "the log says so")
    down = gateway.events("engine_down")
    assert down[0]["engine"] == "slow" and "step_timeout" in down[0]["detail"]
    until(lambda: gateway.metric("weir_in_flight_requests") == 0, "all is settled")
    assert gateway.metric("weir_engine_running_sequences") + gateway.metric("weir_engine_waiting_sequences") == 0
    gateway.stop()
    row = gateway.rows()[-1]
    assert row["status"] == 502 and row["charge_nanos"] == 0


def test_what_can_goes_to_a_fallback(gateway):
    for stream in (False, True):
        status, headers, body = gateway.chat("backed", LONG, stream=stream)
        assert status == 200 and headers["x-weir-target"].startswith("parrot/"), body
    assert gateway.metric("weir_fallbacks_total", model="backed") == 2


def test_readiness_and_targets_say_it_meanwhile(gateway):
    """Many at once keep the engine in trouble; whoever looks then sees it, or sees it recover."""
    seen, statuses = set(), []
    threads = [threading.Thread(target=lambda: statuses.append(gateway.chat("alone", LONG)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        status, _, body = gateway.request("GET", "/health/ready", key=None)
        seen.add(status)
        if status == 503:
            assert "engine slow: a step takes longer than step_timeout" in body.decode()
    assert set(statuses) <= {502, 503} and len(statuses) == 8
    until(lambda: gateway.request("GET", "/health/ready", key=None)[0] == 200, "the engine is up again")
    assert gateway.metric("weir_target_up", target="engine/slow") == 1
