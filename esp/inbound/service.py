"""Reading strangers' mail in a process that is bounded in memory and time, for the parser is ours only by name.

``Reader`` is the parent's side. ``python -m esp.inbound.service`` is the child: JSON lines in, JSON lines out.
"""

import asyncio
import base64
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

import orjson

from esp.inbound.message import TooComplexError, read
from esp.inbound.recognise import Incoming, Mailbox, Recognition, recognise
from esp.inbound.report import Complaint, RecipientReport
from esp.ports.mailroom import InboundKind

_MEMORY: Final = 512 * 1024 * 1024
_CPU_SECONDS: Final = 5.0
# The clock on the wall is only for a child that hangs: on a busy machine it must not make a bounce unreadable.
_PATIENCE: Final = 60.0
_ANSWER_OCTETS: Final = 1024 * 1024
UNREADABLE: Final = Recognition(InboundKind.UNREADABLE, "unreadable")


class Reader:
    """One child process, started when first needed and again after one had to be killed."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._child: asyncio.subprocess.Process | None = None

    async def recognise(self, raw: bytes, mailbox: Mailbox, null_sender: bool) -> Recognition:
        """What the message is; ``UNREADABLE`` where reading it takes too long, too much, or breaks the child."""
        task = {"raw": base64.b64encode(raw).decode(), "mailbox": mailbox.value, "null_sender": null_sender}
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._ask(orjson.dumps(task) + b"\n")
            return _from_json(orjson.loads(answer)) if answer else UNREADABLE
        except (TimeoutError, OSError, ValueError, orjson.JSONDecodeError):
            await self.close()
            return UNREADABLE

    async def _ask(self, task: bytes) -> bytes:
        if self._child is None or self._child.returncode is not None:
            await self.close()
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "esp.inbound.service", limit=_ANSWER_OCTETS,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(task)
        await self._child.stdin.drain()
        return await self._child.stdout.readline()

    async def close(self) -> None:
        """End the child; it holds nothing that could be lost."""
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError):
            child.kill()
        if child.stdin is not None:
            child.stdin.close()
        await child.wait()


def _from_json(answer: dict[str, Any]) -> Recognition:
    said = answer["complaint"]
    return Recognition(
        InboundKind(answer["kind"]), answer["rule"], tuple(RecipientReport(**report) for report in answer["reports"]),
        Complaint(said["type"], tuple(said["evidence"]), tuple(said["recipients"])) if said else None,
        answer["sender"], answer["subject"], answer["message_id"], answer["label"],
        tuple(answer["addressees"]), tuple(answer["evidence"]), tuple(answer["refers"]),
    )


def judge(task: dict[str, Any]) -> Recognition:
    """The child's work on one message, within ``_CPU_SECONDS`` of processor time."""
    signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
    try:
        message = read(base64.b64decode(task["raw"]))
        return recognise(Incoming(message, Mailbox(task["mailbox"]), task["null_sender"]))
    except (TooComplexError, MemoryError, RecursionError, TimeoutError):
        return UNREADABLE
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _out_of_time(_signal: int, _frame: object) -> None:
    raise TimeoutError


def main() -> None:
    """Answer each line with a line, until the parent is gone."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _out_of_time)
    for line in sys.stdin.buffer:
        try:
            answer = judge(orjson.loads(line))
        except Exception:  # one mail made to break a reader must not end the reading of the others
            answer = UNREADABLE
        sys.stdout.buffer.write(orjson.dumps(asdict(answer)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
