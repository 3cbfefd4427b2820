"""The official client, and the raw bytes where it hides them: answers, streams, and each error of the contract."""
import json

import openai
import pytest

from conftest import ADMIN, DATA, KEY, until


def client_of(gateway, key=KEY):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=key, max_retries=0)


def ask(text="What is the capital of France?"):
    return [{"role": "user", "content": text}]


def test_chat_stream_and_models(weir, standard):
    gateway = weir(standard)
    client = client_of(gateway)
    for model, expected in (("tiny", "Paris"), ("echo", "What is the capital of France?"), ("m-ok", "mock answer")):
        answer = client.chat.completions.create(model=model, messages=ask(), temperature=0)
        assert expected in answer.choices[0].message.content
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    for model, expected in (("tiny", "Paris"), ("echo", "What is the capital of France?"), ("m-ok", " word0 word1")):
        text, usage, finish = "", None, None
        for chunk in client.chat.completions.create(model=model, messages=ask(), temperature=0, stream=True,
                                                    stream_options={"include_usage": True}):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
            usage = chunk.usage or usage
        assert expected in text and finish == "stop" and usage.completion_tokens > 0
        assert usage.cost_usd > 0
    names = {model.id for model in client.models.list()}
    assert {"tiny", "echo", "m-ok"} <= names
    assert client.models.retrieve("tiny").id == "tiny"


def test_a_model_may_have_any_name(weir, standard):
    gateway = weir(standard.replace("  echo: {targets", '  "org/Mod\u00e8le:1": {targets: [{account: parrot}]}\n  echo: {targets'))
    assert client_of(gateway).models.retrieve("org/Mod\u00e8le:1").id == "org/Mod\u00e8le:1"


def test_sampling_parameters_reach_the_engine(weir, standard):
    client = client_of(weir(standard))
    def text(**fields):
        return client.chat.completions.create(model="tiny", messages=ask("Count from 1 to 9."), **fields).choices
    greedy = text(temperature=0)[0]
    assert text(temperature=0, stop=["5"])[0].message.content == greedy.message.content.split("5")[0]
    assert text(temperature=0, max_tokens=3)[0].finish_reason == "length"
    assert text(temperature=1.5, seed=7)[0].message.content == text(temperature=1.5, seed=7)[0].message.content
    assert len(text(temperature=1, n=3)) == 3
    logprobs = text(temperature=0, logprobs=True, top_logprobs=2)[0].logprobs.content
    assert "".join(token.token for token in logprobs).startswith(greedy.message.content)
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in logprobs)


def test_a_completion_goes_on_where_its_prompt_ends(weir, standard):
    stories = DATA / "weights/stories260K-hf"
    client = client_of(weir(standard.replace("engines:\n", f'engines:\n  stories: {{model: "{stories}"}}\n')
                            .replace("  echo: {targets", "  stories: {targets: [{engine: stories}]}\n  echo: {targets")))
    prompt = "Once upon a time, there was a little"
    def complete(**fields):
        return client.completions.create(model="stories", prompt=prompt, max_tokens=4, temperature=0, **fields).choices[0]
    plain = complete(logprobs=1)
    assert plain.text.startswith(" g") and "".join(plain.logprobs.tokens) == plain.text
    assert complete(echo=True).text == prompt + plain.text
    assert complete(stop=[" g"]).text == ""
    streamed = client.completions.create(model="stories", prompt=prompt, max_tokens=4, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == plain.text
    error_of(None, lambda: client.completions.create(model="stories", prompt="word " * 600, max_tokens=4), 400, "context_length_exceeded", "prompt")
    with pytest.raises(openai.BadRequestError, match="max_tokens must be at least 1"):
        client.completions.create(model="stories", prompt=prompt, max_tokens=0)


def error_of(gateway, call, status, code, param=None):
    with pytest.raises(openai.APIStatusError) as caught:
        call()
    assert caught.value.status_code == status
    body = caught.value.response.json()["error"]
    assert set(body) >= {"message", "type", "param", "code"}
    assert body["code"] == code, body
    if param is not None:
        assert body["param"] == param
    return caught.value


def test_each_error_class(weir, standard):
    config = standard.replace("timeout: {first_token: 2s, total: 20s}", "timeout: {first_token: 300ms, total: 1s}")
    config += """  - {name: narrow, key: sk-narrow-0123456789abcdef, models: ["echo"]}
  - {name: blocked, key: sk-blocked-0123456789abcdef, blocked: true}
  - {name: expired, key: sk-expired-0123456789abcdef, expires: 2020-01-01}
  - {name: poor, key: sk-poor-0123456789abcdef, budget: {usd: 0.0001, per: 1d}}
  - {name: slow, key: sk-slow-0123456789abcdef, limits: {rpm: 1}}
"""
    config = config.replace("engines:", "health: {cooldown: 200ms}\nengines:", 1)
    gateway = weir(config)
    def chat(model="echo", key=KEY, **fields):
        return lambda: client_of(gateway, key).chat.completions.create(model=model, messages=ask("hello world"), **fields)
    error_of(gateway, chat(key="sk-wrong"), 401, "invalid_api_key")
    error_of(gateway, chat(key="sk-blocked-0123456789abcdef"), 401, "key_blocked")
    error_of(gateway, chat(key="sk-expired-0123456789abcdef"), 401, "key_expired")
    error_of(gateway, chat(model="tiny", key="sk-narrow-0123456789abcdef"), 403, "model_not_allowed")
    assert "echo" in error_of(gateway, chat(model="ecco"), 404, "model_not_found").message
    error_of(gateway, chat(temperature="hot"), 400, "invalid_request_error", "temperature")
    error_of(gateway, lambda: client_of(gateway).chat.completions.create(model="tiny", messages=ask("word " * 5000)),
             400, "context_length_exceeded")
    refused = error_of(gateway, chat(key="sk-poor-0123456789abcdef", max_tokens=100000), 429, "insufficient_quota")
    assert "would buy" in refused.message or "buy" in refused.message
    chat(key="sk-slow-0123456789abcdef")()
    limited = error_of(gateway, chat(key="sk-slow-0123456789abcdef"), 429, "rate_limit_exceeded")
    assert int(limited.response.headers["retry-after"]) >= 1
    assert limited.response.headers["x-weir-request-id"].startswith("req_")
    error_of(gateway, chat(model="m-status400"), 400, "upstream_error")
    error_of(gateway, chat(model="m-status500"), 502, "upstream_error")
    error_of(gateway, chat(model="m-drop"), 502, "upstream_error")
    error_of(gateway, chat(model="m-status401"), 401, "upstream_error")
    cooling = error_of(gateway, chat(model="m-status401"), 503, "no_available_target")
    assert "status401/mock-1" in cooling.message
    error_of(gateway, chat(model="m-hang"), 504, "upstream_timeout")
    error_of(gateway, chat(model="m-hang", stream=True), 504, "upstream_timeout")
    status, _, body = gateway.request("POST", "/v1/chat/completions", '{"model": "echo", "messages": [')
    assert status == 400 and json.loads(body)["error"]["code"] == "invalid_request_error"


def test_a_body_over_the_limit(weir, standard):
    gateway = weir(f'server: {{listen: "127.0.0.1:PORT", limits: {{body: 10KiB}}}}\n' + standard)
    status, _, body = gateway.chat("echo", "x" * 20000)
    assert status == 413 and json.loads(body)["error"]["code"] == "request_too_large"


def test_headers_methods_and_other_routes(weir, standard):
    gateway = weir(standard)
    status, headers, _ = gateway.chat("m-ok")
    assert status == 200
    assert headers["x-weir-model"] == "m-ok" and headers["x-weir-target"] == "ok/mock-1"
    assert headers["x-weir-attempts"] == "1" and headers["x-weir-request-id"].startswith("req_")
    assert headers["x-weir-cost-usd"] == "0.00000585"  # 11 × 0.15 + 7 × 0.60, dollars a million
    assert int(headers["x-weir-overhead-us"]) >= 0
    assert gateway.request("GET", "/health/live", key=None)[0] == 200
    assert gateway.request("GET", "/health/ready", key=None)[0] == 200
    assert gateway.request("HEAD", "/health/live", key=None)[2] == b""
    assert gateway.request("GET", "/health", key=None)[0] == 401
    assert gateway.request("GET", "/health", key=ADMIN)[0] == 200
    assert gateway.request("OPTIONS", "/v1/chat/completions", key=None)[0] == 204
    assert gateway.request("GET", "/v1/chat/completions")[0] == 405
    assert gateway.request("GET", "/nowhere")[0] == 404
    assert gateway.request("GET", "/v1/models", key=None)[0] == 401
    assert gateway.request("GET", "/v1/models", key=None, headers={"x-api-key": KEY})[0] == 200
    assert gateway.request("GET", "/models", key=None, headers={"api-key": KEY})[0] == 200


def test_same_protocol_passes_byte_for_byte(weir, standard, upstream):
    gateway = weir(standard)
    body = '{ "messages":[{"role":"user","content":"h\\u00e9 \\n"}],"x_unknown":{"b":[1,2.50,null]}, "model" : "m-ok" ,"n":1}'
    status, _, answer = gateway.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    assert status == 200 and json.loads(answer)["unknown_field"] == {"kept": True}
    behaviour, headers, sent = upstream.requests[-1]
    assert sent.decode() == body.replace('"m-ok"', '"mock-1"')
    assert headers["authorization"] == "Bearer sk-upstream-ok"
    # A client that did not ask for usage does not see the chunk that accounting asked for.
    _, _, stream = gateway.chat("m-ok", stream=True)
    assert json.loads(upstream.requests[-1][2])["stream_options"] == {"include_usage": True}
    assert b"usage" not in stream and stream.endswith(b"data: [DONE]\n\n")
    _, _, stream = gateway.chat("m-ok", stream=True, stream_options={"include_usage": True})
    usage = [json.loads(line[6:]) for line in stream.decode().splitlines() if line.startswith("data: {")][-1]["usage"]
    assert usage["prompt_tokens"] == 23 and usage["cost_usd"] == 0.00001485  # 15 × .15 + 8 × .075 + 20 × .60


def test_a_stream_that_breaks_ends_with_an_error_event(weir, standard):
    gateway = weir(standard)
    status, _, stream = gateway.chat("m-break", stream=True)
    events = [line for line in stream.decode().split("\n\n") if line]
    assert status == 200 and "[DONE]" not in stream.decode()
    assert json.loads(events[-1][6:])["error"]["code"] == "upstream_error"
    gateway.stop()
    row = gateway.rows()[-1]
    assert row["estimated"] == 1 and row["output_tokens"] >= 5 and row["charge_nanos"] > 0


def test_retry_on_another_target_then_fallback(weir, standard, upstream):
    config = standard.replace("models:\n  tiny:", """models:
  both: {targets: [{account: status500, model: a, weight: 1}, {account: ok, model: mock-1, weight: 1}]}
  lost: {targets: [{account: drop, model: a}], fallbacks: [echo]}
  tiny:""", 1)
    gateway = weir(config)
    for _ in range(4):
        status, headers, _ = gateway.chat("both")
        assert status == 200 and headers["x-weir-target"] == "ok/mock-1"
    status, headers, body = gateway.chat("lost", "fall back please")
    assert status == 200 and headers["x-weir-target"].startswith("parrot/")
    assert gateway.metric("weir_retries_total") >= 1 and gateway.metric("weir_fallbacks_total") >= 1


def test_a_prompt_too_long_for_one_fallback_goes_to_the_next(weir, standard):
    gateway = weir(standard.replace("  m-status500: {targets: [{account: status500, model: mock-1}],",
                                    "  m-status500: {fallbacks: [tiny, m-ok], targets: [{account: status500, model: mock-1}],"))
    status, headers, body = gateway.chat("m-status500", "word " * 4000)
    assert status == 200 and headers["x-weir-target"] == "ok/mock-1", body[:300]
    status, _, body = gateway.chat("tiny", "word " * 4000)
    assert status == 400 and json.loads(body)["error"]["code"] == "context_length_exceeded"


def test_a_fallback_that_costs_too_much_is_passed_over_and_said(weir, standard, upstream):
    config = standard.replace("models:\n  tiny:", """models:
  dear: {targets: [{account: ok, model: dear}]}
  alone: {targets: [{account: drop, model: a}], fallbacks: [dear]}
  backed: {targets: [{account: drop, model: a}], fallbacks: [dear, echo]}
  tiny:""", 1).replace("prices:\n", "prices:\n  a: {input: 1, output: 1}\n  dear: {input: 1000, output: 1000}\n")
    config += "  - {name: poor, key: sk-poor-0123456789abcdef, budget: {usd: 0.002, per: 3650d}}\n"
    gateway = weir(config)
    status, _, body = gateway.chat("alone", key="sk-poor-0123456789abcdef")
    assert status == 502 and b'The fallback \\"dear\\" was passed over: ' in body and b"budget" in body
    status, headers, _ = gateway.chat("backed", key="sk-poor-0123456789abcdef")
    assert status == 200 and headers["x-weir-target"].startswith("parrot/")


def test_the_split_is_exact(weir, standard, upstream):
    config = standard.replace("models:\n  tiny:", """models:
  split: {targets: [{account: ok, model: a, weight: 3}, {account: slow, model: b, weight: 1}, {account: nousage, model: c, weight: 0}]}
  tiny:""", 1)
    gateway = weir(config)
    for _ in range(40):
        assert gateway.chat("split")[0] == 200
    count = lambda name: sum(1 for behaviour, _, _ in upstream.requests if behaviour == name)
    assert (count("ok"), count("slow"), count("nousage")) == (30, 10, 0)


def recorded():
    folder = DATA / "wire/best/openai"
    if not folder.is_dir():
        return []
    names = sorted(p.name.removesuffix(".request.json") for p in folder.glob("chat-*.request.json"))
    return [n for n in names if any(folder.glob(f"{n}.response.*"))]


@pytest.mark.parametrize("name", recorded() or ["absent"])
def test_recorded_answers_pass_through(weir, standard, upstream, name):
    if name == "absent":
        pytest.skip("../shared/data is not there")
    folder = DATA / "wire/best/openai"
    request = json.loads((folder / f"{name}.request.json").read_text())
    request = request.get("body", request)
    streamed = (folder / f"{name}.response.sse").exists()
    raw = (folder / f"{name}.response.{'sse' if streamed else 'json'}").read_bytes()
    upstream.replay["replay"] = (200, "text/event-stream" if streamed else "application/json", raw)
    gateway = weir(standard)
    asked = {**request, "model": "m-replay"}
    status, headers, body = gateway.request("POST", "/v1/chat/completions", asked)
    assert status == 200, body
    if not streamed:
        assert body == raw
        return
    wanted_usage = (request.get("stream_options") or {}).get("include_usage")
    kept = [e for e in raw.replace(b"\r\n", b"\n").split(b"\n\n") if e]
    got = [e for e in body.replace(b"\r\n", b"\n").split(b"\n\n") if e]
    if wanted_usage:
        assert len(got) == len(kept)
        assert [e for e in got if b"cost_usd" not in e] == [e for e in kept if b'"usage":{' not in e.replace(b": ", b":")]
    else:
        assert got == [e for e in kept if not (b'"choices":[]' in e.replace(b": ", b":") and b'"usage":{' in e.replace(b": ", b":"))]
