"""Many chat streams at once over raw sockets, some of which leave midway."""
import asyncio
import json


class Answer:
    def __init__(self):
        self.status = 0
        self.request_id = None
        self.whole = False
        self.left = False
        self.bytes = b""


async def one(port, key, model, content, leave_after=None, stream=True, **fields):
    """Reads one answer; leaves after `leave_after` events. `whole` is true if the client has the last byte."""
    answer = Answer()
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": content}], **fields}).encode()
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\nconnection: close\r\n"
                     b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (key.encode(), len(body), body))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        answer.status = int(head.split()[1])
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head.split("\r\n")[1:] if ":" in line)}
        answer.request_id = fields.get("x-weir-request-id")
        if "content-length" in fields:
            answer.bytes = await reader.readexactly(int(fields["content-length"]))
            answer.whole = True
            return answer
        events = 0
        while True:
            size = int(await reader.readline(), 16)
            data = await reader.readexactly(size + 2)
            if size == 0:
                answer.whole = answer.bytes.endswith(b"data: [DONE]\n\n")
                return answer
            answer.bytes += data[:-2]
            events += data.count(b"data: ")
            if leave_after is not None and events >= leave_after:
                answer.left = True
                return answer
    except (OSError, asyncio.IncompleteReadError, ValueError):
        return answer
    finally:
        if writer is not None:
            writer.transport.abort() if answer.left else writer.close()


def run(coroutines):
    async def gather():
        return await asyncio.gather(*coroutines)
    return asyncio.run(gather())
