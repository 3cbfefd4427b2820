"""What survives between every client protocol and every provider, whole and streamed: asked of the running gateway, read
from what arrives upstream and in the client's answer, and written to docs/translation.md. WEIR_WRITE=1 rewrites the file;
without it the test fails where the file is not what this run found. Nothing may be lost silently."""
import base64
import difflib
import json
import os
import struct
import zlib

import pytest

import wire_readers
from conftest import KEY, ROOT
from openai_schema import FILE
from wire_answers import CACHED, INPUT, OUTPUT, REASONING
from wire_clients import CLIENTS, NoWord, Refused, send
from wire_oracles import ACCESS_KEY, REGION, SECRET_KEY
from wire_upstream import SAY, WireUpstream

PAGE = ROOT / "docs/translation.md"
PROVIDERS = {"openai": "gpt-5-mini", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash",
             "bedrock-claude": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock-nova": "amazon.nova-2-lite-v1:0",
             "cohere": "command-a-reasoning-08-2025"}
COLUMNS = [*PROVIDERS, "engine"]
# A field of each API that no client protocol but its own has.
OWN = {"openai": {"prompt_cache_key": "MARK-OWN"}, "anthropic": {"inference_geo": "us"}, "gemini": {"cachedContent": "cachedContents/MARK-OWN"},
       "bedrock-claude": {"performanceConfig": {"latency": "standard"}}, "bedrock-nova": {"performanceConfig": {"latency": "standard"}},
       "cohere": {"safety_mode": "STRICT"}}


def png():
    """The smallest picture: one black point."""
    def chunk(kind, data):
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
    head = chunk(b"IHDR", struct.pack("!IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")).decode()


IMAGE, URL = png(), "https://example.com/cat.png"
CITY = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}}, "required": ["city"], "additionalProperties": False}
TOOLS = {"weather": CITY, "clock": CITY}
CALLS = [("call_1", "weather", {"city": "Oslo"}), ("call_2", "clock", {"city": "Rome"})]
QUESTION = ("user", ["MARK-QUESTION"])


def history(results=1, failed=False, image=False):
    said = [["MARK-RESULT-1"] + ([{"image": IMAGE}] if image else []), ["MARK-RESULT-2"]]
    return [QUESTION, ("model", [{"call": call} for call in CALLS[:results]]),
            *[("result", call[0], call[1], said[at], failed) for at, call in enumerate(CALLS[:results])]]


def same(field):
    def check(ask, got, _raw):
        asked = ask[field]
        if got[field] == asked:
            return "yes"
        if field in ("effort", "budget"):
            other = "budget" if field == "effort" else "effort"
            if got[field] or got[other]:
                return f"as {field} {got[field]}" if got[field] else f"as {other} {got[other]}"
        return None
    return check


def texts(_ask, got, _raw):
    wanted = [("system", "MARK-SYSTEM"), ("user", "MARK-QUESTION"), ("assistant", "MARK-ANSWER"), ("user", "MARK-AGAIN")]
    return "yes" if [(role.replace("developer", "system"), text) for role, text in got["texts"]] == wanted else None


def tools(ask, got, raw):
    return "yes" if got["tools"] == ask["tools"] and "does weather" in raw else None


def results(_ask, got, _raw):
    count = len(got["calls"])
    wanted = [(call[0], f"MARK-RESULT-{at + 1}") for at, call in enumerate(CALLS)]
    fits = got["calls"] == CALLS[:count] and [one[:2] for one in got["results"]] == wanted[:count]
    return "yes" if fits and count else None


def failed(_ask, got, raw):
    if [one[2] for one in got["results"]] == [True]:
        return "yes"
    return 'as text "Error: …"' if "Error: MARK-RESULT-1" in raw else None


def result_image(_ask, got, _raw):
    if IMAGE in got["result_images"]:
        return "yes"
    return "as an image of the user's, behind the result" if IMAGE in got["images"] else None


def member(field, value):
    return lambda _ask, got, _raw: "yes" if value in got[field] else None


def cache(_ask, got, _raw):
    return "yes" if got["cache"] else None


def own(ask, _got, raw):
    body = json.loads(raw)
    return "yes" if all(body.get(key) == value for key, value in ask["own"].items()) else None


PLAIN = {"turns": [QUESTION]}
# What a client may say: (name, question, check of what arrived).
ASKED = [
    ("instructions, earlier turns", {"system": "MARK-SYSTEM", "turns": [QUESTION, ("model", ["MARK-ANSWER"]), ("user", ["MARK-AGAIN"])]}, texts),
    ("tools offered, with their schemas", {**PLAIN, "tools": TOOLS}, tools),
    ("a tool's call and its result", {"turns": history(), "tools": TOOLS}, results),
    ("two calls at once, two results", {"turns": history(2), "tools": TOOLS}, results),
    ("a result that is an error", {"turns": history(failed=True), "tools": TOOLS}, failed),
    ("an image in a result", {"turns": history(image=True), "tools": TOOLS}, result_image),
    ("tool choice: some tool", {**PLAIN, "tools": TOOLS, "choice": "required"}, same("choice")),
    ("tool choice: this tool", {**PLAIN, "tools": {"weather": CITY}, "choice": ("named", "weather")}, same("choice")),
    ("tool choice: none", {**PLAIN, "tools": TOOLS, "choice": "none"}, lambda a, g, r: same("choice")(a, g, r) or ("as no tools" if not g["tools"] else None)),
    ("one call at a time", {**PLAIN, "tools": TOOLS, "parallel": False}, same("parallel")),
    ("image, base64", {"turns": [("user", ["MARK-QUESTION", {"image": IMAGE}])]}, member("images", IMAGE)),
    ("image, URL", {"turns": [("user", ["MARK-QUESTION", {"url": URL}])]}, member("urls", URL)),
    ("image detail: low", {"turns": [("user", [{"image": IMAGE}])], "detail": "low"}, same("detail")),
    ("reasoning effort: high", {**PLAIN, "effort": "high"}, same("effort")),
    ("reasoning budget: 3000 tokens", {**PLAIN, "budget": 3000, "max_tokens": 8000}, same("budget")),
    ("JSON schema of the answer", {**PLAIN, "schema": CITY}, same("schema")),
    ("output limit", {**PLAIN, "max_tokens": 77}, same("max_tokens")),
    ("stop sequences", {**PLAIN, "stop": ["MARK-STOP"]}, same("stop")),
    ("temperature", {**PLAIN, "temperature": 0.5}, same("temperature")),
    ("seed", {**PLAIN, "seed": 7}, same("seed")),
    ("cache mark", {**PLAIN, "system": "MARK-SYSTEM", "cache": True}, cache),
    ("a field of the provider's own", {**PLAIN, "own": OWN}, own),
]
WRITES = (4, 6)  # for 5 minutes, for an hour
THOUGHT, SIGNATURE = "MARK-THOUGHT first this.", base64.b64encode(b"MARK-SIGNATURE").decode()
THINKS = {"think": THOUGHT, "signature": SIGNATURE}
# What a provider may answer: (name, its answer, what its API lacks by provider, check of what the client got).
ANSWERED = [
    ("text", {}, (), lambda got: got["text"] == SAY["text"] and got["stop"] == "stop"),
    ("a tool call", {"text": "", "calls": CALLS[:1], "stop": "tool_calls"}, (), lambda got: got["calls"] == CALLS[:1] and got["stop"] == "tool_calls"),
    ("text and two calls", {"calls": CALLS, "stop": "tool_calls"}, (), lambda got: (got["calls"], got["text"]) == (CALLS, SAY["text"])),
    ("thinking", {"think": THOUGHT}, ("openai/chat",), lambda got: (got["think"], got["text"]) == (THOUGHT, SAY["text"])),
    ("cut off at the limit", {"stop": "length"}, (), lambda got: got["stop"] == "length"),
    ("tokens: input, output", {}, (), lambda got: got["usage"][0::2] == (INPUT, OUTPUT)),
    ("tokens read from the cache", {}, (), lambda got: got["usage"][1] == CACHED),
    ("tokens written to the cache", {"writes": WRITES}, ("openai", "gemini", "cohere"), lambda got: got["writes"] == WRITES),
    ("tokens of reasoning", {}, ("bedrock-claude", "bedrock-nova", "cohere"), lambda got: got["usage"][3] == REASONING),
]
UNSIGNED = ("openai/chat", "cohere")  # whose answers carry no signature of their thinking


@pytest.fixture
def wire():
    upstream = WireUpstream()
    yield upstream
    upstream.close()


def config(wire):
    accounts, models = "", ""
    for name, model in PROVIDERS.items():
        kind = name.split("-")[0]
        keys = f"region: {REGION}, access_key_id: {ACCESS_KEY}, secret_access_key: {SECRET_KEY}" if kind == "bedrock" else "api_key: k"
        suffix = "/v1" if kind == "openai" else ""
        accounts += f'  {name}: {{provider: {kind}, base_url: "{wire.url(kind)}{suffix}", {keys}}}\n'
        models += f'  {name}: {{targets: [{{account: {name}, model: "{model}"}}]}}\n'
    return f"""accounts:
{accounts}engines:
  tiny: {{model: "builtin:weir-tiny"}}
models:
  engine: {{targets: [{{engine: tiny}}]}}
{models}prices:
  engine: {{input: 1, output: 2}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
"""


def lacks(provider, client, what):
    upstream_api = "responses" if client.name == "responses" else "chat"
    return provider in what or f"{provider}/{upstream_api}" in what


class Engine:
    """The local engine has no wire: what reaches it is measured by its answers and by how many tokens the prompt has."""

    def __init__(self, weir, client, stream):
        self.weir, self.client, self.stream = weir, client, stream

    def ask(self, ask):
        return send(self.weir, self.client, {"max_tokens": 16, **ask}, "engine", self.stream)

    def tokens(self, ask):
        return self.ask(ask)[0]["usage"][0]

    def asked(self, name, ask):
        """A feature that the engine took: "yes" where it shows, None where nothing tells that it did."""
        facts, dropped = self.ask(ask)
        if dropped:
            return "left out, named"
        if name == "output limit":
            return "yes" if facts["usage"][2] <= ask["max_tokens"] and facts["stop"] in ("length", "stop") else None
        if name in ("temperature", "seed"):
            fixed = {**ask, "temperature": 0} if name == "temperature" else ask
            return "yes" if len({self.ask(fixed)[0]["text"] for _ in range(3)}) == 1 else None
        if name == "stop sequences":
            text = self.ask({**ask, "stop": None, "temperature": 0})[0]["text"]
            cut = self.ask({**ask, "stop": [text[3:6]], "temperature": 0})[0]["text"]
            return "yes" if cut == text[:text.index(text[3:6])] else None
        if name == "JSON schema of the answer":
            text = self.ask({**ask, "max_tokens": 300, "temperature": 0})[0]["text"]
            return "yes" if json.loads(text) in ({"city": "Oslo"}, {"city": "Rome"}) else None
        plain = {"turns": [QUESTION]}
        if name == "tool choice: none":
            return "as no tools" if self.tokens(ask) == self.tokens(plain) else None
        return "yes" if self.tokens(ask) > self.tokens(plain) else None


def measure_asked(weir, wire, client, provider, stream, name, ask, check):
    wire.answer = dict(SAY)
    wire.requests.clear()
    if ask.get("own"):
        if provider == "engine" or (client.name, provider) == ("messages", "bedrock-claude"):
            return "none there"  # that client's bodies reach Claude whole, by InvokeModel, which takes Anthropic's alone
        ask = {**ask, "own": OWN[provider]}
    try:
        if provider == "engine":
            return Engine(weir, client, stream).asked(name, ask) or "LOST"
        _, dropped = send(weir, client, ask, provider, stream)
    except NoWord:
        return "·"
    except Refused as refused:
        return f"refused: {refused.message}" if refused.status == 400 and not wire.requests else f"FAILED {refused.status} {refused.message}"
    path, body, raw = wire.requests[-1]
    verdict = check(ask, wire_readers.read(path, body), raw)
    return verdict or ("left out, named" if dropped else "LOST")


def measure_answered(weir, wire, client, provider, stream, answer, lacking, check):
    if lacks(provider, client, lacking):
        return "none there"
    wire.answer = {**SAY, **answer}
    try:
        facts, _ = send(weir, client, PLAIN, provider, stream)
    except Refused as refused:
        return f"FAILED {refused.status} {refused.message}"
    return "yes" if check(facts) else f"LOST {facts}"


def measure_replay(weir, wire, client, provider, stream, calls):
    """Thinking with its signature goes to the client and comes back in the next turn: does the provider get it again?"""
    if lacks(provider, client, UNSIGNED):
        return "none there"
    wire.answer = {**SAY, **THINKS, **({"calls": CALLS[:1], "stop": "tool_calls"} if calls else {})}
    asked = {"turns": [QUESTION], "tools": TOOLS}
    try:
        facts, _ = send(weir, client, asked, provider, stream)
        next_turn = ("result", *CALLS[0][:2], ["MARK-RESULT-1"], False) if calls else ("user", ["MARK-AGAIN"])
        again = {**asked, "turns": [QUESTION, ("replay", facts["replay"]), next_turn]}
        _, dropped = send(weir, client, again, provider, stream)
    except Refused as refused:
        return f"FAILED {refused.status} {refused.message}"
    path, body, _ = wire.requests[-1]
    got = wire_readers.read(path, body)
    if SIGNATURE in got["signature"] and THOUGHT in got["think"]:
        return "yes"
    return "left out, named" if dropped else f"LOST client {facts['think']!r} {facts['signature']}, upstream {got['think']} {got['signature']}"


def measure_stranger(weir, wire, client, provider, stream):
    """Thinking that another family signed: this one cannot verify it, but may read it."""
    other = "gemini" if provider in ("anthropic", "bedrock-claude") else "anthropic"
    wire.answer = {**SAY, **THINKS}
    try:
        facts, _ = send(weir, client, PLAIN, other, stream)
        again = {"turns": [QUESTION, ("replay", facts["replay"]), ("user", ["MARK-AGAIN"])]}
        wire.requests.clear()
        _, dropped = send(weir, client, again, provider, stream)
    except Refused as refused:
        return f"FAILED {refused.status} {refused.message}"
    if provider == "engine":
        return "left out, named" if dropped else "to its chat template"
    path, body, _ = wire.requests[-1]
    got = wire_readers.read(path, body)
    if "".join(got["think"]) == THOUGHT:
        return "as thinking, unsigned" if SIGNATURE not in got["signature"] else "yes"
    return "left out, named" if dropped else f"LOST {got['think']}"


def measure(weir, wire):
    """{(client, feature): {column: verdict}}"""
    table = {}

    def note(client, name, provider, verdicts):
        both = verdicts[0] if verdicts[0] == verdicts[1] else f"{verdicts[0]}; stream: {verdicts[1]}"
        table.setdefault((client.name, name), {})[provider] = both

    for client in CLIENTS:
        for provider in COLUMNS:
            def both(function, *rest):
                return [function(weir, wire, client, provider, stream, *rest) for stream in (False, True)]
            for name, ask, check in ASKED:
                note(client, name, provider, both(measure_asked, name, ask, check))
            note(client, "another provider's thinking", provider, both(measure_stranger))
            if provider == "engine":
                continue
            for name, answer, lacking, check in ANSWERED:
                note(client, name, provider, both(measure_answered, answer, lacking, check))
            note(client, "thinking there and back, signed", provider, both(measure_replay, False))
            note(client, "thinking before a call, there and back", provider, both(measure_replay, True))
    return table


HEAD = """# What survives translation

Written by `tests/e2e/test_translation.py` from what it measured: each client protocol asks, through the running gateway, a mock of
each provider that speaks its real wire format and refuses what the real one would; the verdict is read from the request that
arrived there and from the answer that the client got, whole and streamed. `WEIR_WRITE=1 build/venv/bin/python -m pytest
tests/e2e/test_translation.py` writes this page again; the test fails where it is not what the run finds.

- **yes**: arrives where the other side's API has its place for it.
- **as …**: carried in another form.
- **refused ⁿ**: a clear error with status 400, code `unsupported_parameter` and the field in `param`, before anything is sent (the
  texts are below). Another target of the model is tried first; `drop_params: true` on the account leaves out what is not essential.
- **left out, named**: a hint that the other side has no use for; the answer's `x-weir-dropped-params` names it.
- **none there**: the provider's API has no such thing to translate.
- **·**: the client's protocol has no word for it.

Fields of ours in answers, where a protocol has no place of its own: `reasoning_content`, `thinking_blocks` and `citations` of a chat
message; the lives of what was written to the cache, 5 minutes and an hour, as `cache_creation_token_details` beside the cached tokens of
chat and Responses, and as `cacheCreationTokenCount` and `cacheCreation` in Gemini's `usageMetadata`. What a
tool that a provider ran itself was told and said (a web search, an MCP server) goes along whole, as `{"type": "FAMILY:TYPE", "item": …}`
with the provider's own words as the item: in `provider_items` of a chat message, as an item of a Response, as a block of a message, as
`providerItem` of a part of Gemini's. Sent back with the next turn it is a block of that family again; to another it is left out and named.
Code that Gemini ran, with its output, is shown as Markdown. The container that Claude's code ran in is `container` of a chat message, a
Response, a candidate; named as `container` of a later call it is gone on in. A turn that Claude paused, to be sent back as it is, ends as
one that was cut off, with `native_finish_reason: pause_turn` beside it (Gemini's: `finishMessage`).

What a client writes in its messages, parts and items beside what is told here is refused by its place (`messages[2].content[0].NAME`), as
any field is that the other side has no word for. What an answer held and a client gives back with the next turn (ids, annotations,
`reasoning_details`, `phase`, …) refuses nothing: it is left out, and named once for all turns (`messages.NAME`, `input.NAME`) where it
said something.

What is translated has limits that nobody meets who means what he sends: a call 1,024 fields, and 1,024 tools where it is one of chat or
Responses; of what its protocol does not know 1,024 members are refused or named. An answer has 1,024 calls at most, 128 choices, and as a
stream what `server.limits.response` allows to be kept. What passes in the client's own protocol has none of these.

Models asked: MODELS; the engine runs its built-in model.
"""


def page(table):
    models = ", ".join(f"{name} `{model}`" for name, model in PROVIDERS.items())
    out, notes = [HEAD.replace("MODELS", models)], []

    def cell(text):
        pieces = []
        for one in text.split("; stream: "):
            if one.startswith("refused: "):
                said = one[9:]
                if said not in notes:
                    notes.append(said)
                one = f"refused [{notes.index(said) + 1}]"
            pieces.append(one)
        return "; stream: ".join(pieces)

    for client in CLIENTS:
        out.append(f"\n## Client protocol: {client.name}\n\n| | " + " | ".join(COLUMNS) + " |\n|---" * 1 + "|" + "---|" * len(COLUMNS) + "\n")
        for (who, name), row in table.items():
            if who == client.name:
                out.append(f"| {name} | " + " | ".join(cell(row[column]) if column in row else "" for column in COLUMNS) + " |\n")
    out.append("\n## Refusals\n\n")
    out += [f"{at}. {said}\n" for at, said in enumerate(notes, 1)]
    return "".join(out)


def test_nothing_is_lost_between_protocols(weir, wire):
    table = measure(weir(config(wire)), wire)
    lost = [f"{client} → {provider}: {name}: {verdict}" for (client, name), row in table.items() for provider, verdict in row.items()
            if "LOST" in verdict or "FAILED" in verdict]
    mistakes = sorted(set(wire.mistakes))
    assert not lost and not mistakes, "\n".join(["", *lost, *mistakes])
    made = page(table)
    if os.environ.get("WEIR_WRITE"):
        PAGE.write_text(made)
    there = PAGE.read_text() if PAGE.exists() else ""
    diff = difflib.unified_diff(there.splitlines(), made.splitlines(), "docs/translation.md", "this run", lineterm="")
    assert there == made, "\n".join(diff)
