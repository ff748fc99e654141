"""Quantities with a unit and one spelling, parsed once: rates such as ``100/min`` and durations such as ``36h``."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

_UNITS: Final = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "min": 60.0,
    "m": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}
_RATE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)?\s*(s|sec|min|m|h|hour|d|day)\s*")
_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|sec|min|m|h|hour|d|day)\s*")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many per so many seconds: ``Rate.parse("100/min")`` is ``Rate(100, 60)``.

    The law everywhere is a token bucket that holds ``burst`` tokens and refills at ``per_second``.
    """

    amount: float
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``100/min``, ``5/s``, ``2000/10min``; raises ValueError with the spelling that would be right."""
        found = _RATE.fullmatch(text)
        if not found or float(found[1]) <= 0:
            raise ValueError(f"{text!r} is not a rate; write for example 100/min, 5/s or 20000/h")
        seconds = float(found[2] or 1) * _UNITS[found[3]]
        if seconds <= 0:
            raise ValueError(f"{text!r} is not a rate; the time after the slash must be more than nothing")
        return cls(float(found[1]), seconds)

    @property
    def per_second(self) -> float:
        return self.amount / self.seconds

    @property
    def burst(self) -> float:
        """Tokens the bucket holds: a second's worth, and never less than one."""
        return max(1.0, self.per_second)

    def __str__(self) -> str:
        for unit, seconds in (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("day", 86400.0)):
            if self.seconds == seconds:
                return f"{self.amount:g}/{unit}"
        return f"{self.amount:g}/{self.seconds:g}s"


def parse_duration(text: str) -> timedelta:
    """Read ``90s``, ``15min``, ``36h``, ``5d``; raises ValueError with the spelling that would be right."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 15min, 36h or 5d")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def spell_duration(duration: timedelta) -> str:
    """The shortest spelling that ``parse_duration`` reads back to the same: ``90s``, ``36h``, ``4d``."""
    milliseconds = round(duration.total_seconds() * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
