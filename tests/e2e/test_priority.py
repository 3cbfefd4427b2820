"""Keys of a higher priority wait less for an engine of our own, and a deadline that passes in its queue is a timeout."""
import json
import threading

from conftest import KEY, until

HIGH, LOW = "sk-high-0123456789abcdef", "sk-low-0123456789abcdefg"
CONFIG = f"""engines: {{tiny: {{model: "builtin:weir-tiny", max_sequences: 1}}}}
models:
  tiny: {{targets: [{{engine: tiny}}]}}
  hasty: {{targets: [{{engine: tiny}}], timeout: {{total: 200ms}}}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
  - {{name: high, key: {HIGH}, models: ["*"], priority: 5}}
  - {{name: low, key: {LOW}, models: ["*"], priority: -5}}
"""


class Call(threading.Thread):
    """Generates for as long as it is told to."""

    def __init__(self, gateway, key, tokens, model="tiny"):
        super().__init__()
        self.arguments = (gateway, key, tokens, model)
        self.start()

    def run(self):
        gateway, key, tokens, model = self.arguments
        self.status, _, self.body = gateway.chat(model, key=key, max_tokens=tokens, ignore_eos=True)


def test_the_higher_priority_goes_first(weir):
    gateway = weir(CONFIG)
    waiting = lambda n: until(lambda: gateway.metric("weir_engine_waiting_sequences") == n, f"{n} wait")
    calls = [Call(gateway, KEY, 900)]
    until(lambda: gateway.metric("weir_engine_running_sequences") == 1, "the first runs")
    for place, key in enumerate((LOW, LOW, KEY, HIGH), 1):
        calls.append(Call(gateway, key, 20))
        waiting(place)
    for call in calls:
        call.join()
    assert [call.status for call in calls] == [200] * 5
    gateway.stop()
    settled = sorted(gateway.rows(), key=lambda row: row["settled_at"])
    assert [row["key"] for row in settled] == ["test", "high", "test", "low", "low"]


def test_a_deadline_that_passes_in_the_queue(weir):
    gateway = weir(CONFIG)
    busy = [Call(gateway, KEY, 900) for _ in range(4)]
    until(lambda: gateway.metric("weir_engine_waiting_sequences") == 3, "three wait")
    late = Call(gateway, LOW, 20, model="hasty")
    late.join()
    assert late.status == 504 and json.loads(late.body)["error"]["code"] == "upstream_timeout", late.body
    for call in busy:
        call.join()
    assert [call.status for call in busy] == [200] * 4
    assert gateway.metric("weir_engine_waiting_sequences") == 0
