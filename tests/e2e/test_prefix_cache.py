"""Prompts that an engine has computed serve the tenant that sent them, and are said and priced as what they are."""
import json

import pytest

from conftest import KEY

MATE, STRANGER = "sk-mate-0123456789abcdef", "sk-stranger-0123456789ab"
PROMPT = " ".join(f"word{n}" for n in range(60))


@pytest.fixture
def gateway(weir):
    return weir(f"""engines: {{tiny: {{model: "builtin:weir-tiny"}}}}
models: {{tiny: {{targets: [{{engine: tiny}}]}}}}
keys:
  - {{name: test, key: {KEY}, models: ["*"], team: red}}
  - {{name: mate, key: {MATE}, models: ["*"], team: red}}
  - {{name: stranger, key: {STRANGER}, models: ["*"], team: blue}}
prices: {{tiny: {{input: 1.00, cached_input: 0.10, output: 2.00}}}}
""")


def usage(gateway, key):
    status, headers, body = gateway.chat("tiny", PROMPT, key=key, max_tokens=1)
    assert status == 200, body
    said = json.loads(body)["usage"]
    return said["prompt_tokens"], said["prompt_tokens_details"]["cached_tokens"], said["completion_tokens"], headers["x-weir-cost-usd"]


def test_a_team_shares_prefixes_and_nobody_else_sees_them(gateway):
    tokens, cached, _, _ = usage(gateway, KEY)
    assert tokens > 64 and cached == 0
    assert usage(gateway, STRANGER)[1] == 0, "another team's prompt can be told by its time"
    for key in (KEY, MATE, STRANGER):
        tokens, cached, output, cost = usage(gateway, key)
        assert 0 < cached < tokens
        assert abs(float(cost) * 1e6 - ((tokens - cached) * 1.00 + cached * 0.10 + output * 2.00)) < 1e-3
