"""kill -9 under load, ten times: every answer that a client has whole is in the ledger, once, and no money stays held."""
import random
import signal
import threading
import time

from conftest import KEY
from loadgen import one, run

KILLS = 10


def test_kill_9_under_load(weir, standard):
    config = standard.replace(f'key: {KEY}, models: ["*"]', f'key: {KEY}, models: ["*"], budget: {{usd: 100, per: 3650d}}')
    gateway = weir(config)
    dice = random.Random(7)
    whole = []
    for _ in range(KILLS):
        killer = threading.Timer(dice.uniform(0.15, 0.9), gateway.process.kill)
        killer.start()
        while gateway.process.poll() is None:  # wave after wave, until the kill
            calls = []
            for i in range(16):
                leave = 3 if i % 4 == 0 else None
                calls.append(one(gateway.port, KEY, "tiny", f"Count from 1 to {i + 2}.", leave))
                calls.append(one(gateway.port, KEY, "m-ok", "hello", leave, stream=i % 2 == 0))
            whole += [a for a in run(calls) if a.whole and a.status == 200]
        killer.join()
        assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
        gateway.start()
    assert len(whole) > 50, "the load never got going"
    spent = 0
    remaining = gateway.metric("weir_budget_remaining_usd")
    assert gateway.metric("weir_in_flight_requests") == 0
    assert gateway.stop() == 0
    seen = {}
    for row in gateway.rows():
        seen[row["request_id"]] = seen.get(row["request_id"], 0) + 1
        spent += row["charge_nanos"]
    missing = [a.request_id for a in whole if a.request_id not in seen]
    assert not missing, f"{len(missing)} of {len(whole)} answers are not in the ledger"
    assert max(seen.values()) == 1
    assert abs(remaining - (100 - spent / 1e9)) < 1e-8, "what the restart took for spent is what the ledger holds"
