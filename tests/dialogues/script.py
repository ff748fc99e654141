"""SMTP conversations as text: a scripted server that plays the S: side and checks the C: side.

Head, up to the first step (``# why`` lines are comments)::

    tls: opportunistic        policy of the client: none (default), opportunistic, required, verified, implicit
    login: user password      for AUTH; nothing of it may be seen in what is told about the attempt
    messages: 2               how many are sent (default 1), one after the other while the session is usable
    outcome: dot 250          phase and code, or phase and failure, one line a message
    outcome: connect-error greeting 554
    usable: no                whether the session may be used afterwards (default yes)
    dot_sent: yes             of the last attempt (default: as the outcome's phase says)
    data, to, smtputf8        of the message, where the case needs a special one

Steps::

    S: text             the server says a line; lines that follow each other leave in one write. \\xNN is an octet
    S*500: text         the same line so many times
    S-: text            without the line's end; S-*500: the same so many times
    C: text             the client must say exactly this; a ``*`` stands for anything
    C. text             the client must send a message up to the dot; its first line must be this
    ACCEPT              wait for the next connection
    TLS                 handshake as the server
    CLOSE, RESET, HANG  close politely, close with RST, wait for the client to go
"""

import asyncio
import contextlib
import fnmatch
import ssl
import struct
from dataclasses import dataclass, field
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET


@dataclass
class Dialogue:
    name: str
    head: dict[str, list[str]] = field(default_factory=dict)
    steps: list[tuple[str, str]] = field(default_factory=list)

    def one(self, key: str, default: str) -> str:
        return self.head.get(key, [default])[-1]


def read(path: Path) -> Dialogue:
    dialogue = Dialogue(path.stem)
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        mark, _, rest = line.partition(" ")
        if mark in ("ACCEPT", "TLS", "CLOSE", "RESET", "HANG") or (mark[0] in "SC" and mark[-1] in ":."):
            dialogue.steps.append((mark, rest))
        elif not dialogue.steps and ": " in line:
            key, _, value = line.partition(": ")
            dialogue.head.setdefault(key, []).append(value)
        else:
            raise ValueError(f"{path.name}: {line!r}")
    return dialogue


def octets(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


class ScriptedServer:
    """Plays one dialogue; ``failed`` is what the client did against it."""

    def __init__(self, dialogue: Dialogue, context: ssl.SSLContext) -> None:
        self._dialogue = dialogue
        self._context = context
        self._connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._all: list[asyncio.WriteTransport] = []
        self._leaving = False
        self.received: list[bytes] = []
        self.got_message = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> "ScriptedServer":
        # The transport and not the writer, whose transport another one replaces in start_tls, or none where that fails;
        # and a function, not a coroutine, so that there is no connection that has begun and is not known here.
        def took(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._all.append(writer.transport)
            self._connections.put_nowait((reader, writer))
            if self._leaving:  # from Python 3.12 on wait_closed waits for every connection, this late one too
                writer.transport.abort()
        self._server = await asyncio.start_server(took, "127.0.0.1", 0, limit=1 << 24)
        self.port = self._server.sockets[0].getsockname()[1]
        self._task = asyncio.create_task(self._play_or_hang_up())
        return self

    async def finish(self) -> None:
        """Wait until the script is played; raises what went wrong in it."""
        async with asyncio.timeout(20):
            await self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._leaving = True
        for transport in self._all:
            transport.abort()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.sleep(0)  # the aborted transports close in the loop's next round

    async def _play_or_hang_up(self) -> None:
        try:
            await self._play()
        except BaseException:
            for transport in self._all:  # or the client would wait for what the script will never say
                transport.abort()
            raise

    async def _play(self) -> None:
        say = b""
        self._reader, self._writer = await self._connections.get()
        for mark, text in [*self._dialogue.steps, ("END", "")]:
            if mark.startswith("S"):
                _, _, times = mark[:-1].partition("*")
                say += (octets(text) + (b"" if mark.startswith("S-") else b"\r\n")) * int(times or 1)
                continue
            if say:
                self._writer.write(say)
                await self._drained()
                say = b""
            await self._step(mark, text)

    async def _drained(self) -> None:
        assert self._writer is not None
        with contextlib.suppress(OSError):  # the client has heard enough and hung up: some scripts are about that
            await self._writer.drain()

    async def _step(self, mark: str, text: str) -> None:
        assert self._writer is not None
        match mark:
            case "C:":
                said = (await self._reader.readuntil(b"\r\n"))[:-2].decode("latin-1")
                assert fnmatch.fnmatchcase(said, text), f"the client said {said!r}, not {text!r}"
            case "C.":
                message = await self._reader.readuntil(b"\r\n.\r\n")
                assert message.startswith(text.encode() + b"\r\n"), message[:100]
                self.received.append(message)
                self.got_message.set()
            case "ACCEPT":
                self._reader, self._writer = await self._connections.get()
            case "TLS":
                await self._writer.start_tls(self._context)
            case "CLOSE":
                self._writer.close()
            case "RESET":
                self._writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                self._writer.transport.abort()
            case "HANG":
                with contextlib.suppress(OSError):
                    while await self._reader.read(65536):
                        pass
