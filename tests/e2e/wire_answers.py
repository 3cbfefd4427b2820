"""One answer in the words of each provider's real wire format, whole and as a stream: what a mock upstream sends.

An answer is a dict: text, calls [(id, name, arguments)], think, signature, stop (stop, length, tool_calls), writes (of
the input, what went into the cache for 5 minutes and for an hour), and the usage below. The forms follow the providers' references; test_translation.py checks them with the providers' own
client libraries, so that a mistake here is not taken for one of the gateway."""
import base64
import binascii
import json
import struct

INPUT, CACHED, OUTPUT, REASONING = 100, 30, 20, 7


def dump(value):
    return json.dumps(value, separators=(",", ":"))


def sse(events, named=False, done=False):
    out = ""
    for event in events:
        out += f"event: {event['type']}\n" if named else ""
        out += f"data: {dump(event)}\n\n"
    return (out + ("data: [DONE]\n\n" if done else "")).encode()


def halves(text):
    return [text[:len(text) // 2], text[len(text) // 2:]]


def chat(answer, stream):
    usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT,
             "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
             "completion_tokens_details": {"reasoning_tokens": REASONING, "audio_tokens": 0,
                                           "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}
    calls = [{"id": i, "type": "function", "function": {"name": n, "arguments": dump(a)}} for i, n, a in answer["calls"]]
    head = {"id": "chatcmpl-mock", "created": 1, "model": "gpt-5-mini-2025-08-07"}
    if not stream:
        message = {"role": "assistant", "content": answer["text"] or None, "refusal": None, "annotations": []}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer["stop"]}
        return dump({**head, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    head["object"] = "chat.completion.chunk"

    def chunk(delta, finish=None):
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], "usage": None}

    events = [chunk({"role": "assistant", "content": "", "refusal": None})]
    events += [chunk({"content": piece}) for piece in halves(answer["text"]) if piece]
    for index, call in enumerate(calls):
        pieces = halves(call["function"]["arguments"])
        events.append(chunk({"tool_calls": [{"index": index, **call, "function": {"name": call["function"]["name"], "arguments": ""}}]}))
        events += [chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) for piece in pieces]
    events.append(chunk({}, answer["stop"]))
    events.append({**head, "choices": [], "usage": usage})
    return sse(events, done=True)


def responses(answer, stream):
    items = []
    if answer["think"]:
        items.append({"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": answer["think"]}],
                      "encrypted_content": answer["signature"]})
    if answer["text"]:
        items.append({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
                      "content": [{"type": "output_text", "text": answer["text"], "annotations": [], "logprobs": []}]})
    items += [{"id": "fc_" + i, "type": "function_call", "status": "completed", "call_id": i, "name": n, "arguments": dump(a)}
              for i, n, a in answer["calls"]]
    cut = answer["stop"] == "length"
    whole = {"id": "resp_1", "object": "response", "created_at": 1, "status": "incomplete" if cut else "completed", "error": None,
             "incomplete_details": {"reason": "max_output_tokens"} if cut else None, "instructions": None, "metadata": {},
             "model": "gpt-5-mini-2025-08-07", "output": items, "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0,
             "tool_choice": "auto", "tools": [],
             "usage": {"input_tokens": INPUT, "input_tokens_details": {"cached_tokens": CACHED, "cache_write_tokens": 0}, "output_tokens": OUTPUT,
                       "output_tokens_details": {"reasoning_tokens": REASONING}, "total_tokens": INPUT + OUTPUT}}
    if not stream:
        return dump(whole).encode()
    events = [{"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}}]
    for at, item in enumerate(items):
        events.append({"type": "response.output_item.added", "output_index": at, "item": item})
        if item["type"] == "message":
            where = {"item_id": item["id"], "output_index": at, "content_index": 0}
            events += [{"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []} for piece in halves(answer["text"])]
        events.append({"type": "response.output_item.done", "output_index": at, "item": item})
    events.append({"type": "response.incomplete" if cut else "response.completed", "response": whole})
    return sse([{**event, "sequence_number": at} for at, event in enumerate(events)], named=True)


def anthropic(answer, stream, events_only=False):
    blocks = []
    if answer["think"]:
        blocks.append({"type": "thinking", "thinking": answer["think"], "signature": answer["signature"]})
    if answer["text"]:
        blocks.append({"type": "text", "text": answer["text"]})
    blocks += [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in answer["calls"]]
    stop = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[answer["stop"]]
    short, hour = answer["writes"]
    usage = {"input_tokens": INPUT - CACHED - short - hour, "cache_read_input_tokens": CACHED, "cache_creation_input_tokens": short + hour,
             "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour},
             "output_tokens": OUTPUT, "output_tokens_details": {"thinking_tokens": REASONING}}
    whole = {"id": "msg_mock", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": blocks,
             "stop_reason": stop, "stop_sequence": None, "usage": usage}
    if not stream:
        return dump(whole).encode()
    events = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}},
              {"type": "ping"}]
    for at, block in enumerate(blocks):
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[block["type"]]
        events.append({"type": "content_block_start", "index": at, "content_block": {**block, **empty}})
        deltas = []
        if block["type"] == "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in halves(block["text"])]
        if block["type"] == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        if block["type"] == "tool_use":
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *halves(dump(block["input"]))]]
        events += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": at})
    events.append({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage})
    events.append({"type": "message_stop"})
    return events if events_only else sse(events, named=True)


def gemini(answer, stream):
    parts = []
    if answer["think"]:
        parts.append({"text": answer["think"], "thought": True})
    if answer["text"]:
        parts.append({"text": answer["text"]})
    parts += [{"functionCall": {"id": i, "name": n, "args": a}} for i, n, a in answer["calls"]]
    if answer["signature"]:  # on the first call, else on the last part
        next((part for part in parts if "functionCall" in part), parts[-1])["thoughtSignature"] = answer["signature"]
    usage = {"promptTokenCount": INPUT, "cachedContentTokenCount": CACHED, "candidatesTokenCount": OUTPUT - REASONING,
             "thoughtsTokenCount": REASONING, "totalTokenCount": INPUT + OUTPUT}
    stop = "MAX_TOKENS" if answer["stop"] == "length" else "STOP"

    def chunk(some, finish):
        candidate = {"content": {"parts": some, "role": "model"}, "index": 0}
        if finish:
            candidate["finishReason"] = stop
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash", "responseId": "r1"}

    if not stream:
        return dump(chunk(parts, True)).encode()
    return sse([chunk([part], part is parts[-1]) for part in parts])


def frame(event, payload):
    """application/vnd.amazon.eventstream: lengths, CRC of them, headers, payload, CRC of all."""
    headers = b""
    for name, value in ((":event-type", event), (":content-type", "application/json"), (":message-type", "event")):
        headers += struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
    body = dump(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack("!I", binascii.crc32(message))


def converse(answer, stream):
    blocks = []
    if answer["think"]:
        text = {"text": answer["think"], **({"signature": answer["signature"]} if answer["signature"] else {})}
        blocks.append({"reasoningContent": {"reasoningText": text}})
    if answer["text"]:
        blocks.append({"text": answer["text"]})
    blocks += [{"toolUse": {"toolUseId": i, "name": n, "input": a}} for i, n, a in answer["calls"]]
    stop = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[answer["stop"]]
    writes = sum(answer["writes"])
    usage = {"inputTokens": INPUT - CACHED - writes, "outputTokens": OUTPUT, "totalTokens": INPUT + OUTPUT, "cacheReadInputTokens": CACHED,
             "cacheWriteInputTokens": writes}
    if writes:
        usage["cacheDetails"] = [{"ttl": ttl, "inputTokens": count} for ttl, count in zip(("5m", "1h"), answer["writes"])]
    if not stream:
        return dump({"metrics": {"latencyMs": 5}, "output": {"message": {"content": blocks, "role": "assistant"}},
                     "stopReason": stop, "usage": usage}).encode()
    out = frame("messageStart", {"role": "assistant"})
    for at, block in enumerate(blocks):
        (kind, value), = block.items()
        deltas = []
        if kind == "text":
            deltas = [{"text": piece} for piece in halves(value)]
        elif kind == "toolUse":
            out += frame("contentBlockStart", {"contentBlockIndex": at, "start": {"toolUse": {k: value[k] for k in ("toolUseId", "name")}}})
            deltas = [{"toolUse": {"input": piece}} for piece in halves(dump(value["input"]))]
        else:
            deltas = [{"reasoningContent": {"text": piece}} for piece in halves(value["reasoningText"]["text"])]
            if answer["signature"]:
                deltas.append({"reasoningContent": {"signature": answer["signature"]}})
        for delta in deltas:
            out += frame("contentBlockDelta", {"contentBlockIndex": at, "delta": delta})
        out += frame("contentBlockStop", {"contentBlockIndex": at})
    return out + frame("messageStop", {"stopReason": stop}) + frame("metadata", {"usage": usage, "metrics": {"latencyMs": 5}})


def invoke_claude(answer, stream):
    """InvokeModel for Claude: Anthropic's own body, or its events in base64 in frames."""
    if not stream:
        return anthropic(answer, False)
    return b"".join(frame("chunk", {"bytes": base64.b64encode(dump(event).encode()).decode()})
                    for event in anthropic(answer, True, events_only=True) if event["type"] != "ping")


def cohere(answer, stream):
    content = []
    if answer["think"]:
        content.append({"type": "thinking", "thinking": answer["think"]})
    if answer["text"]:
        content.append({"type": "text", "text": answer["text"]})
    calls = [{"id": i, "type": "function", "function": {"name": n, "arguments": dump(a)}} for i, n, a in answer["calls"]]
    stop = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}[answer["stop"]]
    usage = {"billed_units": {"input_tokens": INPUT, "output_tokens": OUTPUT},
             "tokens": {"input_tokens": INPUT + 400, "output_tokens": OUTPUT}, "cached_tokens": CACHED}
    if not stream:
        message = {"role": "assistant", **({"content": content} if content else {}), **({"tool_calls": calls} if calls else {})}
        return dump({"id": "c1", "message": message, "finish_reason": stop, "usage": usage}).encode()
    events = [{"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "",
                                                                          "tool_calls": [], "citations": []}}}]
    for at, block in enumerate(content):
        key = block["type"]
        events.append({"type": "content-start", "index": at, "delta": {"message": {"content": {"type": key, key: ""}}}})
        events += [{"type": "content-delta", "index": at, "delta": {"message": {"content": {key: piece}}}} for piece in halves(block[key])]
        events.append({"type": "content-end", "index": at})
    for at, call in enumerate(calls):
        start = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        events.append({"type": "tool-call-start", "index": at, "delta": {"message": {"tool_calls": start}}})
        events += [{"type": "tool-call-delta", "index": at, "delta": {"message": {"tool_calls": {"function": {"arguments": piece}}}}}
                   for piece in halves(call["function"]["arguments"])]
        events.append({"type": "tool-call-end", "index": at})
    events.append({"type": "message-end", "id": "c1", "delta": {"finish_reason": stop, "usage": usage}})
    return sse(events, named=True)
