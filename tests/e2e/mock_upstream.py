"""An OpenAI-compatible upstream on loopback whose behaviour is named by the first part of the path:
http://127.0.0.1:PORT/BEHAVIOUR/v1/chat/completions. It remembers every request byte for byte."""
import asyncio
import json
import threading

WORDS = 20


class MockUpstream:
    """Runs in a thread of its own. `requests` holds (behaviour, headers, body bytes); `gone` counts clients that left."""

    def __init__(self):
        self.requests = []
        self.gone = 0
        self.open = 0
        self.replay = {}  # behaviour -> (status, content type, body bytes)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def url(self, behaviour):
        return f"http://127.0.0.1:{self.port}/{behaviour}/v1"

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=1 << 22, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _client(self, reader, writer):
        self.open += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone += 1
        finally:
            self.open -= 1
            writer.close()

    async def _one(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
        if not head:
            return False
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:] if ":" in line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        behaviour = lines[0].split()[1].split("/")[1]
        self.requests.append((behaviour, headers, body))
        form = headers.get("content-type", "").startswith(("multipart/", "application/x-www-form-urlencoded"))
        return await self._answer(behaviour, {} if form else json.loads(body), reader, writer)

    async def _answer(self, behaviour, body, reader, writer):
        if behaviour in self.replay:
            return await self._whole(writer, *self.replay[behaviour])
        if behaviour.startswith("status"):
            status = int(behaviour[6:9])
            text = json.dumps({"error": {"message": f"mock says {status}", "type": "mock", "code": "mock_code"}}).encode()
            return await self._whole(writer, status, "application/json", text, b"retry-after: 1\r\n" if status == 429 else b"")
        if behaviour == "hang":
            await reader.read(1)  # until the client leaves
            self.gone += 1
            return False
        if behaviour == "drop":
            return False
        if not body.get("stream"):
            text = json.dumps({"id": "chatcmpl-mock", "object": "chat.completion", "created": 1, "model": body["model"],
                               "choices": [{"index": 0, "message": {"role": "assistant", "content": "mock answer"},
                                            "finish_reason": "stop"}],
                               "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
                               "unknown_field": {"kept": True}}).encode()
            return await self._whole(writer, 200, "application/json", text)
        return await self._stream(behaviour, body, reader, writer)

    async def _whole(self, writer, status, content_type, text, extra=b""):
        writer.write(b"HTTP/1.1 %d Mock\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n%s"
                     % (status, content_type.encode(), extra, len(text), text))
        await writer.drain()
        return True

    async def _stream(self, behaviour, body, reader, writer):
        delay = {"slow": 0.05, "veryslow": 0.2}.get(behaviour, 0.0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

        def event(value):
            text = b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
            writer.write(b"%x\r\n%s\r\n" % (len(text), text))

        def chunk(delta, finish=None):
            return {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1, "model": body["model"],
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        for word in range(WORDS):
            event(chunk({"content": f" word{word}"}))
            await writer.drain()
            if behaviour == "break" and word == 4:
                writer.transport.abort()
                return False
            if delay:
                left = asyncio.ensure_future(reader.read(1))
                done, _ = await asyncio.wait({left}, timeout=delay)
                if done:
                    self.gone += 1
                    return False
                left.cancel()
                try:
                    await left
                except asyncio.CancelledError:
                    pass
        event(chunk({}, "stop"))
        if body.get("stream_options", {}).get("include_usage") and behaviour != "nousage":
            usage = {"prompt_tokens": 23, "completion_tokens": WORDS, "total_tokens": 23 + WORDS,
                     "prompt_tokens_details": {"cached_tokens": 8}}
            event({"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1, "model": body["model"],
                   "choices": [], "usage": usage})
        event(b"[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True
