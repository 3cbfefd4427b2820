"""What a request to each provider says, read from its wire format into one form, by that provider's reference."""
import json


def empty():
    return {"texts": [], "images": [], "urls": [], "result_images": [], "calls": [], "results": [], "tools": {}, "choice": None, "parallel": None,
            "effort": None, "budget": None, "schema": None, "max_tokens": None, "stop": None, "temperature": None, "seed": None,
            "think": [], "signature": [], "cache": False, "detail": None}


def data_url(url, out):
    out["images" if url.startswith("data:") else "urls"].append(url.rsplit("base64,", 1)[-1])


def joined(content):
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def chat(body):
    out = empty()
    for message in body["messages"]:
        content = message.get("content") or []
        if message["role"] == "tool":
            out["results"].append((message["tool_call_id"], joined(content), None))
            continue
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            if part["type"] == "image_url":
                data_url(part["image_url"]["url"], out)
                out["detail"] = part["image_url"].get("detail")
            elif part["type"] == "thinking":
                out["think"].append(part["thinking"])
            else:
                out["texts"].append((message["role"], part["text"]))
            out["cache"] = out["cache"] or "cache_control" in part
        out["think"] += [message[key] for key in ("tool_plan", "reasoning_content") if message.get(key)]
        out["calls"] += [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", [])]
    out["tools"] = {tool["function"]["name"]: tool["function"].get("parameters") for tool in body.get("tools", [])}
    choice = body.get("tool_choice")
    out["choice"] = ("named", choice["function"]["name"]) if isinstance(choice, dict) else choice
    out["schema"] = body.get("response_format", {}).get("json_schema", {}).get("schema")
    for name, key in {"parallel": "parallel_tool_calls", "effort": "reasoning_effort", "max_tokens": "max_completion_tokens", "stop": "stop",
                      "temperature": "temperature", "seed": "seed"}.items():
        out[name] = body.get(key)
    return out


def cohere(body):
    """Its messages are OpenAI's; the rest has names of its own."""
    out = chat(body)
    out["choice"] = {"REQUIRED": "required", "NONE": "none", None: None}[body.get("tool_choice")]
    if out["choice"] == "required" and len(out["tools"]) == 1:
        out["choice"] = ("named", *out["tools"])  # the only tool offered, and one must be called
    out["schema"] = body.get("response_format", {}).get("json_schema")
    thinking = body.get("thinking", {})
    out.update(max_tokens=body.get("max_tokens"), stop=body.get("stop_sequences"), budget=thinking.get("token_budget"))
    return out


def responses(body):
    out = empty()
    items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    if body.get("instructions"):
        out["texts"].append(("system", body["instructions"]))
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            out["calls"].append((item["call_id"], item["name"], json.loads(item["arguments"])))
        elif kind == "function_call_output":
            said = item["output"]
            out["results"].append((item["call_id"], joined(said), None))
            out["result_images"] += [part["image_url"].rsplit("base64,", 1)[-1] for part in said if isinstance(part, dict) and "image_url" in part]
        elif kind == "reasoning":
            out["think"] += [part["text"] for part in item.get("content") or item["summary"]]
            out["signature"].append(item.get("encrypted_content"))
        else:
            for part in [{"text": item["content"]}] if isinstance(item["content"], str) else item["content"]:
                if part.get("type") == "input_image":
                    data_url(part["image_url"], out)
                    out["detail"] = part.get("detail")
                else:
                    out["texts"].append((item["role"], part["text"]))
                out["cache"] = out["cache"] or "prompt_cache_breakpoint" in part
    out["tools"] = {tool["name"]: tool.get("parameters") for tool in body.get("tools", [])}
    choice = body.get("tool_choice")
    out["choice"] = ("named", choice["name"]) if isinstance(choice, dict) else choice
    out["schema"] = body.get("text", {}).get("format", {}).get("schema")
    out.update(parallel=body.get("parallel_tool_calls"), effort=body.get("reasoning", {}).get("effort"), max_tokens=body.get("max_output_tokens"),
               temperature=body.get("temperature"))
    return out


def anthropic(body):
    out = empty()
    for block in body.get("system", []):
        out["texts"].append(("system", block["text"]))
        out["cache"] = out["cache"] or "cache_control" in block

    def image(block, where):
        source = block["source"]
        out["urls" if source["type"] == "url" else where].append(source.get("url") or source["data"])

    for message in body["messages"]:
        for block in [{"type": "text", "text": message["content"]}] if isinstance(message["content"], str) else message["content"]:
            kind = block["type"]
            if kind == "text":
                out["texts"].append((message["role"], block["text"]))
            elif kind == "image":
                image(block, "images")
            elif kind == "tool_use":
                out["calls"].append((block["id"], block["name"], block["input"]))
            elif kind == "tool_result":
                said = block.get("content", "")
                out["results"].append((block["tool_use_id"], joined(said), block.get("is_error", False)))
                for part in said if isinstance(said, list) else []:
                    if part["type"] == "image":
                        image(part, "result_images")
            elif kind == "thinking":
                out["think"].append(block["thinking"])
                out["signature"].append(block["signature"])
    out["tools"] = {tool["name"]: tool.get("input_schema") for tool in body.get("tools", [])}
    choice = body.get("tool_choice", {})
    out["choice"] = ("named", choice["name"]) if "name" in choice else {"any": "required", "none": "none"}.get(choice.get("type"))
    out["parallel"] = False if choice.get("disable_parallel_tool_use") else None
    config = body.get("output_config", {})
    out["schema"] = config.get("format", {}).get("schema")
    out.update(effort=config.get("effort"), budget=body.get("thinking", {}).get("budget_tokens"), max_tokens=body.get("max_tokens"),
               stop=body.get("stop_sequences"), temperature=body.get("temperature"))
    return out


def gemini(body):
    out = empty()
    contents = [{"role": "system", **body["systemInstruction"]}] if "systemInstruction" in body else []
    for content in contents + body["contents"]:
        role = "assistant" if content.get("role") == "model" else content.get("role", "user")
        after_result = False
        for part in content["parts"]:
            if part.get("thoughtSignature") not in (None, "skip_thought_signature_validator"):
                out["signature"].append(part["thoughtSignature"])
            if part.get("thought"):
                out["think"].append(part["text"])
            elif "text" in part:
                out["texts"].append((role, part["text"]))
            elif "inlineData" in part:
                out["result_images" if after_result else "images"].append(part["inlineData"]["data"])
            elif "fileData" in part:
                out["urls"].append(part["fileData"]["fileUri"])
            elif "functionCall" in part:
                call = part["functionCall"]
                out["calls"].append((call.get("id"), call["name"], call["args"]))
            elif "functionResponse" in part:
                after_result = True
                result = part["functionResponse"]
                said = result["response"].get("result") or result["response"].get("error")
                out["results"].append((result.get("id"), said, "error" in result["response"]))
                out["result_images"] += [one["inlineData"]["data"] for one in result.get("parts", [])]
    for tool in body.get("tools", []):
        out["tools"].update({one["name"]: one.get("parametersJsonSchema") or one.get("parameters") for one in tool.get("functionDeclarations", [])})
    choice = body.get("toolConfig", {}).get("functionCallingConfig", {})
    names = choice.get("allowedFunctionNames")
    out["choice"] = ("named", names[0]) if names else {"ANY": "required", "NONE": "none"}.get(choice.get("mode"))
    config = body.get("generationConfig", {})
    thinking = config.get("thinkingConfig", {})
    resolution = config.get("mediaResolution", "").rsplit("_", 1)[-1].lower()
    out.update(effort=(thinking.get("thinkingLevel") or "").lower() or None, budget=thinking.get("thinkingBudget"), detail=resolution or None,
               schema=config.get("responseJsonSchema"), max_tokens=config.get("maxOutputTokens"), stop=config.get("stopSequences"),
               temperature=config.get("temperature"), seed=config.get("seed"))
    return out


def converse(body):
    out = empty()

    def cached(block):
        out["cache"] = out["cache"] or "cachePoint" in block
        return "cachePoint" in block

    for block in body.get("system", []):
        if not cached(block):
            out["texts"].append(("system", block["text"]))
    for message in body["messages"]:
        for block in message["content"]:
            (kind, value), = block.items()
            if kind == "text":
                out["texts"].append((message["role"], value))
            elif kind == "image":
                out["images"].append(value["source"]["bytes"])
            elif kind == "toolUse":
                out["calls"].append((value["toolUseId"], value["name"], value["input"]))
            elif kind == "toolResult":
                texts = "".join(one.get("text", "") for one in value["content"])
                out["results"].append((value["toolUseId"], texts, value.get("status") == "error"))
                out["result_images"] += [one["image"]["source"]["bytes"] for one in value["content"] if "image" in one]
            elif kind == "reasoningContent":
                out["think"].append(value["reasoningText"]["text"])
                out["signature"].append(value["reasoningText"].get("signature"))
            else:
                cached(block)
    config = body.get("toolConfig", {})
    out["tools"] = {tool["toolSpec"]["name"]: tool["toolSpec"]["inputSchema"]["json"] for tool in config.get("tools", []) if "toolSpec" in tool}
    choice = config.get("toolChoice", {})
    out["choice"] = ("named", choice["tool"]["name"]) if "tool" in choice else "required" if "any" in choice else None
    schema = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema", {}).get("schema")
    out["schema"] = json.loads(schema) if schema else None
    own = body.get("additionalModelRequestFields", {})
    nova = own.get("reasoningConfig", {})
    effort = nova.get("maxReasoningEffort") or own.get("output_config", {}).get("effort")
    limits = body.get("inferenceConfig", {})
    out.update(parallel=False if own.get("tool_choice", {}).get("disable_parallel_tool_use") else None, effort=effort,
               budget=own.get("thinking", {}).get("budget_tokens"), max_tokens=limits.get("maxTokens"), stop=limits.get("stopSequences"),
               temperature=limits.get("temperature"))
    return out


def read(path, body):
    """By the path of the request: which API it was sent to."""
    provider = path.split("/")[1]
    if provider == "openai":
        return responses(body) if path.endswith("/responses") else chat(body)
    if provider == "bedrock":
        return anthropic(body) if "/invoke" in path else converse(body)
    return {"anthropic": anthropic, "gemini": gemini, "cohere": cohere}[provider](body)
