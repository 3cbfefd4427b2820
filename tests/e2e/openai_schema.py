"""OpenAI's OpenAPI document as validators: OPENAI.mistakes("CreateChatCompletionRequest", value) says what is wrong.

The document is 3.1, whose schemas are JSON Schema 2020-12, but it still holds 3.0's `nullable: true`: those members are
turned into a choice with null. `oneOf` becomes `anyOf`: several of its alternatives overlap (a plain text message fits two
roles' schemas), and which one fits is not the question here."""
import functools
import json

import jsonschema
import referencing
import referencing.jsonschema

from conftest import DATA

FILE = DATA / "wire/specs/openai-openapi.json"


def modern(schema):
    if isinstance(schema, list):
        return [modern(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: modern(value) for key, value in schema.items() if key != "discriminator"}
    if isinstance(out.get("oneOf"), list):
        out["anyOf"] = out.pop("oneOf")
    if out.get("nullable") is True:
        out.pop("nullable")
        return {"anyOf": [out, {"type": "null"}]}
    return out


class OpenAiSchema:
    @functools.cached_property
    def registry(self):
        document = modern(json.loads(FILE.read_text()))
        resource = referencing.Resource(contents=document, specification=referencing.jsonschema.DRAFT202012)
        return referencing.Registry().with_resource("urn:openai", resource)

    @functools.cache
    def validator(self, name):
        return jsonschema.Draft202012Validator({"$ref": f"urn:openai#/components/schemas/{name}"}, registry=self.registry)

    def mistakes(self, name, value):
        out = []
        for error in self.validator(name).iter_errors(value):
            deepest = jsonschema.exceptions.best_match([error])
            out.append(f"{name}{deepest.json_path[1:]}: {deepest.message[:300]}")
        return out

    def members(self, name):
        """The names of all properties of a schema, those of `allOf` included."""
        document = self.registry.contents("urn:openai")

        def collect(schema):
            if "$ref" in schema:
                schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
            return set(schema.get("properties", {})).union(*[collect(one) for one in schema.get("allOf", [])])

        return collect({"$ref": "/" + name})


OPENAI = OpenAiSchema()
