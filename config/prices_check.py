#!/usr/bin/env python3
"""Compares config/prices.yaml with pydantic/genai-prices (MIT), and lists every difference.

    python3 config/prices_check.py path/to/data_slim.json [--all]

Each of our entries is looked up under its provider there: a model of that id, else one whose `match` rule fits the name.
A difference that is known and meant stands in MEANT, with the reason; everything else is printed, and the exit status is
1 (77 where there is no such file). `--all` prints the meant ones and what was not found, too. Needs no package:
prices.yaml's lines are all alike. Theirs has no price of a cache write for an hour: that is twice the input's price
(https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing), which is checked, too.

Their prices that hang on a condition are read as ours are written: one by length of the prompt is compared length by
length with our `above`, of one by date the one in force on the day in the first line of prices.yaml counts, of one by the
time of day the full price. They know no tiers of service: ours are multiples (or prices) from the providers' own pages,
and only their sense is checked."""
import argparse
import datetime
import json
import pathlib
import re
import sys
from decimal import Decimal

OURS = pathlib.Path(__file__).parent / "prices.yaml"
# Our section's first words -> their providers, in the order in which they are asked.
PROVIDERS = {"OpenAI": ["openai", "azure"], "Anthropic": ["anthropic"], "Cohere": ["cohere"], "Google": ["google"],
             "Amazon Bedrock": ["aws"], "Azure": ["azure"], "Mistral": ["mistral"]}
FIELDS = {"input": "input_mtok", "cached_input": "cache_read_mtok", "cache_write": "cache_write_mtok",
          "output": "output_mtok", "audio_input": "input_audio_mtok", "audio_output": "output_audio_mtok"}
# (model, field): why ours is another; "*" is every field, "above.N" every one above that length.
AUDIO = "OpenAI's list has a price of its own for audio; theirs repeats that of text"
CUT = "cut on 2026-07-30 (https://developers.openai.com/api/docs/changelog); theirs is of before"
KEPT = "the price of its launch stayed, the rise of 2026-09-01 was called off (https://platform.claude.com/docs/en/models/sonnet-5/overview)"
LONG = "theirs does not know its price above this length (https://developers.openai.com/api/docs/pricing)"
LONG_4 = "theirs has it for 4.5 alone (https://platform.claude.com/docs/en/about-claude/pricing)"
MEANT = {
    ("gpt-4o-audio-preview", "audio_input"): AUDIO,
    ("gpt-4o-audio-preview", "audio_output"): AUDIO,
    ("gpt-4o-mini-audio-preview", "audio_input"): AUDIO,
    ("gpt-4o-mini-audio-preview", "audio_output"): AUDIO,
    ("gpt-4o-mini-tts", "audio_output"): "all that it says is audio; ours is its price of output",
    ("gpt-image-1-mini", "output"): "what an image is made of; theirs leaves it out",
    ("amazon.titan-embed-text-v2:0", "input"): "theirs knows version 1 alone, whose rule fits every version",
    ("gpt-4o-2024-05-13", "*"): "OpenAI's list has a price of its own for this issue; theirs has one for all",
    ("gpt-5.5", "above.272000"): LONG,
    ("gpt-5.5-pro", "above.272000"): LONG,
    ("gpt-5.6-luna", "*"): CUT,
    ("gpt-5.6-terra", "*"): CUT,
    ("claude-sonnet-5", "*"): KEPT,
    ("anthropic.claude-sonnet-5", "*"): KEPT,
    ("global.anthropic.claude-sonnet-5", "*"): KEPT,
    ("claude-sonnet-4", "above.200000"): LONG_4,
    ("claude-sonnet-4-0", "above.200000"): LONG_4,
}


def our_prices():
    """(section, model, {field: price}) of each entry, and the list's day."""
    text = OURS.read_text(encoding="utf-8")
    day = datetime.date.fromisoformat(re.search(r"as of (\d{4}-\d\d-\d\d)", text)[1])
    section, out = None, []
    for line in text.splitlines():
        if line.startswith("# "):
            section = next((name for name in PROVIDERS if re.match(rf"# {name}\b", line)), section)
            continue
        entry = re.fullmatch(r'"?([^"]+?)"?: \{(.*)\}', line)
        if entry and section:
            fields = json.loads("{" + re.sub(r"([\w-]+): ", r'"\1": ', entry[2]) + "}", parse_float=Decimal, parse_int=Decimal)
            out.append((section, entry[1], fields))
    return out, day


def fits(rule, name):
    (kind, value), = rule.items()
    name = name.lower()
    if kind in ("or", "and"):
        return (any if kind == "or" else all)(fits(one, name) for one in value)
    if kind == "regex":
        return re.search(value, name) is not None
    return {"equals": name == value, "starts_with": name.startswith(value), "ends_with": name.endswith(value),
            "contains": value in name}[kind]


def literals(rule):
    """The names that a rule is made of."""
    (kind, value), = rule.items()
    return [name for one in value for name in literals(one)] if kind in ("or", "and") else [] if kind == "regex" else [value]


def issue_of(full, name):
    """Whether `full` is a dated or numbered issue of `name`, as PriceTable::find takes it."""
    return re.fullmatch(re.escape(name) + r"([-@:](\d{3,8}|v\d{1,2}|\d|latest))+", full) is not None


def in_force(prices, day):
    """The prices of that day, where they hang on dates or hours."""
    if isinstance(prices, dict):
        return prices
    chosen = {}
    for one in prices:
        constraint = one.get("constraint") or {}
        if "start_time" in constraint or "end_time" in constraint:
            continue  # a discount by the hour
        start = constraint.get("start_date")
        if start is None or datetime.date.fromisoformat(start[:10]) <= day:
            chosen = one["prices"]
    return chosen


def their_price(providers, name, data, day):
    for provider in (one for wanted in providers for one in data if one["id"] == wanted):
        models = provider["models"]
        found = next((m for m in models if m["id"] == name), None) or \
            next((m for m in models if fits(m["match"], name)), None) or \
            next((m for m in models if any(issue_of(one, name) for one in [m["id"], *literals(m["match"])])), None)
        if found:
            prices = in_force(found["prices"], day)
            return f"{provider['id']}/{found['id']}", prices
    return None, {}


def of_length(prices, tokens):
    """Their prices of a prompt of more than `tokens` tokens."""
    def price(one):
        if not isinstance(one, dict):
            return one
        return next((tier["price"] for tier in reversed(one["tiers"]) if tier["start"] <= tokens), one["base"])
    return {field: price(one) for field, one in prices.items()}


def lengths(prices):
    return {tier["start"] for one in prices.values() if isinstance(one, dict) for tier in one["tiers"]}


def differences(ours, theirs):
    """Of the prices below every length, then of those above each that either list has: "above.200000.input"."""
    above = {int(step["tokens"]): step for step in ours.get("above", [])}
    for tokens in sorted({0, *above, *lengths(theirs)}):
        mine_here = above.get(tokens, {}) if tokens else ours
        theirs_here = of_length(theirs, tokens) if tokens in {0, *lengths(theirs)} else {}
        for field, name in FIELDS.items():
            mine, other = mine_here.get(field), theirs_here.get(name)
            other = None if other is None else Decimal(str(other))
            if field == "output" and other is None and theirs_here:
                other = Decimal(0)  # an embedding has none
            if mine != other:
                yield f"above.{tokens}.{field}" if tokens else field, mine, other


def cards(prices):
    """(path, prices) of an entry and of what is in it."""
    yield "", prices
    for step in prices.get("above", []):
        yield f"above.{step['tokens']}.", step
    for term, tier in prices.get("tiers", {}).items():
        if isinstance(tier, dict):
            yield f"tiers.{term}.", tier


def senseless(entries):
    """What contradicts the providers' rules: a cache write for an hour that is not twice the input, a flex tier that is
    not half the price, another one that is no dearer, a long prompt that is cheaper."""
    for _, model, prices in entries:
        for path, card in cards(prices):
            hour = card.get("cache_write_1h")
            if hour is not None and hour != 2 * card["input"]:
                yield f"{model}.{path}cache_write_1h: {hour} is not twice the input"
        for step in prices.get("above", []):
            if step["input"] < prices["input"] or step["output"] < prices["output"]:
                yield f"{model}.above.{step['tokens']}: is cheaper than a short prompt"
        for term, tier in prices.get("tiers", {}).items():
            multiple = tier["output"] / prices["output"] if isinstance(tier, dict) else tier
            if multiple != Decimal("0.5") if term == "flex" else multiple <= 1:
                yield f"{model}.tiers.{term}: {multiple:.3} times the price"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", help="genai-prices' data_slim.json")
    options.add_argument("--all", action="store_true", help="also what is meant, and what is not found there")
    options = options.parse_args()
    if not pathlib.Path(options.data).exists():
        print(f"there is no {options.data}")
        return 77
    data = json.loads(pathlib.Path(options.data).read_text(encoding="utf-8"))
    entries, day = our_prices()
    compared = missing = open_ones = 0
    for section, model, prices in entries:
        where, theirs = their_price(PROVIDERS[section], model, data, day)
        if where is None:
            missing += 1
            if options.all:
                print(f"{model}: not there")
            continue
        compared += 1
        for field, mine, other in differences(prices, theirs):
            of_step = field.rpartition(".")[0]
            reason = next((MEANT[key] for key in [(model, field), (model, of_step), (model, "*"), (section, field)] if key in MEANT), None)
            open_ones += reason is None
            if reason is None or options.all:
                print(f"{model}.{field}: ours {mine}, theirs {other} ({where})" + (f"; meant: {reason}" if reason else ""))
    for what in senseless(entries):
        open_ones += 1
        print(what)
    print(f"{compared} of {len(entries)} compared, {missing} not there, {open_ones} differences not accounted for")
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
