"""One TCP (or TLS) connection as a line of questions and answers: who asked what, who is still owed an answer."""

import asyncio
from collections import deque
from typing import Final, cast

from esp.adapters.smtp.replies import RawReply, ReplyError, ReplyReader
from esp.adapters.smtp.timeouts import Timeouts
from esp.model.attempt import Failure

_BLOCK: Final = 65_536


class Connection(asyncio.Protocol):
    """Counts questions against answers: an answer that nobody asked for ends the connection's usefulness.

    ``failure`` says why nothing more can be asked; answers that came before stay valid. A server that answers ahead
    (``250`` before the dot was sent) would otherwise be believed about a message it never read.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.failure: Failure | None = None
        self.detail = ""
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._reader = ReplyReader()
        self._answers: deque[RawReply] = deque()
        self._owed = 1  # the greeting, which comes unasked
        self._want = 0
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeouts.tick, self._look)

    def data_received(self, data: bytes) -> None:
        if self.failure is not None:
            return  # no more is read, whatever a broken or hostile server still sends
        try:
            found = self._reader.feed(data)
        except ReplyError as error:
            self._fail(Failure.PROTOCOL, str(error))
            return
        for raw in found:
            if self._owed == 0:
                code, lines = raw
                what = b" ".join(lines).decode("ascii", "replace")[:200]
                # A server that says 421 to an idle connection is within its rights; it closes, and so do we.
                failure = Failure.CLOSED if code == 421 else Failure.PROTOCOL
                self._fail(failure, f"an answer that nobody asked for: {code} {what}")
                return
            self._owed -= 1
            self._answers.append(raw)
        if self._waiter is not None and len(self._answers) >= self._want:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.failure is None:
            self.failure, self.detail = Failure.CLOSED, str(exc or "the server closed the connection")
        self._stop_looking()
        if not self.lost.done():
            self.lost.set_result(None)
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = self._writable or self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the session calls.

    @property
    def spoke_early(self) -> bool:
        """The server has sent something that no question of ours explains, be it only half a line."""
        return self._owed == 0 and (bool(self._answers) or self._reader.pending)

    def ask(self, octets: bytes, answers: int = 1) -> None:
        """Write ``octets``, to which the server owes ``answers`` replies."""
        if self.failure is None and self.transport is not None:
            self._owed += answers
            self.transport.write(octets)

    async def pour(self, octets: bytes) -> None:
        """Write what may be much, at the speed at which the server reads; sets ``failure`` where it does not."""
        view = memoryview(octets)
        for at in range(0, len(view), _BLOCK):
            if self.failure is not None or self.transport is None:
                return
            self.transport.write(view[at : at + _BLOCK])
            await asyncio.sleep(0)  # a connection that is lost meanwhile says so in the loop's next round
            if self._writable is not None:
                try:
                    async with asyncio.timeout(self._timeouts.block):
                        await asyncio.shield(self._writable)
                except TimeoutError:
                    self._fail(Failure.TIMEOUT, "the server stopped reading")

    async def answers(self, count: int, timeout: float) -> list[RawReply]:
        """The next ``count`` replies, or fewer where ``failure`` came before them."""
        if len(self._answers) < count and self.failure is None:
            self._want = count
            self._deadline = self._loop.time() + timeout
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        got = self._answers
        return [got.popleft() for _ in range(min(count, len(got)))]

    def forget(self) -> None:
        """Drop everything received and not asked for (RFC 3207: before the TLS handshake)."""
        self._reader.discard()
        self._answers.clear()

    def fail(self, failure: Failure, detail: str) -> None:
        """End the connection's use for a reason that the session found."""
        self._fail(failure, detail)

    def abort(self) -> None:
        """Close at once, without flushing."""
        self._stop_looking()
        if self.transport is not None:
            self.transport.abort()

    async def end(self, timeout: float) -> None:
        """Close and wait until it is closed, for ``timeout`` seconds at most."""
        if self.transport is None:
            return
        self.transport.close()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self.lost)
        except TimeoutError:
            self.transport.abort()

    def _stop_looking(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, failure: Failure, detail: str) -> None:
        if self.failure is None:
            self.failure, self.detail = failure, detail
        self.abort()
        self._wake()

    def _look(self) -> None:
        self._watch = self._loop.call_later(self._timeouts.tick, self._look)
        if self._waiter is not None and self._loop.time() >= self._deadline:
            self._fail(Failure.TIMEOUT, "the server did not answer in time")
