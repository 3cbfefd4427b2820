"""weir bench: what it measures, what it counts as an error, and whom it refuses to load."""
import json

from conftest import KEY
from test_commands import weir as command


def bench(weir, *args):
    result = command("bench", "http", "--url", f"http://127.0.0.1:{weir.port}", "--key", KEY, "--json", *args)
    return result, json.loads(result.stdout)


def test_counts_what_it_sent(weir, standard):
    gateway = weir(standard)
    for protocol in ("chat", "completions", "responses", "messages"):
        for stream in ((), ("--stream",)):
            result, out = bench(gateway, "--model", "echo", "--protocol", protocol, "--requests", "20", "--connections", "3", *stream)
            assert result.returncode == 0, result.stderr
            assert (out["requests"], out["errors"]) == (20, 0), (protocol, stream, out)
            assert 0 < out["latency_us"]["p50"] <= out["latency_us"]["p90"] <= out["latency_us"]["p99"] <= out["latency_us"]["p999"]
            assert not stream or (out["events"] > 20 * 32 and out["time_to_first_token_us"]["p50"] > 0)
    assert len(gateway.rows()) <= 160  # rows reach the store a moment later; none more than was sent


def test_errors_are_counted_by_status(weir, standard):
    gateway = weir(standard)
    result, out = bench(gateway, "--model", "nobody", "--requests", "5")
    assert result.returncode == 1 and out["errors_by_status"] == {"404": 5} and out["requests"] == 0
    result, out = bench(gateway, "--model", "m-break", "--stream", "--requests", "3", "--connections", "1")
    assert sum(out["errors_by_status"].values()) == 3 and out["requests"] == 0, out


def test_loads_nobody_by_mistake(tmp_path):
    result = command("bench", "http", "--url", "https://api.example.com/v1", "--model", "m")
    assert result.returncode == 2 and "--allow-remote" in result.stderr
    for wrong in (["--url", "nonsense"], ["--model", "m"], ["--url", "http://127.0.0.1:1"], ["--what"], ["--seconds"],
                  ["--url", "http://127.0.0.1:1", "--model", "m", "--seconds", "0"],
                  ["--url", "http://127.0.0.1:1", "--model", "m", "--protocol", "smtp"]):
        assert command("bench", "http", *wrong).returncode == 2, wrong
    assert command("bench").returncode == 2
    for help_of in ([], ["http"], ["gateway"]):
        assert command("bench", *help_of, "--help").returncode == 0


def test_translated_beside_passed_through():
    result = command("bench", "gateway", "--seconds", "1", "--rounds", "1", "--connections", "4", "--json")
    assert result.returncode == 0, result.stderr
    out = json.loads(result.stdout)
    for kind in ("passed", "translated"):
        figures = out[kind]
        assert figures["errors"] == 0 and figures["requests"] > 0
        assert figures["events"] >= figures["requests"] * out["events"] and figures["cpu_us_per_event"] > 0
