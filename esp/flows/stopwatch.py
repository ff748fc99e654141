"""Where the time of a sending process goes, by stage: what ``merpati bench`` prints and a profile begins with."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class Stopwatch:
    """Nanoseconds of the event loop's thread by stage: only the steps between waits are counted, not the waits.

    By the wall clock, which costs nothing to read, or, ``precise``, by the thread's CPU clock: on a busy machine the
    first counts other people's time too, but the second is a system call, eleven times a message.
    """

    def __init__(self, precise: bool = False) -> None:
        self.nanoseconds: Counter[str] = Counter()
        self._now = time.thread_time_ns if precise else time.perf_counter_ns

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Time a block without ``await`` in it."""
        began = self._now()
        try:
            yield
        finally:
            self.nanoseconds[name] += self._now() - began

    def timed(self, name: str, work: Awaitable[_T]) -> "_Timed[_T]":
        """``await stopwatch.timed("record", work)``: as ``await work``, with its steps timed."""
        return _Timed(self.nanoseconds, self._now, name, work)


class _Timed(Generic[_T]):
    __slots__ = ("_name", "_nanoseconds", "_now", "_work")

    def __init__(self, nanoseconds: Counter[str], now: Callable[[], int], name: str, work: Awaitable[_T]) -> None:
        self._nanoseconds, self._now, self._name, self._work = nanoseconds, now, name, work

    def __await__(self) -> Generator[Any, Any, _T]:
        steps = self._work.__await__()
        answer: Any = None
        failure: BaseException | None = None
        while True:
            began = self._now()
            try:
                waiting_for = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as end:
                result: _T = end.value
                return result
            finally:
                self._nanoseconds[self._name] += self._now() - began
            answer = failure = None
            try:
                answer = yield waiting_for
            except BaseException as error:
                failure = error
