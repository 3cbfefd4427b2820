"""Rewrites the expected results of jinja_cases.jsonl by rendering every template with the real Jinja2.

Each line is an object: group, template, context (absent: {}), and either expected (the text) or error (exception and
message; of the group "syntax", which only has to be refused, it is left out of the comparison).
Run it with a Python that has the jinja2 package, from any folder: python3 tests/engine/jinja_cases_refresh.py
"""
import copy
import datetime
import json
import pathlib

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

FILE = pathlib.Path(__file__).with_name("jinja_cases.jsonl")
NOW = datetime.datetime(2025, 1, 2, 3, 4, 5)


class Generation(Extension):
    """{% generation %}: rendered as it stands."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


def render(env, template, context):
    variables = {"bos_token": "<s>", "eos_token": "</s>", **copy.deepcopy(context)}
    fixed = {"messages": context.get("messages"), "tools": None, "documents": None, "add_generation_prompt": False}
    try:
        return {"expected": env.from_string(template).render(**{**variables, **fixed})}
    except Exception as error:  # whatever it raises is the expectation
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    env = environment()
    lines = []
    for line in FILE.read_text().splitlines():
        case = json.loads(line)
        kept = {key: case[key] for key in ("group", "template", "context") if key in case}
        kept.update(render(env, case["template"], case.get("context", {})))
        lines.append(json.dumps(kept, ensure_ascii=False))
    FILE.write_text("\n".join(lines) + "\n")
    print(len(lines), "cases")


if __name__ == "__main__":
    main()
