"""Four client protocols: one neutral question written in each (or NoWord, where the protocol cannot say it), sent to the
gateway, and the answer read back, whole or put together from its stream. Answers are checked with the official
libraries' own types, so that what is read here is what those clients would see.

A question is a dict: system, turns [("user", parts) | ("model", parts) | ("result", id, name, parts, failed) |
("replay", turns of this protocol)], tools {name: schema}, and choice, parallel, effort, budget, schema, max_tokens, stop,
temperature, seed, cache, detail, and own: fields of the provider's, put beside the protocol's. A part is a text, {"image": base64}, {"url": …} or {"call": (id, name, arguments)}."""
import json

import anthropic.types
import openai.types.chat
import openai.types.responses
import pydantic
from google.genai import types

CHUNK, CHAT = openai.types.chat.ChatCompletionChunk, openai.types.chat.ChatCompletion
RESPONSE_EVENT = pydantic.TypeAdapter(openai.types.responses.ResponseStreamEvent)
MESSAGE_EVENT = pydantic.TypeAdapter(anthropic.types.RawMessageStreamEvent)


class NoWord(Exception):
    """The client's protocol cannot say this."""


class Refused(Exception):
    """The gateway's error answer."""

    def __init__(self, status, message, code):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def sse_events(data):
    return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: ") and line != "data: [DONE]"]


def given(ask, *fields):
    for field in fields:
        if ask.get(field) is not None:
            raise NoWord(field)


def copy(ask, out, **names):
    out.update({name: ask[field] for field, name in names.items() if ask.get(field) is not None})


def openai_writes(details):
    split = details.get("cache_creation_token_details") or {}
    return split.get("ephemeral_5m_input_tokens", 0), split.get("ephemeral_1h_input_tokens", 0)


class Chat:
    name, path = "chat", "/v1/chat/completions"

    def part(self, part, ask):
        if isinstance(part, str):
            return {"type": "text", "text": part}
        url = part.get("url") or "data:image/png;base64," + part["image"]
        return {"type": "image_url", "image_url": {"url": url, **({"detail": ask["detail"]} if ask.get("detail") else {})}}

    def body(self, ask, model, stream):
        given(ask, "budget")
        messages = []
        if ask.get("system"):
            text = {"type": "text", "text": ask["system"], "cache_control": {"type": "ephemeral"}}
            messages.append({"role": "system", "content": [text] if ask.get("cache") else ask["system"]})
        for kind, *turn in ask["turns"]:
            if kind == "replay":
                messages += turn[0]
            elif kind == "result":
                if turn[3] or any(not isinstance(part, str) for part in turn[2]):
                    raise NoWord("a failed result, or one with an image")
                messages.append({"role": "tool", "tool_call_id": turn[0], "content": turn[2][0]})
            elif kind == "user":
                messages.append({"role": "user", "content": [self.part(part, ask) for part in turn[0]]})
            else:
                calls = [part["call"] for part in turn[0] if not isinstance(part, str)]
                message = {"role": "assistant", "content": next((part for part in turn[0] if isinstance(part, str)), None)}
                if calls:
                    message["tool_calls"] = [{"id": i, "type": "function", "function": {"name": n, "arguments": json.dumps(a)}} for i, n, a in calls]
                messages.append(message)
        out = {"model": model, "messages": messages, "stream": stream}
        if stream:
            out["stream_options"] = {"include_usage": True}
        if ask.get("tools"):
            out["tools"] = [{"type": "function", "function": {"name": n, "description": "does " + n, "parameters": s}} for n, s in ask["tools"].items()]
        if ask.get("choice"):
            named = {"type": "function", "function": {"name": ask["choice"][1]}}
            out["tool_choice"] = ask["choice"] if isinstance(ask["choice"], str) else named
        if ask.get("schema"):
            out["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ask["schema"], "strict": True}}
        copy(ask, out, parallel="parallel_tool_calls", effort="reasoning_effort", max_tokens="max_completion_tokens", stop="stop",
             temperature="temperature", seed="seed", user="user")
        return self.path, out

    def whole(self, data):
        answer = json.loads(data)
        CHAT.model_validate(answer)
        return self.facts(answer["choices"][0]["message"], answer["choices"][0]["finish_reason"], answer["usage"])

    def stream(self, data):
        message, calls, finish, usage = {"role": "assistant", "content": None}, {}, None, None
        for event in sse_events(data):
            CHUNK.model_validate(event)
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                finish = choice["finish_reason"] or finish
                for key, value in choice["delta"].items():
                    if key == "tool_calls":
                        for piece in value:
                            call = calls.setdefault(piece["index"], {"function": {"arguments": ""}})
                            function = piece.pop("function", {})
                            call["function"]["arguments"] += function.pop("arguments", "")
                            call["function"].update(function)
                            call.update({k: v for k, v in piece.items() if k != "index"})
                    elif isinstance(value, str) and key != "role":
                        message[key] = (message.get(key) or "") + value
                    elif isinstance(value, list):
                        message[key] = message.get(key, []) + value
        if calls:
            message["tool_calls"] = list(calls.values())
        return self.facts(message, finish, usage)

    def facts(self, message, finish, usage):
        blocks = message.get("thinking_blocks") or []
        calls = message.get("tool_calls") or []
        signatures = [block.get("signature") for block in blocks]
        signatures += [call["extra_content"]["google"]["thought_signature"] for call in calls if call.get("extra_content")]
        return {"text": message["content"] or "", "think": message.get("reasoning_content") or "",
                "calls": [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls],
                "signature": [one for one in signatures if one], "stop": finish,
                "usage": (usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"],
                          usage["completion_tokens_details"]["reasoning_tokens"]),
                "writes": openai_writes(usage["prompt_tokens_details"]), "replay": [message]}


class Responses:
    name, path = "responses", "/v1/responses"

    def part(self, part, ask):
        if isinstance(part, str):
            return {"type": "input_text", "text": part}
        return {"type": "input_image", "image_url": part.get("url") or "data:image/png;base64," + part["image"], "detail": ask.get("detail") or "auto"}

    def body(self, ask, model, stream):
        given(ask, "budget", "stop", "seed")
        items = []
        if ask.get("cache"):
            marked = {"type": "input_text", "text": ask["system"], "prompt_cache_breakpoint": {"mode": "explicit"}}
            items.append({"type": "message", "role": "system", "content": [marked]})
        for kind, *turn in ask["turns"]:
            if kind == "replay":
                items += turn[0]
            elif kind == "result":
                if turn[3]:
                    raise NoWord("a failed result")
                items.append({"type": "function_call_output", "call_id": turn[0], "output": [self.part(part, ask) for part in turn[2]]})
            elif kind == "user":
                items.append({"type": "message", "role": "user", "content": [self.part(part, ask) for part in turn[0]]})
            else:
                for at, part in enumerate(turn[0]):
                    if isinstance(part, str):
                        items.append({"type": "message", "id": f"msg_{at}", "status": "completed", "role": "assistant",
                                      "content": [{"type": "output_text", "text": part, "annotations": [], "logprobs": []}]})
                    else:
                        i, n, a = part["call"]
                        items.append({"type": "function_call", "call_id": i, "name": n, "arguments": json.dumps(a)})
        out = {"model": model, "input": items, "stream": stream, "store": False}
        if ask.get("tools"):
            out["tools"] = [{"type": "function", "name": n, "description": "does " + n, "parameters": s, "strict": False} for n, s in ask["tools"].items()]
        if ask.get("choice"):
            out["tool_choice"] = ask["choice"] if isinstance(ask["choice"], str) else {"type": "function", "name": ask["choice"][1]}
        if ask.get("effort"):
            out["reasoning"] = {"effort": ask["effort"], "summary": "auto"}
            out["include"] = ["reasoning.encrypted_content"]
        if ask.get("schema"):
            out["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": ask["schema"], "strict": True}}
        copy(ask, out, parallel="parallel_tool_calls", max_tokens="max_output_tokens", temperature="temperature", user="user")
        if not ask.get("cache"):
            copy(ask, out, system="instructions")
        return self.path, out

    def whole(self, data):
        answer = json.loads(data)
        openai.types.responses.Response.model_validate(answer)
        texts = [part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"]]
        thoughts = [item for item in answer["output"] if item["type"] == "reasoning"]
        calls = [(item["call_id"], item["name"], json.loads(item["arguments"])) for item in answer["output"] if item["type"] == "function_call"]
        usage = answer["usage"]
        stop = "tool_calls" if calls else "length" if answer["status"] == "incomplete" else "stop"
        return {"text": "".join(texts), "calls": calls, "stop": stop,
                "think": "".join(part["text"] for item in thoughts for part in item.get("content") or item["summary"]),
                "signature": [item["encrypted_content"] for item in thoughts if item.get("encrypted_content")],
                "usage": (usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"],
                          usage["output_tokens_details"]["reasoning_tokens"]),
                "writes": openai_writes(usage["input_tokens_details"]), "replay": answer["output"]}

    def stream(self, data):
        events = sse_events(data)
        for event in events:
            RESPONSE_EVENT.validate_python(event)
        text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        out = self.whole(json.dumps(events[-1]["response"]))
        assert out["text"] == text, (out["text"], text)
        return out


class Messages:
    name, path = "messages", "/v1/messages"

    def part(self, part, _ask):
        if isinstance(part, str):
            return {"type": "text", "text": part}
        if "call" in part:
            i, n, a = part["call"]
            return {"type": "tool_use", "id": i, "name": n, "input": a}
        source = {"type": "url", "url": part["url"]} if "url" in part else {"type": "base64", "media_type": "image/png", "data": part["image"]}
        return {"type": "image", "source": source}

    def body(self, ask, model, stream):
        given(ask, "detail", "seed")
        messages = []
        for kind, *turn in ask["turns"]:
            if kind == "replay":
                messages += turn[0]
                continue
            role = "assistant" if kind == "model" else "user"
            if kind == "result":
                content = [{"type": "tool_result", "tool_use_id": turn[0], "content": [self.part(part, ask) for part in turn[2]],
                            **({"is_error": True} if turn[3] else {})}]
            else:
                content = [self.part(part, ask) for part in turn[0]]
            if messages and messages[-1]["role"] == role:
                messages[-1]["content"] += content
            else:
                messages.append({"role": role, "content": content})
        out = {"model": model, "messages": messages, "max_tokens": ask.get("max_tokens") or 8000, "stream": stream}
        if ask.get("system"):
            out["system"] = [{"type": "text", "text": ask["system"], **({"cache_control": {"type": "ephemeral"}} if ask.get("cache") else {})}]
        if ask.get("tools"):
            out["tools"] = [{"name": n, "description": "does " + n, "input_schema": s} for n, s in ask["tools"].items()]
        if ask.get("choice"):
            words = {"required": {"type": "any"}, "none": {"type": "none"}}
            out["tool_choice"] = dict(words[ask["choice"]]) if isinstance(ask["choice"], str) else {"type": "tool", "name": ask["choice"][1]}
        if ask.get("parallel") is False:
            out["tool_choice"] = {**out.get("tool_choice", {"type": "auto"}), "disable_parallel_tool_use": True}
        if ask.get("budget"):
            out["thinking"] = {"type": "enabled", "budget_tokens": ask["budget"]}
        if ask.get("effort"):
            out["output_config"] = {"effort": ask["effort"]}
        if ask.get("schema"):
            out["output_config"] = {"format": {"type": "json_schema", "schema": ask["schema"]}}
        if ask.get("user"):
            out["metadata"] = {"user_id": ask["user"]}
        copy(ask, out, stop="stop_sequences", temperature="temperature")
        return self.path, out

    def whole(self, data):
        answer = json.loads(data)
        anthropic.types.Message.model_validate(answer)
        return self.facts(answer["content"], answer["stop_reason"], answer["usage"])

    def stream(self, data):
        content, stop, usage = [], None, {}
        for event in sse_events(data):
            if event["type"] == "ping":  # which the library's events leave out
                continue
            MESSAGE_EVENT.validate_python(event)
            if event["type"] == "message_start":
                usage.update(event["message"]["usage"])
            elif event["type"] == "content_block_start":
                content.append(dict(event["content_block"]))
            elif event["type"] == "content_block_delta":
                block = content[event["index"]]
                delta = event["delta"]
                if delta["type"] == "input_json_delta":
                    block["json"] = block.get("json", "") + delta["partial_json"]
                else:
                    key = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}[delta["type"]]
                    block[key] = block.get(key, "") + delta[key]
            elif event["type"] == "message_delta":
                stop = event["delta"]["stop_reason"]
                usage.update({key: value for key, value in event["usage"].items() if value is not None})
        for block in content:
            if "json" in block:
                block["input"] = json.loads(block.pop("json") or "{}")
        return self.facts(content, stop, usage)

    def facts(self, content, stop, usage):
        details = usage.get("output_tokens_details") or {}
        cached = usage["cache_read_input_tokens"]
        split = usage.get("cache_creation") or {}
        return {"text": "".join(block["text"] for block in content if block["type"] == "text"),
                "think": "".join(block["thinking"] for block in content if block["type"] == "thinking"),
                "calls": [(block["id"], block["name"], block["input"]) for block in content if block["type"] == "tool_use"],
                "signature": [block["signature"] for block in content if block.get("signature")],
                "stop": {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}.get(stop, stop),
                "usage": (usage["input_tokens"] + cached + usage["cache_creation_input_tokens"], cached, usage["output_tokens"],
                          details.get("thinking_tokens", 0)),
                "writes": (split.get("ephemeral_5m_input_tokens", 0), split.get("ephemeral_1h_input_tokens", 0)),
                "replay": [{"role": "assistant", "content": content}]}


class Gemini:
    name = "gemini"

    def part(self, part, _ask):
        if isinstance(part, str):
            return {"text": part}
        if "call" in part:
            i, n, a = part["call"]
            return {"functionCall": {"id": i, "name": n, "args": a}}
        if "url" in part:
            return {"fileData": {"mimeType": "image/png", "fileUri": part["url"]}}
        return {"inlineData": {"mimeType": "image/png", "data": part["image"]}}

    def body(self, ask, model, stream):
        given(ask, "parallel", "cache", "user")
        contents = []
        for kind, *turn in ask["turns"]:
            if kind == "replay":
                contents += turn[0]
                continue
            role = "model" if kind == "model" else "user"
            if kind == "result":
                i, n, said, failed = turn
                words = [part for part in said if isinstance(part, str)]
                parts = [{"functionResponse": {"id": i, "name": n, "response": {"error" if failed else "result": words[0]}}}]
                if len(words) < len(said):
                    parts[0]["functionResponse"]["parts"] = [self.part(part, ask) for part in said if not isinstance(part, str)]
            else:
                parts = [self.part(part, ask) for part in turn[0]]
            if contents and contents[-1]["role"] == role:
                contents[-1]["parts"] += parts
            else:
                contents.append({"role": role, "parts": parts})
        config, out = {}, {"contents": contents}
        if ask.get("system"):
            out["systemInstruction"] = {"parts": [{"text": ask["system"]}]}
        if ask.get("tools"):
            out["tools"] = [{"functionDeclarations": [{"name": n, "description": "does " + n, "parametersJsonSchema": s} for n, s in ask["tools"].items()]}]
        if ask.get("choice"):
            words = {"required": {"mode": "ANY"}, "none": {"mode": "NONE"}}
            choice = words[ask["choice"]] if isinstance(ask["choice"], str) else {"mode": "ANY", "allowedFunctionNames": [ask["choice"][1]]}
            out["toolConfig"] = {"functionCallingConfig": choice}
        if ask.get("effort"):
            config["thinkingConfig"] = {"thinkingLevel": ask["effort"], "includeThoughts": True}
        if ask.get("budget"):
            config["thinkingConfig"] = {"thinkingBudget": ask["budget"], "includeThoughts": True}
        if ask.get("schema"):
            config.update({"responseMimeType": "application/json", "responseJsonSchema": ask["schema"]})
        if ask.get("detail"):
            config["mediaResolution"] = "MEDIA_RESOLUTION_" + ask["detail"].upper()
        copy(ask, config, max_tokens="maxOutputTokens", stop="stopSequences", temperature="temperature", seed="seed")
        if config:
            out["generationConfig"] = config
        return f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent"), out

    def whole(self, data):
        return self.answers([json.loads(data)])

    def stream(self, data):
        return self.answers(sse_events(data))

    def answers(self, answers):
        parts, stop, usage, split = [], None, {}, {}
        for answer in answers:
            counts = answer.get("usageMetadata") or {}
            counts.pop("cacheCreationTokenCount", None)  # the library leaves out what it does not know: ours are these two
            split = counts.pop("cacheCreation", split)
            types.GenerateContentResponse.model_validate(answer)
            usage.update(counts)
            for candidate in answer.get("candidates", []):
                parts += candidate.get("content", {}).get("parts", [])
                stop = candidate.get("finishReason") or stop
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        stop = "tool_calls" if calls and stop == "STOP" else {"STOP": "stop", "MAX_TOKENS": "length"}.get(stop, stop)
        return {"text": "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
                "think": "".join(part["text"] for part in parts if part.get("thought")),
                "calls": [(call.get("id"), call["name"], call.get("args", {})) for call in calls],
                "signature": [part["thoughtSignature"] for part in parts if part.get("thoughtSignature")], "stop": stop,
                "usage": (usage.get("promptTokenCount", 0), usage.get("cachedContentTokenCount", 0),
                          usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0), usage.get("thoughtsTokenCount", 0)),
                "writes": (split.get("ephemeral5mTokenCount", 0), split.get("ephemeral1hTokenCount", 0)),
                "replay": [{"role": "model", "parts": parts}]}


CLIENTS = [Chat(), Responses(), Messages(), Gemini()]


def send(weir, client, ask, model, stream):
    """(facts of the answer, names of what was left out); raises NoWord or Refused."""
    path, body = client.body(ask, model, stream)
    body.update(ask.get("own") or {})
    status, headers, data = weir.request("POST", path, body)
    if status != 200:
        error = json.loads(data)["error"]
        raise Refused(status, error["message"], error.get("code"))
    try:
        facts = (client.stream if stream else client.whole)(data)
    except pydantic.ValidationError as error:
        raise Refused(status, "the client's own types refuse the answer: " + str(error)[:300], None) from error
    return facts, headers.get("x-weir-dropped-params", "")
