"""A mock of five providers on loopback, strict as the real ones: a request that its provider would refuse gets an error
and is remembered in `mistakes`. The first part of the path names the provider; `answer` is what all of them say next."""
import http.server
import json
import re
import threading
import urllib.parse

import wire_answers
import wire_oracles

SAY = {"text": "The answer is MARK-ANSWER.", "calls": [], "think": "", "signature": "", "stop": "stop", "writes": (0, 0)}


def route(path, body):
    """(mistakes, encoder of the answer, stream, content type) of a request."""
    provider, rest = path.split("/", 2)[1:]
    stream = body.get("stream") is True
    if provider == "openai":
        kind = "responses" if rest.endswith("/responses") else "chat"
        return getattr(wire_oracles, "openai_" + kind)(body), getattr(wire_answers, kind), stream
    if provider == "anthropic":
        return wire_oracles.anthropic(body), wire_answers.anthropic, stream
    if provider == "gemini":
        method = re.fullmatch(r"v1beta/models/[\w.-]+:(generateContent|streamGenerateContent)(\?alt=sse)?", rest)
        stream = bool(method and method[2])
        wrong = [] if method and stream == (method[1] == "streamGenerateContent") else ["no such path: " + rest]
        return wrong + wire_oracles.gemini(body), wire_answers.gemini, stream
    if provider == "bedrock":
        model, operation = re.fullmatch(r"model/([^/]+)/([\w-]+)", rest).groups()
        stream = operation in ("converse-stream", "invoke-with-response-stream")
        if operation.startswith("invoke"):
            return wire_oracles.anthropic_on_bedrock(body), wire_answers.invoke_claude, stream
        return wire_oracles.converse(body, urllib.parse.unquote(model), stream), wire_answers.converse, stream
    return wire_oracles.cohere_chat(body), wire_answers.cohere, stream


class WireUpstream:
    def __init__(self):
        self.requests = []  # (path, body as JSON, body as text)
        self.mistakes = []
        self.answer = dict(SAY)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body in one segment: else the second waits for the first one's acknowledgement
            disable_nagle_algorithm = True

            def do_POST(self):
                outer.serve(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def url(self, provider):
        return f"http://127.0.0.1:{self.port}/{provider}"

    def serve(self, handler):
        raw = handler.rfile.read(int(handler.headers["content-length"]))
        body = json.loads(raw)
        wrong, encode, stream = route(handler.path, body)
        if handler.path.startswith("/bedrock/"):
            wrong = wrong + wire_oracles.signature(handler.path, {k.lower(): v for k, v in handler.headers.items()}, raw)
        self.requests.append((handler.path, body, raw.decode()))
        self.mistakes += [f"{handler.path}: {one}" for one in wrong]
        data = json.dumps({"message": wrong}).encode() if wrong else encode(self.answer, stream)
        binary = handler.path.startswith("/bedrock/") and stream
        kind = "application/vnd.amazon.eventstream" if binary else "text/event-stream" if stream else "application/json"
        handler.send_response(400 if wrong else 200)
        handler.send_header("content-type", "application/json" if wrong else kind)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
