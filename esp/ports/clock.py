"""Time as a port, so that a test can turn the clock."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The moment in UTC, aware: for facts and schedules."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards: for waiting and for leases within one process."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
