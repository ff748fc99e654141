"""A client that hands over mail as fast as it is taken, in a process of its own: the other side of the relay's bench.

Read from standard input as JSON: host, port, connections, messages (in all), octets, tls, login, password, fresh
(a new connection for each message), sender. Written to standard output as JSON: seconds, and each message's wait for
its 250 in milliseconds as 50th, 95th and 99th of a hundred.
"""

import asyncio
import base64
import ssl
import sys
import time
from typing import Any, Final

import orjson
import uvloop

_LINE: Final = b"All work and no play makes Jack a dull boy, and Jill a rich widow, said the weaver.\r\n"


class Talk:
    """One connection."""

    def __init__(self, it: dict[str, Any], context: ssl.SSLContext | None = None) -> None:
        self._it = it
        self._context = context

    async def open(self) -> None:
        it = self._it
        context = self._context if it["tls"] else None
        self.reader, self.writer = await asyncio.open_connection(it["host"], it["port"], ssl=context)
        await self._reply(b"220")
        await self._say(b"EHLO bench.example\r\n", b"250")
        if it["login"]:
            secret = base64.b64encode(f"\0{it['login']}\0{it['password']}".encode())
            await self._say(b"AUTH PLAIN " + secret + b"\r\n", b"235")

    async def send(self, number: int, body: bytes) -> float:
        """Milliseconds from the end of the message to its 250."""
        it = self._it
        sender = it["sender"].encode()
        self.writer.write(b"MAIL FROM:<%b>\r\nRCPT TO:<p%d@sink.example>\r\nDATA\r\n" % (sender, number))
        for code in (b"250", b"250", b"354"):
            await self._reply(code)
        began = time.perf_counter()
        self.writer.write(b"From: Bench <%b>\r\nTo: p%d@sink.example\r\nSubject: Order %d\r\n"
                          b"Message-ID: <%d.%d@bench.example>\r\nDate: Sun, 22 Nov 2026 02:31:31 +0000\r\n\r\n%b.\r\n"
                          % (sender, number, number, number, time.time_ns(), body))
        await self._reply(b"250")
        return (time.perf_counter() - began) * 1000

    async def _say(self, command: bytes, code: bytes) -> None:
        self.writer.write(command)
        await self._reply(code)

    async def _reply(self, code: bytes) -> None:
        while True:
            line = await self.reader.readline()
            if not line.startswith(code):
                raise ConnectionError(f"the server said {line[:200]!r}")
            if line[3:4] == b" ":
                return

    async def close(self) -> None:
        self.writer.write(b"QUIT\r\n")
        self.writer.close()


async def hand_over(it: dict[str, Any]) -> dict[str, Any]:
    """Send what ``it`` says; what it took."""
    body = _LINE * (it["octets"] // len(_LINE))
    waits: list[float] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # one for all: to make one costs more than a handshake
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    numbers = iter(range(it["messages"]))

    async def work() -> None:
        talk = Talk(it, context)
        if not it["fresh"]:
            await talk.open()
        for number in numbers:
            if it["fresh"]:
                await talk.open()
            waits.append(await talk.send(number, body))
            if it["fresh"]:
                await talk.close()
        if not it["fresh"]:
            await talk.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(it["connections"]):
            workers.create_task(work())
    seconds = time.perf_counter() - began
    waits.sort()
    at = {share: round(waits[min(len(waits) - 1, len(waits) * share // 100)], 2) for share in (50, 95, 99)}
    return {"seconds": seconds, "per_second": round(len(waits) / seconds, 1), "p50": at[50], "p95": at[95],
            "p99": at[99]}


if __name__ == "__main__":
    uvloop.install()
    sys.stdout.buffer.write(orjson.dumps(asyncio.run(hand_over(orjson.loads(sys.stdin.buffer.read())))))
