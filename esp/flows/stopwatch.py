"""Where the time of a sending process goes, by stage: what ``merpati bench`` prints and a profile begins with."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Generic, TypeVar

_T = TypeVar("_T")
_UNTIMED: Final = nullcontext()

# Of what is done for every message one in so many is timed, and counted as often. To time all of them cost a fifth of
# what it measured. A prime, so that no rhythm of connections and batches falls in with it.
ONE_IN: Final = 17


class Stopwatch:
    """Nanoseconds of the event loop's thread by stage: only the steps between waits are counted, not the waits.

    By the wall clock, which costs nothing to read, or, ``precise``, by the thread's CPU clock: on a busy machine the
    first counts other people's time too, but the second is a system call.
    """

    def __init__(self, precise: bool = False) -> None:
        self.nanoseconds: Counter[str] = Counter()
        self._seen: dict[str, int] = {}
        self._now = time.thread_time_ns if precise else time.perf_counter_ns

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time one in ``ONE_IN`` of the blocks of this name, which have no ``await`` in them."""
        return _Stage(self.nanoseconds, self._now, name) if self._chosen(name) else _UNTIMED

    def timed(self, name: str, work: Awaitable[_T], sampled: bool = False) -> Awaitable[_T]:
        """``await stopwatch.timed("record", work)``: as ``await work``, with its steps timed.

        ``sampled``: this is done for every message, so that one in ``ONE_IN`` is timed.
        """
        if not sampled:
            return _Timed(self.nanoseconds, self._now, name, 1, work)
        return _Timed(self.nanoseconds, self._now, name, ONE_IN, work) if self._chosen(name) else work

    def _chosen(self, name: str) -> bool:
        self._seen[name] = seen = self._seen.get(name, 0) + 1
        return seen % ONE_IN == 0


class _Stage:
    __slots__ = ("_began", "_name", "_nanoseconds", "_now")

    def __init__(self, nanoseconds: Counter[str], now: Callable[[], int], name: str) -> None:
        self._nanoseconds, self._now, self._name = nanoseconds, now, name

    def __enter__(self) -> None:
        self._began = self._now()

    def __exit__(self, *_: object) -> None:
        self._nanoseconds[self._name] += (self._now() - self._began) * ONE_IN


class _Timed(Generic[_T]):
    __slots__ = ("_name", "_nanoseconds", "_now", "_weight", "_work")

    def __init__(
        self, nanoseconds: Counter[str], now: Callable[[], int], name: str, weight: int, work: Awaitable[_T]
    ) -> None:
        self._nanoseconds, self._now, self._name, self._weight, self._work = nanoseconds, now, name, weight, work

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
                self._nanoseconds[self._name] += (self._now() - began) * self._weight
            answer = failure = None
            try:
                answer = yield waiting_for
            except BaseException as error:
                failure = error
