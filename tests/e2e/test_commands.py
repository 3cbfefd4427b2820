"""weir check, price, generate and their exit codes."""
import json
import subprocess

import pytest

from conftest import BINARY, DATA, ROOT, until


def weir(*args, **kwargs):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=120, cwd=ROOT, **kwargs)


def test_check_accepts_what_the_repository_ships():
    for file in ("config/example.yaml", "deploy/quickstart.yaml"):
        result = weir("check", file)
        assert result.returncode == 0 and result.stdout.endswith("ok\n"), result.stderr


def test_check_reports_every_mistake_at_once(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("""server: {lisen: "127.0.0.1:1"}
accounts:
  a: {provider: opnai, api_key: "${WEIR_TEST_NO_SUCH_VARIABLE}"}
models:
  m:
    targets:
      - {account: a, weight: -3}
      - {account: b}
    fallbacks: [n]
    timeout: {total: 5 parsecs}
keys:
  - {name: k, key: sk-0123456789abcdef0123, budget: {usd: 1.0000000001, per: 1d}}
""")
    result = weir("check", str(file))
    text = result.stdout + result.stderr
    assert result.returncode == 2
    for expected in ("bad.yaml:1:", 'did you mean "listen"', "bad.yaml:3:", "WEIR_TEST_NO_SUCH_VARIABLE", "models.m.targets[0].weight",
                     "bad.yaml:7:", "bad.yaml:8:", "bad.yaml:9:", "bad.yaml:10:", "bad.yaml:12:"):
        assert expected in text, text


def test_price():
    result = weir("price", "gpt-4o", "--input", "1000000", "--output", "0")
    assert result.returncode == 0 and "2.5" in result.stdout
    assert weir("price", "gpt-4oo", "--input", "1", "--output", "1").returncode == 2


def test_usage_errors():
    assert weir().returncode == 2
    assert weir("nonsense").returncode == 2
    assert weir("serve").returncode == 2
    assert weir("serve", "--config", "/nonexistent.yaml").returncode == 2
    assert weir("--version").stdout.startswith("weir ")
    for command in ("serve", "check", "generate", "price"):
        assert weir(command, "--help").returncode == 0


def test_generate_equals_the_reference():
    model = DATA / "weights/stories260K-hf"
    if not model.is_dir():
        pytest.skip("../shared/data is not there")
    reference = json.loads((DATA / "weights/stories260K-reference.json").read_text())
    result = weir("generate", "--model", str(model), "--prompt", reference["prompt"], "--max-tokens", "195", "--temperature", "0",
                  "--raw", "--json")
    out = json.loads(result.stdout)
    assert out["prompt_ids"] == reference["prompt_ids"]
    assert out["token_ids"] == reference["greedy_ids"] and len(out["token_ids"]) == 195


def test_generate_with_the_builtin_model():
    result = weir("generate", "--model", "builtin:weir-tiny", "--prompt", "What is the capital of France?", "--temperature", "0")
    assert result.returncode == 0 and "Paris" in result.stdout
    assert weir("generate", "--model", "/nonexistent", "--prompt", "x").returncode == 1
    assert weir("generate", "--model", "builtin:weir-tiny", "--prompt", "x", "--quantization", "fp9").returncode == 2
    for quantization in ("int8", "fp8", "int4"):
        answer = weir("generate", "--model", "builtin:weir-tiny", "--prompt", "What is the capital of France?", "--temperature", "0",
                      "--quantization", quantization)
        assert answer.returncode == 0 and "Paris" in answer.stdout


def test_closed_standard_descriptors_are_no_files(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text(f'server: {{listen: "127.0.0.1:0"}}\nstore: {{url: "sqlite:{tmp_path}/weir.db"}}\n'
                    "accounts:\n  parrot: {provider: echo}\nmodels:\n  echo: {targets: [{account: parrot}]}\n")
    process = subprocess.Popen(["sh", "-c", f'exec "{BINARY}" serve --config "{file}" 0<&- 1>&- 2>&-'])
    until(lambda: (tmp_path / "weir.db").exists() and (tmp_path / "weir.db.responses").exists(), "it has begun")
    process.terminate()
    assert process.wait(20) == 0
    assert b"event" not in (tmp_path / "weir.db.lock").read_bytes()
