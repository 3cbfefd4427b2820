#!/usr/bin/env python3
"""Records tests/engine/grammar_cases.jsonl: schemas, and texts of which python-jsonschema says whether they are valid
(its own formats checked). The texts keep the order of the properties, as the engine writes them. Usage:
make_grammar_cases.py > tests/engine/grammar_cases.jsonl (jsonschema of tests/e2e/requirements.txt)."""
import json

import jsonschema

OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}
TREE = {"$defs": {"node": {"type": "object", "properties": {"value": {"type": "number"}, "next": {
    "anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["value", "next"],
    "additionalProperties": False}}, "$ref": "#/$defs/node"}
CASES = [
    (OBJECT, [{}, {"a": 1}, {"a": 1, "b": ""}, {"b": "x"}, {"b": "x", "c": [1]}, {"c": 1}, {"a": "1"}, {"a": 1, "b": 2}, []]),
    ({**OBJECT, "required": ["b"]}, [{}, {"a": 1}, {"a": 1, "b": "x"}, {"b": "x"}, {"b": "x", "z": None}]),
    ({**OBJECT, "additionalProperties": False}, [{}, {"a": 1, "b": "x"}, {"a": 1, "c": 1}, {"c": 1}, {"a": 1}]),
    ({**OBJECT, "additionalProperties": {"type": "boolean"}, "required": ["z"]},
     [{"a": 1, "z": True}, {"z": False}, {"z": 1}, {"a": 1}, {"z": True, "y": False}, {"z": True, "y": 0}]),
    (TREE, [{"value": 1.5, "next": None}, {"value": 1, "next": {"value": 2e3, "next": None}}, {"value": 1, "next": {}}, None]),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}, [[], [1], [1, 2, 3], [1, 2, 3, 4], ["x"]]),
    ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False}, [[], ["a"], ["a", 1], [1], ["a", 1, 2]]),
    ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "null"}, "minItems": 2}, [["a"], ["a", None], ["a", None, None], ["a", 1]]),
    ({"type": "array"}, [[], [1, "a", None, {"x": [[]]}], {}]),
    ({"enum": ["a", "ab", 1, 1.5, None, {"x": [1]}, "é\"\\\n"]}, ["a", "ab", "abc", 1, 1.5, 2, None, {"x": [1]}, {"x": []}, "é\"\\\n"]),
    ({"const": {"k": "v"}}, [{"k": "v"}, {}, "k"]),
    ({"type": "string", "enum": ["a", 1]}, ["a", 1]),
    ({"type": ["string", "null", "integer"]}, ["x", None, 3, 3.5, True]),
    ({"type": "integer", "minimum": -12, "maximum": 137}, [-13, -12, -1, 0, 9, 10, 99, 100, 137, 138, 200, 1000]),
    ({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 20}, [5, 6, 9, 10, 19, 20]),
    ({"type": "integer", "minimum": 2.5}, [2, 3, 100, -3]),
    ({"type": "integer", "maximum": -2.5}, [-2, -3, -100, 3]),
    ({"type": "number", "minimum": 0.5, "maximum": 10}, [0.4, 0.49, 0.5, 0.51, 1, 9.99, 10, 10.01, 11, -1, 0]),
    ({"type": "number", "exclusiveMinimum": 0.25, "exclusiveMaximum": 1.125}, [0.2, 0.25, 0.251, 0.3, 1, 1.1, 1.12, 1.124, 1.125, 1.13, 2]),
    ({"type": "number", "minimum": -1.5, "exclusiveMaximum": 0}, [-1.6, -1.51, -1.5, -1.4, -1, -0.001, 0, 0.1, 1]),
    ({"type": "number", "exclusiveMinimum": 0}, [0, 0.1, 1e-2, 5, -0.1]),
    ({"type": "number", "minimum": 1e-3, "maximum": 1e6}, [0.0009, 0.001, 1, 999999.5, 1000000, 1000001]),
    ({"type": "number"}, [0, -1.25, 12345, 1e10, "1"]),
    ({"type": "string", "minLength": 2, "maxLength": 4}, ["", "a", "ab", "abcd", "abcde", "éé", "ééééé", "\n\"", "\n\n\n\n\n"]),
    ({"type": "string", "maxLength": 0}, ["", "a"]),
    ({"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}, ["AB-1", "AB-123", "AB-", "ABC-1", "xAB-1", "AB-1x"]),
    ({"type": "string", "pattern": "b+"}, ["b", "abba", "", "aca", "\nb\""]),
    ({"type": "string", "pattern": "^a|b$"}, ["a", "ax", "xb", "b", "x", "xa", "bx"]),
    ({"type": "string", "pattern": "^(a|bc)*$", "maxLength": 4}, ["", "a", "bc", "abca", "bcbc", "abcbc", "b"]),
    ({"type": "string", "pattern": "^[^a-z]+$", "minLength": 3}, ["AB", "ABC", "A\"C", "abc", "ABCDEF"]),
    ({"type": "string", "pattern": "^\\d{1,3}(\\.\\d{1,3}){3}$"}, ["1.2.3.4", "1.2.3", "1.2.3.4444", "a.b.c.d"]),
    ({"type": "string", "pattern": "^[\\w.]+@x\\.(de|com)$"}, ["a.b@x.de", "@x.de", "a@x.d", "a@y.de"]),
    ({"type": "string", "format": "date"}, ["2024-02-29", "2023-02-29", "2000-02-29", "1900-02-29", "2024-13-01", "2024-04-31", "2024-1-1"]),
    ({"type": "string", "format": "ipv4"}, ["1.2.3.4", "255.255.255.255", "256.1.1.1", "1.2.3"]),
    ({"type": "string", "format": "ipv6"}, ["::", "::1", "1:2:3:4:5:6:7:8", "1::8", "1:2:3::7:8", "1:2:3:4:5:6:7", "1:::2", "g::1"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000", "x"]),
    ({"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False}]},
     [1, {"a": 1}, {"a": 2}, "x", {}]),
    ({"oneOf": [{"type": "string", "maxLength": 1}, {"type": "null"}]}, ["a", "ab", None]),
    ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
     [{"a": 1}, {"b": 1}, {"a": 1, "b": 2}, {}]),
    ({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]}]}, [{"a": 1, "b": ""}, {"a": 1}, {"b": ""}]),
    ({"allOf": [{"type": "number", "minimum": 2}, {"type": "integer", "maximum": 4}]}, [1, 2, 3, 4, 5, 2.5]),
    ({"$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s", "minLength": 2}, ["a", "ab", 1]),
    ({"type": "object", "properties": {"x": {"$ref": "#"}}, "additionalProperties": False}, [{}, {"x": {}}, {"x": {"x": {}}}, {"y": {}}, {"x": 1}]),
    ({"type": "object", "properties": {"key\"\\é": {"type": "null"}}, "additionalProperties": False}, [{"key\"\\é": None}, {"key": None}]),
    ({"type": "object", "properties": {"no": False, "yes": True}}, [{}, {"yes": [1]}, {"no": 1}]),
    ({}, [1, "x", None, [1, {}], {"a": {"b": []}}, True]),
    (True, [1, {}]),
]


def main():
    for schema, instances in CASES:
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for instance in instances:
            valid = validator.is_valid(instance)
            texts = [json.dumps(instance, ensure_ascii=False, separators=(",", ":"))]
            if not isinstance(schema, dict) or not {"enum", "const"} & schema.keys():  # whose values have one spelling
                texts += [json.dumps(instance, ensure_ascii=False), json.dumps(instance, ensure_ascii=False, indent=2)]
            for text in dict.fromkeys(texts):
                print(json.dumps({"schema": schema, "text": text, "valid": valid}, ensure_ascii=False))


if __name__ == "__main__":
    main()
