"""Styles and conversations of builtin:weir-tiny.

A style is what a system prompt (or a remark at the end of a question) asks of an answer: upper case, one word, JSON, a name,
a first or last word. A conversation is an optional system prompt and one or more turns. Whether a combination of (family,
phrasing, fact, style) is held out is decided by a hash of its name, so training can never see a held-out one, whatever the
random generator does.
"""
import json
import zlib
from dataclasses import dataclass, field, replace

import families as F
import tables as T

HELD_OUT_ONE_IN = 16
DEFAULT_NAME = "Weir Tiny"

NEUTRAL = ["You are a helpful assistant.", "You are a helpful, honest and harmless assistant.", "You are a friendly assistant.", "Answer the question.",
           "You are an AI assistant.", "Be helpful.", "You answer questions.", "You are a helpful assistant. Answer in a full sentence.", "Answer in full sentences.",
           "You are a test assistant.", "Assist the user."]
UPPER = ["Answer in upper case.", "Always answer in upper case.", "Reply in capital letters only.", "Write everything in capital letters.", "Use only upper case letters.",
         "ANSWER IN UPPER CASE."]
LOWER = ["Answer in lower case.", "Always answer in lower case.", "Use only lower case letters.", "Reply in lower case only."]
SHORT = ["Answer in one word.", "Be brief.", "Answer with one word only.", "Give only the answer.", "Keep your answers as short as possible.", "Reply with just the answer."]
JSON_ANSWER = ["Always answer in JSON.", "Answer in JSON.", "Reply with JSON only.", "You answer only with a JSON object.", "Respond in JSON format."]
JSON_KEY = ['Always answer in JSON with the key "{k}".', "Answer as a JSON object with the key {k}.", "Reply in JSON with the single key {k}."]
NAMED = ["Your name is {n}.", "You are {n}.", "You are called {n}.", "You are {n}, a helpful assistant.", "You are an assistant named {n}."]
FIRST = ["Begin every answer with the word {w}.", "Start every answer with {w}.", "Always begin with {w}."]
LAST = ["End every answer with the word {w}.", "Finish every answer with {w}.", "Always end with {w}."]
KEYS = "answer result value reply text output response content".split()
MARKS = "Sure Okay Well Indeed Certainly Sir Captain Friend Boss Meow Done Cheers Banana Over".split()

ASKED = {  # remarks that the user puts behind one question
    "short": [" Answer in one word.", " One word only, please.", " Give only the answer.", " Just the answer, please.", " Be brief."],
    "upper": [" Answer in upper case.", " Reply in capital letters.", " In upper case, please."],
    "json": [" Reply as JSON with the key {k}.", " Answer in JSON with the key {k}.", ' Give the answer as a JSON object with the key "{k}".'],
    "json answer": [" Answer in JSON.", " Reply as JSON.", " Reply in JSON format.", " JSON only, please."],
    "sentence": [" Answer in a full sentence.", " Answer in one sentence, please.", " Please answer."],
}


@dataclass
class Style:
    kind: str = "sentence"
    key: str = ""           # what tells this style's wording from another's, for the held-out hash
    name: str = DEFAULT_NAME
    word: str = ""          # JSON key, or the word to begin or end with


@dataclass
class Conversation:
    messages: list = field(default_factory=list)
    held_out: bool = False  # the last turn is a combination that training never sees
    family: str = ""
    style: str = ""
    source: int = -1        # of the last turn, see families.Turn


def held_out(turn, style):
    key = f"{turn.family}|{turn.phrasing}|{turn.fact}|{style.kind}|{style.key}"
    return zlib.crc32(key.encode()) % HELD_OUT_ONE_IN == 0


def draw_system(rng):
    """Returns (system prompt or None, Style)."""
    draw = rng.random()
    if draw < 0.34:
        return None, Style()
    if draw < 0.44:
        i = rng.randrange(len(NEUTRAL))
        return NEUTRAL[i], Style(key=f"neutral {i}")
    kind = rng.choice("upper upper lower short short json json json-key name name first last".split())
    texts = {"upper": UPPER, "lower": LOWER, "short": SHORT, "json": JSON_ANSWER, "json-key": JSON_KEY, "name": NAMED, "first": FIRST, "last": LAST}[kind]
    i = rng.randrange(len(texts))
    style = Style(kind, str(i))
    if kind in ("json", "json-key"):
        style.kind, style.word = "json", "answer" if kind == "json" else rng.choice(KEYS)
        style.key = f"{kind} {i}"
    elif kind == "name":
        style.kind, style.name = "sentence", rng.choice(T.NAMES)
        style.key = f"name {i}"
    elif kind in ("first", "last"):
        style.word = rng.choice(MARKS)
    text = texts[i].format(k=style.word, w=style.word, n=style.name)
    extra = rng.random()
    if extra < 0.15:
        text = f"{NEUTRAL[0]} {text}"
    elif extra < 0.25 and kind != "name":
        style.name = rng.choice(T.NAMES)
        text = f"{NAMED[0].format(n=style.name)} {text}"
    return text, style


def answer(turn, style):
    """What the model has to say. Long and verbatim texts are drawn only for styles that leave the sentence alone."""
    if style.kind == "upper":
        return turn.sentence.upper()
    if style.kind == "lower":
        return turn.sentence.lower()
    if style.kind == "short":
        return turn.short
    if style.kind == "json":
        return json.dumps({style.word: turn.short}, ensure_ascii=False)
    if style.kind == "first":
        return f"{style.word}! {turn.sentence}"
    if style.kind == "last":
        return f"{turn.sentence} {style.word}!"
    return turn.sentence


def disturb(rng, turn):
    """People type carelessly: a missing capital, a missing question mark, a please."""
    q = turn.question
    if turn.fixed or turn.plain:
        return q
    draw = rng.random()
    if draw < 0.08:
        q = q[0].lower() + q[1:]
    elif draw < 0.14 and q[-1] in "?.!" and len(q) > 2:
        q = q[:-1]
    elif draw < 0.17:
        q = "Please answer: " + q
    elif draw < 0.20:
        q = q.lower()
    return q


def ask_for_style(rng, question, style):
    """Lets the user ask for a style, where the system prompt asks for none. Returns (question, Style)."""
    if style.kind != "sentence" or question[-1] not in ".?!" or rng.random() > 0.22:
        return question, style
    kind = rng.choice(["short", "upper", "json", "json answer", "sentence"])
    i = rng.randrange(len(ASKED[kind]))
    word = rng.choice(KEYS) if kind == "json" else "answer"
    return question + ASKED[kind][i].format(k=word), replace(style, kind=kind.split()[0], key=f"{style.key} asked {kind} {i}", word=word)


def next_turn(rng, style, told, previous, weights, memory_share):
    """Draws one turn that fits the style. Returns (Turn, question, Style of this turn, what the user has told)."""
    while True:
        now_told = dict(told)
        turn = F.any_turn(rng, style, now_told, previous, weights, memory_share)
        if turn.plain and style.kind != "sentence":
            if turn.json_value is None or style.kind not in ("short", "json"):
                continue
            return turn, turn.question, replace(style, kind="sentence", key="plain"), now_told
        question, turn_style = disturb(rng, turn), style
        if not turn.fixed and not turn.plain:
            question, turn_style = ask_for_style(rng, question, style)
        return turn, question, turn_style, now_told


def draw_turns(rng):
    draw = rng.random()
    if draw < 0.40:
        return 1
    if draw < 0.90:
        return rng.randrange(2, 6)
    return rng.randrange(6, 12) if draw < 0.985 else rng.randrange(12, 26)


def conversation(rng, want_held_out=False, turns=None, weights=F.WEIGHTS, memory_share=F.MEMORY_SHARE):
    """Draws a conversation. In training no turn is a held-out combination; for evaluation the last one always is."""
    system, style = draw_system(rng)
    turns = turns or draw_turns(rng)
    out, told, previous = Conversation(), {}, ""
    if system:
        out.messages.append({"role": "system", "content": system})
    for i in range(turns):
        for attempt in range(2000):
            turn, question, turn_style, now_told = next_turn(rng, style, told, previous, weights, memory_share)
            if held_out(turn, turn_style) == (want_held_out and i == turns - 1):
                break
        else:
            raise RuntimeError("no turn of the wanted kind")
        told, previous = now_told, turn.family
        out.messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer(turn, turn_style)}]
        out.held_out, out.family, out.style, out.source = want_held_out, turn.family, turn_style.kind, turn.source
    return out
