"""A client that posts messages as fast as they are taken, in a process of its own: the API's side of the relay's bench.

Read from standard input as JSON: host, port, keys, connections, messages (in all), batch (messages a request; 1: each
by itself), octets, sender. Written to standard output as JSON: messages a second and each request's wait in
milliseconds as 50th and 99th of a hundred.
"""

import asyncio
import sys
import time
from typing import Any, Final

import orjson
import uvloop

_LINE: Final = "All work and no play makes Jack a dull boy, and Jill a rich widow, said the weaver.\n"


def _request(it: dict[str, Any], key: str, numbers: list[int]) -> bytes:
    text = _LINE * (it["octets"] // len(_LINE))
    messages = [{"from": f"Bench <{it['sender']}>", "to": [f"p{number}@sink.example"], "subject": f"Order {number}",
                 "text": text} for number in numbers]
    body = orjson.dumps(messages[0] if it["batch"] == 1 else {"messages": messages})
    path = "/api/v1/messages" if it["batch"] == 1 else "/api/v1/messages/batch"
    head = (f"POST {path} HTTP/1.1\r\nHost: bench.example\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 202 " not in head[:20]:
        raise ConnectionError(f"the server said {head[:400]!r}")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    await reader.readexactly(length)


async def hand_over(it: dict[str, Any]) -> dict[str, Any]:
    """Send what ``it`` says; what it took."""
    waits: list[float] = []
    numbers = list(range(it["messages"]))
    shares = iter([numbers[at:at + it["batch"]] for at in range(0, len(numbers), it["batch"])])

    async def work(key: str) -> None:
        reader, writer = await asyncio.open_connection(it["host"], it["port"], limit=1 << 22)
        for share in shares:
            request = _request(it, key, share)
            began = time.perf_counter()
            writer.write(request)
            await _answer(reader)
            waits.append((time.perf_counter() - began) * 1000)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(work(it["keys"][n % len(it["keys"])]) for n in range(it["connections"])))
    seconds = time.perf_counter() - began
    waits.sort()
    return {"per_second": round(it["messages"] / seconds), "p50": round(waits[len(waits) // 2], 1),
            "p99": round(waits[len(waits) * 99 // 100], 1)}


if __name__ == "__main__":
    uvloop.install()
    sys.stdout.write(orjson.dumps(asyncio.run(hand_over(orjson.loads(sys.stdin.buffer.read())))).decode())
