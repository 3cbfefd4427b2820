"""Whether a request is one that the real API would take, told by what its owner published: the request types of the
official client libraries (anthropic, google-genai, cohere), botocore's service model and its signing, OpenAI's OpenAPI
document. Each check returns a list of mistakes; none of them was written by this project."""
import functools
import re
from typing import List

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import botocore.validate
import cohere
import pydantic
from anthropic.types import message_create_params
from cohere.types import JsonObjectResponseFormatV2, Thinking
from google.genai import types

from openai_schema import FILE, OPENAI

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "example-secret", "us-east-1"


def fits(adapter, value, where):
    try:
        adapter.validate_python(value)
        return []
    except pydantic.ValidationError as error:
        return [f"{where}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:4]]


@functools.cache
def adapter(kind):
    return pydantic.TypeAdapter(kind)


def anthropic(body):
    body = {key: value for key, value in body.items() if key != "stream"}
    # The library's types name the settings of the newest models alone; older ones take these.
    body = {key: value for key, value in body.items() if key not in ("temperature", "top_p", "top_k")}
    known = set(message_create_params.MessageCreateParamsNonStreaming.__annotations__) | set(message_create_params.MessageCreateParamsBase.__annotations__)
    out = [f"unknown field {key}" for key in body if key not in known]
    return out + fits(adapter(message_create_params.MessageCreateParamsNonStreaming), body, "anthropic")


def anthropic_on_bedrock(body):
    """InvokeModel takes the version in the body, and no model."""
    out = [] if body.get("anthropic_version") == "bedrock-2023-05-31" else ["anthropic_version is missing"]
    out += [f"unknown field {key}" for key in ("model", "stream") if key in body]
    plain = {key: value for key, value in body.items() if key not in ("anthropic_version", "anthropic_beta")}
    return out + anthropic({"model": "of-the-path", **plain})


def gemini(body):
    """google-genai's types refuse unknown fields; the request itself has no type there, its members have."""
    kinds = {"contents": List[types.Content], "systemInstruction": types.Content, "tools": List[types.Tool], "toolConfig": types.ToolConfig,
             "generationConfig": types.GenerationConfig, "safetySettings": List[types.SafetySetting]}
    out = [f"unknown field {key}" for key in body if key not in kinds and key not in ("cachedContent", "serviceTier")]
    for key, kind in kinds.items():
        if key in body:
            out += fits(adapter(kind), body[key], key)
    if not body.get("contents"):
        out.append("contents are missing")
    return out


def strangers(model, where):
    """Fields that a model of cohere's took only because it takes all."""
    out = []
    if isinstance(model, list):
        for at, one in enumerate(model):
            out += strangers(one, f"{where}[{at}]")
    elif isinstance(model, pydantic.BaseModel):
        out = [f"unknown field {where}.{key}" for key in model.model_extra or {}]
        for key in type(model).model_fields:
            out += strangers(getattr(model, key), f"{where}.{key}")
    return out


def cohere_chat(body):
    kinds = {"messages": List[cohere.ChatMessageV2], "tools": List[cohere.ToolV2], "thinking": Thinking,
             "response_format": JsonObjectResponseFormatV2}
    plain = {"model", "stream", "strict_tools", "documents", "citation_options", "safety_mode", "max_tokens", "stop_sequences",
             "temperature", "seed", "frequency_penalty", "presence_penalty", "k", "p", "logprobs", "tool_choice", "priority"}
    out = [f"unknown field {key}" for key in body if key not in kinds and key not in plain]
    for key, kind in kinds.items():
        if key in body:
            wrong = fits(adapter(kind), body[key], key)
            out += wrong or strangers(adapter(kind).validate_python(body[key]), key)
    return out


@functools.cache
def bedrock_model():
    return botocore.session.Session().get_service_model("bedrock-runtime")


def converse(body, model, stream):
    def blobs(value):
        """On the wire bytes are base64; botocore's validator sees what a program gives: bytes."""
        if isinstance(value, dict):
            return {key: (one.encode() if key in ("bytes", "redactedContent") and isinstance(one, str) else blobs(one)) for key, one in value.items()}
        return [blobs(one) for one in value] if isinstance(value, list) else value

    shape = bedrock_model().operation_model("ConverseStream" if stream else "Converse").input_shape
    report = botocore.validate.ParamValidator().validate({"modelId": model, **blobs(body)}, shape)
    return report.generate_report().splitlines() if report.has_errors() else []


def signature(path, headers, body):
    """AWS Signature Version 4 of a request, made again by botocore from what arrived."""
    found = re.match(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/([^/]+)/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)$",
                     headers.get("authorization", ""))
    if not found:
        return ["authorization is no signature of version 4: " + headers.get("authorization", "none")[:80]]
    key, day, region, service, signed, given = found.groups()
    auth = botocore.auth.SigV4Auth(botocore.credentials.Credentials(ACCESS_KEY, SECRET_KEY), service, region)
    fields = {name: headers[name] for name in signed.split(";")}
    request = botocore.awsrequest.AWSRequest("POST", url=f"http://{headers['host']}{path}", data=body, headers=fields)
    request.context["timestamp"] = headers["x-amz-date"]
    made = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    wrong = [] if (key, region, service) == (ACCESS_KEY, REGION, "bedrock") and headers["x-amz-date"].startswith(day) else ["scope"]
    return wrong + ([] if made == given else [f"signature {given}, botocore makes {made}"])


def openai(name):
    """Beside the document's own rules, which allow fields it does not know: we send none of those either."""
    def check(body):
        if not FILE.exists():
            return []
        return OPENAI.mistakes(name, body) + [f"unknown field {key}" for key in set(body) - OPENAI.members(name)]
    return check


openai_chat = openai("CreateChatCompletionRequest")
openai_responses = openai("CreateResponse")
