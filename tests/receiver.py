"""A real SMTP server that a test scripts: it keeps what it took, answers as it is told, and verifies all it took."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.dkim_verifiers import ALGORITHMS, all_faults
from tests.mailing import records

_MESSAGE_ID = re.compile(rb"^Message-ID: <([^>]+)>", re.MULTILINE | re.IGNORECASE)
_RCPT = re.compile(rb"^RCPT TO:<([^>]*)>", re.IGNORECASE)


@dataclass
class Receiver:
    """``on_rcpt`` and ``on_dot`` give the answer for an address and how often it was asked for, or None to hang up.

    A message counts as taken before the answer to its dot is written: a receiver that dies then has it all the same.
    When its block ends, every message must bear a valid signature by each of ``algorithms`` (none: must be unsigned)
    under the keys that ``records`` publishes; the standard is the keys that ``tests.sending.seed`` signs with.
    """

    on_rcpt: Callable[[str, int], str | None] = lambda _address, _time: "250 2.1.5 ok"
    on_dot: Callable[[str, int], str | None] = lambda _address, _time: "250 2.0.0 taken"
    on_connect: Callable[[int], str] = lambda _time: "220 receiver.example ESMTP"
    delay: float = 0.0
    records: Mapping[str, str] = field(default_factory=records)
    algorithms: Sequence[str] = ALGORITHMS
    port: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    message_ids: dict[str, set[str]] = field(default_factory=dict)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: Counter[str] = field(default_factory=Counter)
    _dots: Counter[str] = field(default_factory=Counter)

    async def wait_for(self, count: int) -> None:
        """Until ``count`` messages have been taken."""
        while len(self.messages) < count:
            self.arrived.clear()
            await self.arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(self.on_connect(self.connections).encode() + b"\r\n")
        address = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-receiver.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
            elif verb == b"RCPT":
                found = _RCPT.match(line)
                assert found is not None
                address = found[1].decode()
                self._asked[address] += 1
                answer = self.on_rcpt(address, self._asked[address])
                if answer is None:
                    return
                address = address if answer.startswith("2") else ""
                writer.write(answer.encode() + b"\r\n")
            elif verb == b"DATA":
                if not address:
                    writer.write(b"503 5.5.1 no recipient\r\n")
                    continue
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                if self.delay:
                    await asyncio.sleep(self.delay)
                self._dots[address] += 1
                answer = self.on_dot(address, self._dots[address])
                if answer is None or answer.startswith("2"):
                    self._take(address, data)
                if answer is None:
                    return
                writer.write(answer.encode() + b"\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    def _take(self, address: str, data: bytes) -> None:
        self.taken[address] += 1
        found = _MESSAGE_ID.search(data)
        assert found is not None
        self.message_ids.setdefault(address, set()).add(found[1].decode())
        # RFC 5321 section 4.5.2: the dot that ends it, and those doubled at the start of lines, are not the message's.
        self.messages.append((b"\r\n" + data[:-3]).replace(b"\r\n.", b"\r\n")[2:])
        self.arrived.set()

    def verify(self) -> None:
        """Raises AssertionError where any message is not signed as it should be."""
        wrong = all_faults(self.messages, self.records, self.algorithms)
        assert not wrong, f"{len(wrong)} faults in {len(self.messages)} messages: " + "; ".join(wrong[:5])


@asynccontextmanager
async def receiving(receiver: Receiver, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Receiver]:
    """``receiver`` on a loopback address, at a free port where none is given, for as long as the block lasts.

    Raises AssertionError at its end where a message that was taken does not verify.
    """
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            talks.discard(task)

    server = await asyncio.start_server(talk, host, port, limit=1 << 20)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
    receiver.verify()  # not where the block failed already: its own error says more
