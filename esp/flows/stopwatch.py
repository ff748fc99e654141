"""Where the time of a sending process goes, by stage: what ``merpati bench`` prints and a profile begins with."""

import time
from collections import Counter
from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class Stopwatch:
    """Nanoseconds of CPU of the event loop's thread by stage; waiting is not counted."""

    def __init__(self) -> None:
        self.nanoseconds: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Time a block without ``await`` in it."""
        began = time.thread_time_ns()
        try:
            yield
        finally:
            self.nanoseconds[name] += time.thread_time_ns() - began

    def timed(self, name: str, work: Awaitable[_T]) -> "_Timed[_T]":
        """``await stopwatch.timed("record", work)``: as ``await work``, with its steps timed."""
        return _Timed(self.nanoseconds, name, work)


class _Timed(Generic[_T]):
    __slots__ = ("_name", "_nanoseconds", "_work")

    def __init__(self, nanoseconds: Counter[str], name: str, work: Awaitable[_T]) -> None:
        self._nanoseconds, self._name, self._work = nanoseconds, name, work

    def __await__(self) -> Generator[Any, Any, _T]:
        steps = self._work.__await__()
        answer: Any = None
        failure: BaseException | None = None
        while True:
            began = time.thread_time_ns()
            try:
                waiting_for = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as end:
                result: _T = end.value
                return result
            finally:
                self._nanoseconds[self._name] += time.thread_time_ns() - began
            answer = failure = None
            try:
                answer = yield waiting_for
            except BaseException as error:
                failure = error
