"""128 streams at once, a quarter of the clients leaving midway: nothing leaks, and the ledger is exact."""
from conftest import KEY, until
from loadgen import one, run

PICOS = {"tiny": (100_000, 200_000, 100_000), "m-slow": (150_000, 600_000, 75_000)}  # input, output, cached: 1e-12 dollars


def charge(row):
    """Dollars by the price list, rounded half up to a nano-dollar."""
    price_in, price_out, price_cached = PICOS[row["model"]]
    picos = ((row["input_tokens"] - row["cached_input_tokens"]) * price_in + row["cached_input_tokens"] * price_cached
             + row["output_tokens"] * price_out)
    return (picos + 500) // 1000


def test_nothing_leaks_and_the_ledger_is_exact(weir, standard, upstream):
    gateway = weir(standard)
    assert gateway.chat("tiny")[0] == 200  # the engine is warm, its blocks are counted
    total = gateway.metric("weir_engine_kv_blocks")
    calls = []
    for i in range(64):
        leave = 3 if i % 4 == 0 else None
        calls.append(one(gateway.port, KEY, "tiny", f"Count from {i % 5 + 1} to 30.", leave, max_tokens=120, ignore_eos=True))
        calls.append(one(gateway.port, KEY, "m-slow", f"number {i}", leave))
    answers = run(calls)
    assert [a.status for a in answers] == [200] * 128
    left = [a for a in answers if a.left]
    assert len(left) == 32 and all(a.whole for a in answers if not a.left)
    until(lambda: gateway.metric("weir_in_flight_requests") == 0, "nothing in flight")
    until(lambda: gateway.metric("weir_engine_running_sequences") == 0, "no sequence runs")
    assert gateway.metric("weir_engine_waiting_sequences") == 0
    assert gateway.metric("weir_engine_kv_blocks", state="active") == 0
    assert gateway.metric("weir_engine_kv_blocks") == total
    remaining = gateway.metric("weir_cost_usd_total")
    assert gateway.stop() == 0
    until(lambda: upstream.open == 0, "every upstream connection is closed")
    rows = {row["request_id"]: row for row in gateway.rows()}
    assert len(rows) == 129
    for answer in answers:
        row = rows[answer.request_id]
        assert row["charge_nanos"] == charge(row)
        assert bool(row["cancelled"]) == answer.left or not answer.left
        assert answer.left or not row["estimated"]
        if row["model"] == "m-slow" and not row["estimated"]:  # of who left, too, where its end came soon
            assert (row["input_tokens"], row["cached_input_tokens"], row["output_tokens"]) == (23, 8, 20)
        assert row["charge_nanos"] > 0
    assert sum(row["cancelled"] for row in rows.values()) == 32
    assert abs(remaining * 1e9 - sum(row["charge_nanos"] for row in rows.values())) < 0.5
