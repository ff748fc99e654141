"""The next envelope right behind the dot (RFC 2920 section 3.1): who is asked when, and what never leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache

import pytest

from esp.adapters.smtp import SmtpTransport
from esp.errors import LeaseLostError
from esp.model.attempt import Failure
from esp.model.content import OutgoingMessage
from esp.ports.network import Target, TlsPolicy


@cache
def message(number: int) -> OutgoingMessage:
    body = b"Subject: %d\r\n\r\ntext %d\r\n" % (number, number)
    return OutgoingMessage(number, f"b-{number}@news.example", f"p{number}@toko.example", body, f"<{number}@x.example>")


@dataclass
class Server:
    """Takes mail and remembers every octet; after message ``dies_after`` it hangs up instead of answering the dot."""

    pipelining: bool = True
    dies_after: int = 0
    refuses: bytes = b""
    heard: bytearray = field(default_factory=bytearray)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        taken, in_data = 0, False
        while line := await reader.readline():
            self.heard += line
            if in_data:
                if line != b".\r\n":
                    continue
                in_data, taken = False, taken + 1
                if taken == self.dies_after:
                    break
                writer.write(b"250 2.0.0 taken\r\n")
            elif line.startswith(b"EHLO"):
                writer.write(b"250-x\r\n250 PIPELINING\r\n" if self.pipelining else b"250 x\r\n")
            elif self.refuses and self.refuses in line:
                writer.write(b"550 5.1.1 nobody\r\n")
            elif line == b"DATA\r\n":
                in_data = True
                writer.write(b"354 go on\r\n")
            else:
                writer.write(b"250 ok\r\n")
        writer.close()
        self.over.set()


@asynccontextmanager
async def talking_to(server: Server) -> AsyncIterator[Target]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield Target("mx.toko.example", "127.0.0.1", port, "mail.merpati.example", "", TlsPolicy.NONE)


@pytest.mark.parametrize("pipelining", [True, False])
async def test_each_arrives_once_and_whole_whether_the_server_reads_ahead_or_not(pipelining: bool) -> None:
    server = Server(pipelining)
    async with talking_to(server) as target:
        session = await SmtpTransport().connect(target)
        assert session.chains is pipelining
        assert (await session.send(message(1), None, message(2))).delivered
        assert (b"MAIL FROM:<b-2@news.example>" in server.heard) is pipelining, "asked before its own turn"
        assert (await session.send(message(2), None, message(3))).delivered
        assert (await session.send(message(3))).delivered
        assert session.sent == 3
        await session.close()
        await server.over.wait()
    assert [server.heard.count(b"text %d\r\n.\r\n" % number) for number in (1, 2, 3)] == [1, 1, 1]
    assert server.heard.endswith(b"QUIT\r\n")


async def test_what_was_announced_and_must_not_go_never_leaves() -> None:
    for stop in ("lease", "close"):
        server = Server()
        async with talking_to(server) as target:
            session = await SmtpTransport().connect(target)
            assert (await session.send(message(1), None, message(2))).delivered

            def lost() -> None:
                raise LeaseLostError("somebody else has it")

            if stop == "lease":
                with pytest.raises(LeaseLostError):
                    await session.send(message(2), lost)
            else:
                await session.close()
            assert not session.usable
            await server.over.wait()
        assert b"text 2" not in server.heard
        assert b"QUIT" not in server.heard, "a server that waits for a message takes it for its text"


async def test_another_than_the_announced_is_a_fault_of_ours_and_ends_the_session() -> None:
    server = Server()
    async with talking_to(server) as target:
        session = await SmtpTransport().connect(target)
        await session.send(message(1), None, message(2))
        with pytest.raises(ValueError, match="announced"):
            await session.send(message(3))
        assert not session.usable
        await server.over.wait()
    assert b"text 3" not in server.heard


async def test_only_the_one_whose_dot_was_sent_is_in_doubt() -> None:
    server = Server(dies_after=1)
    async with talking_to(server) as target:
        session = await SmtpTransport().connect(target)
        first = await session.send(message(1), None, message(2))
        assert (first.ambiguous, first.failure) == (True, Failure.CLOSED)
        second = await session.send(message(2))
        assert (second.ambiguous, second.dot_sent, second.failure) == (False, False, Failure.CLOSED)
        await session.close()
        await server.over.wait()


async def test_a_refusal_of_the_announced_leaves_the_session_good() -> None:
    server = Server(refuses=b"p2@")
    async with talking_to(server) as target:
        session = await SmtpTransport().connect(target)
        assert (await session.send(message(1), None, message(2))).delivered
        refused = await session.send(message(2))
        assert refused.reply is not None
        assert (refused.reply.code, refused.dot_sent) == (550, False)
        assert session.usable
        assert (await session.send(message(3))).delivered
        await session.close()
        await server.over.wait()
    assert b"text 2" not in server.heard
