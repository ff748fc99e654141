"""The days that a condition about dates means, reckoned from today: first and last day, or days of the year."""

from datetime import date, timedelta

from esp.model.segment import FieldOp, Value


def days_of(values: tuple[Value, ...]) -> int:
    """The number of days of "in the last N days" and its kin."""
    (days,) = values
    assert isinstance(days, int)
    return days


def _add(day: date, days: int) -> date:
    """``day`` moved, at most to the ends of the calendar."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.max if days > 0 else date.min


def day_range(op: FieldOp, values: tuple[Value, ...], today: date) -> tuple[date | None, date | None]:
    """First and last day that fit, both inclusive; None: without an end. "In the last 1 day" is today alone."""
    match op:
        case FieldOp.IN_LAST:
            return _add(today, 1 - days_of(values)), today
        case FieldOp.IN_NEXT:
            return today, _add(today, days_of(values) - 1)
        case FieldOp.OLDER:
            return None, _add(today, -days_of(values) - 1)
    days = [one for one in values if isinstance(one, date)]
    match op:
        case FieldOp.IS:
            return days[0], days[0]
        case FieldOp.BEFORE:
            return None, _add(days[0], -1)
        case FieldOp.AFTER:
            return _add(days[0], 1), None
        case FieldOp.BETWEEN:
            return days[0], days[1]
    raise ValueError(f"{op} is no range of days")


def anniversaries(today: date, days: int) -> frozenset[str]:
    """The days of the year, as MM-DD, that come up today or within the next ``days`` days.

    Who was born on 29 February has their day on 28 February in other years.
    """
    found: set[str] = set()
    for ahead in range(min(days, 366) + 1):
        day = _add(today, ahead)
        found.add(day.isoformat()[5:])
        if (day.month, day.day) == (2, 28) and _add(day, 1).month == 3:
            found.add("02-29")
    return frozenset(found)
