"""When something is done again: every hour, day, week or some minutes, by the clock of the workspace."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

MIN_MINUTES: Final = 5
MAX_MINUTES: Final = 7 * 24 * 60


class Every(StrEnum):
    MINUTES = "minutes"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, slots=True)
class Schedule:
    """``minutes`` counts for MINUTES and is the minute past the hour for HOUR; ``at`` is the local time of DAY and
    WEEK; ``weekday`` is 0 for Monday."""

    every: Every
    minutes: int = 0
    at: time = time(3)
    weekday: int = 0

    def next_after(self, now: datetime, zone: str) -> datetime:
        """The first moment after ``now``, in UTC. A local time that a change of clocks leaves out comes an hour later,
        one that comes twice is taken once."""
        if self.every is Every.MINUTES:
            return now + timedelta(minutes=min(MAX_MINUTES, max(MIN_MINUTES, self.minutes)))
        if self.every is Every.HOUR:
            start = now.replace(minute=self.minutes % 60, second=0, microsecond=0)
            return start if start > now else start + timedelta(hours=1)
        here = ZoneInfo(zone)
        day = now.astimezone(here).date()
        for ahead in range(9):
            on = day + timedelta(days=ahead)
            if self.every is Every.WEEK and on.weekday() != self.weekday:
                continue
            moment = datetime.combine(on, self.at, here).astimezone(UTC)
            if moment > now:
                return moment
        raise ValueError("a week has seven days")

    def plain(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"every": self.every.value, "minutes": self.minutes, "at": self.at.strftime("%H:%M"),
                "weekday": self.weekday}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Schedule":
        """The reverse of ``plain``; raises ValueError."""
        hour, _, minute = str(plain.get("at", "03:00")).partition(":")
        weekday = int(plain.get("weekday", 0))
        if not 0 <= weekday <= 6:
            raise ValueError("weekday is 0 to 6")
        return cls(Every(plain["every"]), int(plain.get("minutes", 0)), time(int(hour), int(minute or 0)), weekday)
