#!/usr/bin/env python3
"""Compares config/prices.yaml with pydantic/genai-prices (MIT), and lists every difference.

    python3 config/prices_check.py path/to/data_slim.json [--all]

Each of our entries is looked up under its provider there: a model of that id, else one whose `match` rule fits the name.
A difference that is known and meant stands in MEANT, with the reason; everything else is printed, and the exit status is
1 (77 where there is no such file). `--all` prints the meant ones and what was not found, too. Needs no package:
prices.yaml's lines are all alike. Theirs has no price of a cache write for an hour: that is twice the input's price
(https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing), which is checked, too.

Their prices that hang on a condition are read as ours are written: of a price by length of the prompt the part below the
first length, of one by date the one in force on the day in the first line of prices.yaml, of one by the time of day the
full price."""
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
# (model, field): why ours is another.
AUDIO = "OpenAI's list has a price of its own for audio; theirs repeats that of text"
MEANT = {
    ("gpt-4o-audio-preview", "audio_input"): AUDIO,
    ("gpt-4o-audio-preview", "audio_output"): AUDIO,
    ("gpt-4o-mini-audio-preview", "audio_input"): AUDIO,
    ("gpt-4o-mini-audio-preview", "audio_output"): AUDIO,
    ("gpt-image-1-mini", "output"): "what an image is made of; theirs leaves it out",
    ("amazon.titan-embed-text-v2:0", "input"): "theirs knows version 1 alone, whose rule fits every version",
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
            fields = dict(pair.split(": ") for pair in entry[2].split(", "))
            out.append((section, entry[1], {name: Decimal(value) for name, value in fields.items()}))
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
            base = {field: price["base"] if isinstance(price, dict) else price for field, price in prices.items()}
            return f"{provider['id']}/{found['id']}", base
    return None, {}


def differences(ours, theirs):
    for field, name in FIELDS.items():
        mine, other = ours.get(field), theirs.get(name)
        other = None if other is None else Decimal(str(other))
        if field == "output" and other is None:
            other = Decimal(0)  # an embedding has none
        if mine != other:
            yield field, mine, other


def hour_prices(entries):
    """Entries whose cache write for an hour is not twice the input."""
    for _, model, prices in entries:
        hour = prices.get("cache_write_1h")
        if hour is not None and hour != 2 * prices["input"]:
            yield model, hour


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
            reason = MEANT.get((model, field), MEANT.get((section, field)))
            open_ones += reason is None
            if reason is None or options.all:
                print(f"{model}.{field}: ours {mine}, theirs {other} ({where})" + (f"; meant: {reason}" if reason else ""))
    for model, hour in hour_prices(entries):
        open_ones += 1
        print(f"{model}.cache_write_1h: {hour} is not twice the input")
    print(f"{compared} of {len(entries)} compared, {missing} not there, {open_ones} differences not accounted for")
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
