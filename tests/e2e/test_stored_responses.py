"""Answers of /v1/responses that an upstream keeps: a key goes on from its own only, and at the account that has them."""
import json

import pytest

from conftest import KEY

OTHER = "sk-other-0123456789abcdef"


def answer(identity):
    return {"id": identity, "object": "response", "created_at": 1, "model": "mock-1", "status": "completed",
            "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": "hello", "annotations": []}]}],
            "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7,
                      "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}}


def stream(identity):
    events = [{"type": "response.created", "response": {**answer(identity), "status": "in_progress", "output": []}},
              {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "hello"},
              {"type": "response.completed", "response": answer(identity)}]
    return "".join(f"event: {e['type']}\ndata: {json.dumps({**e, 'sequence_number': i})}\n\n" for i, e in enumerate(events)).encode()


@pytest.fixture
def gateway(weir, upstream):
    for name in "ab":
        upstream.replay[name] = (200, "application/json", json.dumps(answer("resp_" + name)).encode())
        upstream.replay[name + "s"] = (200, "text/event-stream", stream("resp_" + name))
    accounts = "".join(f'  {n}: {{provider: openai, base_url: "{upstream.url(n)}", api_key: sk-{n}}}\n' for n in ("a", "b", "as", "bs"))
    return weir(f"""accounts:
{accounts}  parrot: {{provider: echo}}
models:
  both: {{targets: [{{account: a, model: mock-1}}, {{account: b, model: mock-1}}]}}
  streams: {{targets: [{{account: as, model: mock-1}}, {{account: bs, model: mock-1}}]}}
  only-b: {{targets: [{{account: b, model: mock-1}}]}}
  echo: {{targets: [{{account: parrot}}]}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
  - {{name: other, key: {OTHER}, models: ["*"]}}
""")


def ask(gateway, model="both", key=KEY, **fields):
    status, headers, body = gateway.request("POST", "/v1/responses", {"model": model, "input": "hi", **fields}, key=key)
    return status, headers, body


def error_of(body):
    return json.loads(body)["error"]


@pytest.mark.parametrize("model,streams", [("both", False), ("streams", True)])
def test_a_conversation_stays_at_its_account(gateway, upstream, model, streams):
    first = {ask(gateway, model, stream=streams)[1]["x-weir-target"][0] for _ in range(2)}
    assert first == {"a", "b"}
    for name in "ab":
        for _ in range(4):
            status, headers, _ = ask(gateway, model, stream=streams, previous_response_id="resp_" + name)
            assert status == 200 and headers["x-weir-target"].startswith(name)
            assert json.loads(upstream.requests[-1][2])["previous_response_id"] == "resp_" + name


def test_nobody_goes_on_from_anothers_answer(gateway, upstream):
    assert ask(gateway)[0] == 200
    before = len(upstream.requests)
    for field in ("previous_response_id", "previous_response\\u005fid"):
        for identity, key in (("resp_a", OTHER), ("resp_never", KEY)):
            body = '{"model":"both","input":"x","%s":"%s"}' % (field, identity)
            status, _, answered = gateway.request("POST", "/v1/responses", body, {"content-type": "application/json"}, key)
            assert status == 400 and error_of(answered)["code"] == "previous_response_not_found", (field, identity)
            assert error_of(answered)["param"] == "previous_response_id"
    assert len(upstream.requests) == before


def test_nobody_names_anothers_item(gateway, upstream):
    """Both keys' answers are at the same account, which would show either the other's."""
    assert ask(gateway, "only-b")[0] == 200
    before = len(upstream.requests)
    for item in ({"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}):
        status, _, body = ask(gateway, "only-b", OTHER, input=[item])
        assert status == 404 and (error_of(body)["code"], error_of(body)["param"]) == ("item_not_found", "input"), body
        status, _, body = ask(gateway, "echo", input=[item])
        assert status == 400 and error_of(body)["param"] == "input" and "echo" in error_of(body)["message"], body
    assert len(upstream.requests) == before
    for _ in range(4):  # and its own goes where it is
        status, headers, _ = ask(gateway, input=[{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "x"}])
        assert status == 200 and json.loads(upstream.requests[-1][2])["input"][0] == {"type": "item_reference", "id": "msg_1"}
        assert headers["x-weir-target"].startswith("b")


def test_an_item_that_we_hold_is_written_out(gateway):
    first = json.loads(ask(gateway, "echo", input="hello")[2])
    item = first["output"][0]["id"]
    status, _, body = ask(gateway, "echo", input=[{"type": "item_reference", "id": item}, {"role": "user", "content": "again"}])
    assert status == 200, body
    assert ask(gateway, "echo", OTHER, input=[{"type": "item_reference", "id": item}])[0] == 404
    assert ask(gateway, "echo", input=[{"type": "item_reference", "id": item}] * 2)[0] == 400


def test_a_model_elsewhere_cannot_go_on(gateway):
    target = ask(gateway)[1]["x-weir-target"]
    if not target.startswith("a"):
        target = ask(gateway)[1]["x-weir-target"]
    assert target.startswith("a")
    for model in ("only-b", "echo"):
        status, _, body = ask(gateway, model, previous_response_id="resp_a")
        assert status == 400 and error_of(body)["param"] == "previous_response_id" and model in error_of(body)["message"]


def test_what_is_not_to_be_kept_is_not(gateway):
    assert ask(gateway, "only-b", store=False)[0] == 200
    assert ask(gateway, "only-b", previous_response_id="resp_b")[0] == 400


def test_reading_and_deleting(gateway):
    assert ask(gateway, "only-b")[0] == 200
    status, _, body = gateway.request("GET", "/v1/responses/resp_b")
    assert status == 200 and json.loads(body) == answer("resp_b")
    for key in (OTHER, KEY):
        status, _, body = gateway.request("DELETE" if key == KEY else "GET", "/v1/responses/resp_b", key=key)
        assert status == (200 if key == KEY else 404)
    for method in ("GET", "DELETE"):
        status, _, body = gateway.request(method, "/v1/responses/resp_b")
        assert status == 404 and error_of(body)["code"] == "response_not_found"
    assert ask(gateway, "only-b", previous_response_id="resp_b")[0] == 400


@pytest.mark.parametrize("fields", [{"background": True}, {"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}},
                                    {"previous_response_id": 5}, {"background": "yes"}, {"store": 1}])
def test_what_could_not_be_charged_or_kept_apart_is_refused(gateway, upstream, fields):
    status, _, body = ask(gateway, **fields)
    assert status == 400 and error_of(body)["param"] == next(iter(fields)) and error_of(body)["code"] == "invalid_request_error"
    assert not upstream.requests and not gateway.rows()


@pytest.mark.parametrize("streams", [False, True])
def test_what_an_upstream_does_not_keep_we_do(weir, upstream, streams):
    def say(identity):
        whole = (200, "application/json", json.dumps(answer(identity)).encode())
        upstream.replay["g"] = (200, "text/event-stream", stream(identity)) if streams else whole

    say("resp_g")
    gateway = weir(f"""accounts:
  g: {{provider: groq, base_url: "{upstream.url("g")}", api_key: gsk}}
  parrot: {{provider: echo}}
models:
  g: {{targets: [{{account: g, model: mock-1}}]}}
  echo: {{targets: [{{account: parrot}}]}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
""")
    assert ask(gateway, "g", stream=streams, store=True)[0] == 200
    assert json.loads(upstream.requests[-1][2])["store"] is False
    say("resp_h")
    assert ask(gateway, "g", stream=streams, previous_response_id="resp_g", input="more")[0] == 200
    sent = json.loads(upstream.requests[-1][2])
    assert sent["previous_response_id"] is None
    assert [item["role"] for item in sent["input"]] == ["user", "assistant", "user"]
    assert sent["input"][1]["content"][0]["text"] == "hello" and sent["input"][2]["content"] == "more"
    assert ask(gateway, "echo", previous_response_id="resp_h", input="anywhere")[0] == 200
