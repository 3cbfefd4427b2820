"""Embeddings of an engine of our own, asked for by the official client, settled to the token."""
import base64
import json
import math
import socket
import struct

import openai
import pytest

from conftest import KEY, ROOT, until

FOLDER = ROOT / "tests/engine/reference/bert-mean"
TEXTS = ["The world is good.", "Café naïve résumé — WORLD!", "中国 and 日本 in 2024"]


@pytest.fixture
def gateway(weir):
    return weir(f"""admin_key: admin-0123456789abcdef
accounts: {{parrot: {{provider: echo}}}}
engines:
  encoder: {{model: "{FOLDER}", step_tokens: 256}}
  tiny: {{model: "builtin:weir-tiny"}}
models:
  embed: {{targets: [{{engine: encoder}}]}}
  tiny: {{targets: [{{engine: tiny}}]}}
  either: {{targets: [{{engine: encoder}}], fallbacks: [tiny]}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
prices: {{embed: {{input: 1.00, output: 0}}}}
""")


def client_of(gateway):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=KEY, max_retries=0)


def test_every_form_gives_the_reference_s_vectors(gateway):
    reference = json.loads((FOLDER / "reference.json").read_text())
    wanted = {text: (ids, vector) for text, ids, vector in zip(reference["texts"], reference["ids"], reference["embeddings"])}
    client = client_of(gateway)
    for form in (TEXTS, [wanted[text][0] for text in TEXTS]):
        for encoding in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):  # the client asks for base64 itself
            answer = client.embeddings.create(model="embed", input=form, **encoding)
            assert [entry.index for entry in answer.data] == [0, 1, 2] and answer.model == "embed"
            for text, entry in zip(TEXTS, answer.data):
                vector = entry.embedding
                if isinstance(vector, str):
                    vector = struct.unpack("<32f", base64.b64decode(vector))
                assert max(abs(a - b) for a, b in zip(vector, wanted[text][1])) < 1e-4
                assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-5)
            assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(len(wanted[t][0]) for t in TEXTS)
    one = client.embeddings.with_raw_response.create(model="embed", input=TEXTS[0], dimensions=32)
    assert one.headers["x-weir-target"] == "engine/encoder" and one.headers["x-weir-cost-usd"] == "0.000007"
    assert one.parse().usage.prompt_tokens == 7
    assert client.embeddings.create(model="embed", input=wanted[TEXTS[0]][0]).data[0].embedding == one.parse().data[0].embedding
    assert len(client.embeddings.create(model="embed", input=["a"] * 2048).data) == 2048
    assert gateway.metric("weir_engine_tokens_total", engine="encoder", phase="prefill") > 2048
    assert gateway.metric("weir_tokens_total", model="embed", kind="input") == 6 * 27 + 7 + 7 + 2048 * 3
    gateway.stop()
    assert sum(row["input_tokens"] for row in gateway.rows()) == 6 * 27 + 7 + 7 + 2048 * 3
    assert all(row["charge_nanos"] == row["input_tokens"] * 1000 and not row["estimated"] for row in gateway.rows())


def test_what_cannot_be_embedded_is_said(gateway):
    client = client_of(gateway)

    def refused(code, param=None, model="embed", **fields):
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(**{"model": model, "input": "a", **fields})
        body = caught.value.response.json()["error"]
        assert body["code"] == code and (param is None or body["param"] == param), body
        return body["message"]

    assert "at most 64" in refused("context_length_exceeded", "input", input=["a", "world " * 100])
    assert "shorter vectors" in refused("invalid_request_error", "dimensions", dimensions=16)
    refused("invalid_request_error", "input", input=[])
    refused("invalid_request_error", "input", input=["a"] * 2049)
    refused("invalid_request_error", "input", input=[[1, 2], [100000]])
    assert "only writes text" in refused("unsupported_operation", model="tiny")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="embed", messages=[{"role": "user", "content": "hi"}])
    assert "only makes embeddings" in caught.value.message
    answer = client.chat.completions.create(model="either", messages=[{"role": "user", "content": "What is the capital of France?"}])
    assert "Paris" in answer.choices[0].message.content, "a model that cannot chat falls back on one that can"
    gateway.stop()
    assert sum(row["charge_nanos"] for row in gateway.rows() if row["model"] == "embed") == 0


def test_a_client_that_leaves(gateway):
    body = json.dumps({"model": "embed", "input": ["The world is good. " * 10] * 2048}).encode()
    head = (f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(head + body)
        until(lambda: gateway.metric("weir_engine_running_sequences", engine="encoder") == 1
              or gateway.metric("weir_in_flight_requests") == 0, "the engine has begun")
    until(lambda: gateway.metric("weir_in_flight_requests") == 0, "the request is settled")
    until(lambda: gateway.metric("weir_engine_running_sequences", engine="encoder") == 0, "the engine is idle")
    assert client_of(gateway).embeddings.create(model="embed", input="a").usage.prompt_tokens == 3
    computed = gateway.metric("weir_engine_tokens_total", engine="encoder", phase="prefill")
    gateway.stop()
    assert sum(row["input_tokens"] for row in gateway.rows()) == computed, "what was computed is what is charged"
