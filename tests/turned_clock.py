"""A clock that tests turn, and the moment at which their worlds begin."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@dataclass
class TurnedClock:
    """A clock that stands until it is turned."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def turn(self, by: timedelta) -> None:
        self.at += by
