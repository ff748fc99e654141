"""Check and preview content in processes of their own, which can be killed where content costs too much.

The merge language is bounded by construction; but HTML, MJML and Markdown tools read what strangers wrote, and parsers
have bad days. A child has a limit of memory and CPU time from the system and a limit of time from us. One is kept warm.
"""

import asyncio
import os
import resource
import signal
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import orjson

from esp.compose.freeze import Facts
from esp.compose.sandboxed import answer
from esp.model.content import CompiledVariant, Draft, Link, Problem

MEMORY_OCTETS: Final = 768 * 1024 * 1024  # of address space, most of which the interpreter only reserves
SECONDS: Final = 5.0  # of processor time, for each request
# The clock on the wall is only for a child that hangs: on a busy machine it must not refuse what is good.
_PATIENCE: Final = 60.0
_LENGTH: Final = struct.Struct(">I")
_LARGEST_MESSAGE: Final = 64 * 1024 * 1024
_REQUESTS_PER_CHILD: Final = 500


@dataclass(frozen=True, slots=True)
class Preview:
    """A mail as one recipient would read it; all texts are empty where ``problems`` holds an error."""

    subject: str
    preheader: str
    html: str
    text: str
    problems: tuple[Problem, ...]


class _ChildFailedError(Exception):
    """The child died or was killed; the message is for the author."""


class _Child:
    """One content process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.requests = 0

    @classmethod
    async def start(cls, memory: int) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "esp.compose.service", str(memory),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return cls(process)

    async def ask(self, request: bytes, seconds: float) -> bytes:
        """One answer; the child is of no use any more where this raises."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        self.requests += 1
        try:
            async with asyncio.timeout(seconds):
                stdin.write(_LENGTH.pack(len(request)) + request)
                await stdin.drain()
                (length,) = _LENGTH.unpack(await stdout.readexactly(_LENGTH.size))
                if length > _LARGEST_MESSAGE:
                    raise _ChildFailedError("The content makes too much text.")
                return await stdout.readexactly(length)
        except TimeoutError:
            raise _ChildFailedError(
                f"The content took too long to prepare (over {seconds:g} seconds), so it was stopped. Make it simpler."
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError, BrokenPipeError):
            raise _ChildFailedError(
                "The content needed too much memory or time to prepare, so it was stopped. Make it smaller or simpler."
            ) from None

    async def stop(self) -> None:
        # Not Popen.kill: it reaps a child that has just ended, and asyncio's watcher then misses it.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        # The pipe's transport is closed only when the loop has seen its end; otherwise it would warn later.
        if self._process.stdout is not None:
            with suppress(ConnectionError):
                await self._process.stdout.read()


class ContentService:
    """Checks and previews, at most ``size`` at a time. Processes start with the first request; ``aclose`` ends them."""

    def __init__(self, size: int = 1, seconds: float = _PATIENCE, memory: int = MEMORY_OCTETS) -> None:
        self._slots = asyncio.Semaphore(size)
        self._seconds = seconds
        self._memory = memory
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()

    async def __aenter__(self) -> Self:
        await self.warm()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def warm(self) -> None:
        """Start a process now, so that the first preview need not wait for one."""
        if not self._idle:
            await self._spare()

    async def aclose(self) -> None:
        """End all processes."""
        for child in list(self._all):
            await self._drop(child)
        self._idle.clear()

    async def _spare(self) -> None:
        child = await _Child.start(self._memory)
        self._all.add(child)
        self._idle.append(child)

    async def _drop(self, child: _Child) -> None:
        self._all.discard(child)
        await child.stop()

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        data = orjson.dumps(request)
        async with self._slots:
            await self.warm()
            child = self._idle.pop()
            healthy = False
            try:
                reply = await child.ask(data, self._seconds)
                healthy = child.requests < _REQUESTS_PER_CHILD
            finally:
                if healthy:
                    self._idle.append(child)
                else:
                    await asyncio.shield(self._drop(child))
        decoded: dict[str, Any] = orjson.loads(reply)
        return decoded

    async def _run(self, draft: Draft, recipient: dict[str, Any] | None, options: dict[str, Any]) -> dict[str, Any]:
        request = {
            "subject": _encodable(draft.subject), "source": _encodable(draft.source), "kind": draft.kind.value,
            "preheader": _encodable(draft.preheader), "label": draft.label, "recipient": recipient, **options,
        }  # fmt: skip
        try:
            return await self._ask(request)
        except _ChildFailedError as error:
            return {"problems": [["error", "body", str(error), None]], "links": [], "payload": None, "preview": None}

    async def check(
        self,
        draft: Draft,
        *,
        first_link_index: int = 0,
        known_fields: frozenset[str] = frozenset(),
        facts: Facts | None = None,
    ) -> tuple[CompiledVariant | None, tuple[Problem, ...]]:
        """As ``freeze.inspect``, in a process that can be killed: the variant is None where a problem is an error."""
        reply = await self._run(draft, None, _options(first_link_index, known_fields, facts, ""))
        problems = _problems(reply)
        if reply["payload"] is None:
            return None, problems
        links = tuple(Link(index, url, text) for index, url, text in reply["links"])
        return CompiledVariant(draft.label, links, reply["payload"].encode(), problems), problems

    async def preview(
        self,
        draft: Draft,
        address: str,
        fields: Mapping[str, Any],
        *,
        known_fields: frozenset[str] = frozenset(),
        facts: Facts | None = None,
        list_name: str = "",
    ) -> Preview:
        """The draft as the contact with ``address`` and ``fields`` (as in ``Recipient``) would read it."""
        recipient = {"address": _encodable(address), "fields": dict(fields)}
        reply = await self._run(draft, recipient, _options(0, known_fields, facts, list_name))
        subject, preheader, html, text = reply["preview"] or ("", "", "", "")
        return Preview(subject, preheader, html, text, _problems(reply))


def _encodable(text: str) -> str:
    # Lone surrogates cannot be written to a pipe, nor to any mail.
    return text.encode("utf-8", "replace").decode()


def _options(index: int, known_fields: frozenset[str], facts: Facts | None, list_name: str) -> dict[str, Any]:
    return {
        "first_link_index": index, "known_fields": sorted(known_fields), "facts": asdict(facts or Facts()),
        "list_name": list_name,
    }  # fmt: skip


def _problems(reply: dict[str, Any]) -> tuple[Problem, ...]:
    return tuple(Problem(level, where, message, line) for level, where, message, line in reply["problems"])


def _serve(memory: int) -> None:
    """The child's life: answer requests until the pipe is closed. Every request has its own allowance of CPU time."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while len(head := stdin.read(_LENGTH.size)) == _LENGTH.size:
        request = orjson.loads(stdin.read(_LENGTH.unpack(head)[0]))
        usage = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + SECONDS) + 1, hard))
        reply = orjson.dumps(answer(request))
        stdout.write(_LENGTH.pack(len(reply)) + reply)
        stdout.flush()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
