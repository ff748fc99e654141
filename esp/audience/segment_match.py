"""Whether a rule holds of one person, in plain Python: the meaning against which the SQL is tested.

Pure: a person comes in with everything a rule may ask about, and ``now`` in the workspace's time zone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, assert_never

from esp.events.score import NO_RANK, rank_of
from esp.model.contact import SubscriptionState
from esp.model.delivery import DeliveryState
from esp.model.fields import FieldType
from esp.model.listening import HALF_LIFE, Level
from esp.model.segment import (
    CUSTOM,
    ENGAGEMENT,
    Count,
    Doing,
    FieldOp,
    FieldRule,
    Group,
    ListRule,
    MailRule,
    Match,
    Rule,
    SegmentRule,
    SnapshotRule,
    SuppressedRule,
    TagRule,
    TopicRule,
    Value,
    When,
)
from esp.model.segment_days import anniversaries, day_range, days_of

_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_WENT_OUT: Final = frozenset({DeliveryState.DELIVERED, DeliveryState.DEFERRED, DeliveryState.BOUNCED,
                              DeliveryState.EXPIRED})


@dataclass(frozen=True, slots=True)
class Click:
    url: str
    at: datetime
    human: bool = True


@dataclass(frozen=True, slots=True)
class Mail:
    """One delivery to the person; each moment is the first of its kind."""

    campaign_id: int
    state: DeliveryState
    created_at: datetime
    ended_at: datetime | None = None
    opened_at: datetime | None = None
    machine_opened_at: datetime | None = None
    clicked_at: datetime | None = None
    machine_clicked_at: datetime | None = None
    complained_at: datetime | None = None
    unsubscribed_at: datetime | None = None
    clicks: tuple[Click, ...] = ()


@dataclass(frozen=True, slots=True)
class Engaged:
    """What is known of the person as a listener; ``alive`` and ``expected`` None before the model had a look."""

    level: str
    score_rank: float | None
    alive: float | None
    expected: float | None
    opportunities: int
    responses: int


@dataclass(frozen=True, slots=True)
class Person:
    """``standard`` by the names of STANDARD_TYPES; ``suppressions`` are those in force for the whole workspace."""

    standard: Mapping[str, str]
    created_at: datetime
    fields: Mapping[str, Any] = field(default_factory=dict)
    subscriptions: Mapping[int, tuple[SubscriptionState, datetime]] = field(default_factory=dict)
    tags: frozenset[int] = frozenset()
    topics_off: frozenset[int] = frozenset()
    mails: Sequence[Mail] = ()
    suppressions: frozenset[str] = frozenset()
    snapshots: frozenset[int] = frozenset()
    engagement: Engaged | None = None


def plain_lower(text: str) -> str:
    """A-Z as a-z and everything else as it stands: what both databases do alike, whatever their locale."""
    return text.translate(_LOWER)


def holds(rule: Rule, person: Person, now: datetime) -> bool:
    """Whether ``rule`` (with other segments inlined) holds of ``person``; raises ValueError on a segment's number."""
    match rule:
        case Group(Match.ALL, rules):
            return all(holds(one, person, now) for one in rules)
        case Group(Match.ANY, rules):
            return any(holds(one, person, now) for one in rules)
        case Group(Match.NONE, rules):
            return not any(holds(one, person, now) for one in rules)
        case FieldRule():
            return _field_holds(rule, person, now)
        case ListRule():
            state, at = person.subscriptions.get(rule.list_id, (None, None))
            there = at is not None and rule.state in (None, state) and _happened(rule.when, at, now)
            return there != rule.negated
        case TagRule():
            return (rule.tag in person.tags) != rule.negated
        case TopicRule():
            return (rule.topic not in person.topics_off) != rule.negated
        case MailRule():
            return _counts(rule.count, rule.times, sum(_mail_fits(rule, mail, now) for mail in person.mails))
        case SuppressedRule():
            found = rule.reason in person.suppressions if rule.reason else bool(person.suppressions)
            return found != rule.negated
        case SnapshotRule():
            return (rule.snapshot_id in person.snapshots) != rule.negated
        case SegmentRule():
            raise ValueError("another segment's rule must be inlined first")
    raise TypeError(f"no rule: {rule!r}")


# ---- fields ----------------------------------------------------------------------------------------------------------


def _field_holds(rule: FieldRule, person: Person, now: datetime) -> bool:
    if rule.field == "created_at":
        return day_fits(rule.op, rule.values, person.created_at.astimezone(now.tzinfo).date(), now.date())
    if rule.field.startswith(ENGAGEMENT):
        return _engagement_holds(rule, person.engagement, now)
    custom = rule.field.startswith(CUSTOM)
    value = person.fields.get(rule.field[len(CUSTOM):]) if custom else person.standard.get(rule.field, "")
    match rule.type:
        case FieldType.TEXT | FieldType.CHOICE:
            return _text_holds(rule.op, rule.values, value if isinstance(value, str) else "")
        case FieldType.NUMBER:
            known = isinstance(value, int | float) and not isinstance(value, bool)
            return _number_holds(rule.op, rule.values, float(value) if known else None)  # type: ignore[arg-type]
        case FieldType.DATE:
            return _date_holds(rule.op, rule.values, value if isinstance(value, str) else "", now.date())
        case FieldType.BOOLEAN:
            known = isinstance(value, bool)
            if rule.op is FieldOp.IS:
                return known and value is rule.values[0]
            return known == (rule.op is FieldOp.NOT_EMPTY)
        case FieldType.CHOICES:
            return _choices_hold(rule.op, rule.values, value if isinstance(value, list) else [])
        case _:
            assert_never(rule.type)


def _engagement_holds(rule: FieldRule, it: Engaged | None, now: datetime) -> bool:
    match rule.field:
        case "engagement.level":
            return _text_holds(rule.op, rule.values, it.level if it else Level.NEW.value)
        case "engagement.score":
            ranks = tuple(rank_of(float(one), now.timestamp(), HALF_LIFE) for one in rule.values
                          if isinstance(one, int | float))
            return _number_holds(rule.op, ranks, NO_RANK if it is None or it.score_rank is None else it.score_rank)
        case "engagement.alive":
            shares = tuple(float(one) / 100 for one in rule.values if isinstance(one, int | float))
            return _number_holds(rule.op, shares, it.alive if it else None)
        case "engagement.expected":
            return _number_holds(rule.op, rule.values, it.expected if it else None)
    counts = {"engagement.opportunities": it.opportunities, "engagement.responses": it.responses} if it else {}
    return _number_holds(rule.op, rule.values, float(counts.get(rule.field, 0)))


def _text_holds(op: FieldOp, values: tuple[Value, ...], text: str) -> bool:
    text, wanted = plain_lower(text), [plain_lower(str(one)) for one in values]
    tests: dict[FieldOp, Callable[[], bool]] = {
        FieldOp.IS: lambda: text == wanted[0], FieldOp.IS_NOT: lambda: text != wanted[0],
        FieldOp.IN: lambda: text in wanted,
        FieldOp.CONTAINS: lambda: wanted[0] in text, FieldOp.NOT_CONTAINS: lambda: wanted[0] not in text,
        FieldOp.STARTS_WITH: lambda: text.startswith(wanted[0]),
        FieldOp.EMPTY: lambda: not text, FieldOp.NOT_EMPTY: lambda: bool(text),
    }
    return tests[op]()


def _number_holds(op: FieldOp, values: tuple[Value, ...], number: float | None) -> bool:
    if number is None:
        return op in (FieldOp.EMPTY, FieldOp.IS_NOT)
    wanted = [float(one) for one in values if isinstance(one, int | float)]
    tests: dict[FieldOp, Callable[[], bool]] = {
        FieldOp.IS: lambda: number == wanted[0], FieldOp.IS_NOT: lambda: number != wanted[0],
        FieldOp.GREATER: lambda: number > wanted[0], FieldOp.LESS: lambda: number < wanted[0],
        FieldOp.AT_LEAST: lambda: number >= wanted[0], FieldOp.AT_MOST: lambda: number <= wanted[0],
        FieldOp.BETWEEN: lambda: wanted[0] <= number <= wanted[1],
        FieldOp.EMPTY: lambda: False, FieldOp.NOT_EMPTY: lambda: True,
    }
    return tests[op]()


def _date_holds(op: FieldOp, values: tuple[Value, ...], text: str, today: date) -> bool:
    known = len(text) == 10 and text[4] == text[7] == "-"  # as the SQL sees it; what is written is checked elsewhere
    if op in (FieldOp.EMPTY, FieldOp.NOT_EMPTY):
        return known == (op is FieldOp.NOT_EMPTY)
    if op is FieldOp.ANNIVERSARY:
        return known and text[5:] in anniversaries(today, days_of(values))
    first, last = day_range(op, values, today)
    return known and (first is None or text >= first.isoformat()) and (last is None or text <= last.isoformat())


def _choices_hold(op: FieldOp, values: tuple[Value, ...], chosen: list[Any]) -> bool:
    if op in (FieldOp.HAS, FieldOp.HAS_NOT):
        return (values[0] in [one for one in chosen if isinstance(one, str)]) == (op is FieldOp.HAS)
    return bool(chosen) == (op is FieldOp.NOT_EMPTY)


# ---- mails -----------------------------------------------------------------------------------------------------------


def _counts(count: Count, times: int, found: int) -> bool:
    match count:
        case Count.AT_LEAST:
            return found >= times
        case Count.AT_MOST:
            return found <= times
        case Count.EXACTLY:
            return found == times


def _mail_fits(rule: MailRule, mail: Mail, now: datetime) -> bool:
    if rule.campaigns and mail.campaign_id not in rule.campaigns:
        return False
    if rule.link:
        part = plain_lower(rule.link)
        return any(part in plain_lower(click.url) and (click.human or rule.machines)
                   and _happened(rule.when, click.at, now) for click in mail.clicks)
    return any(at is not None and _happened(rule.when, at, now) for at in _moments(rule, mail))


def _moments(rule: MailRule, mail: Mail) -> tuple[datetime | None, ...]:
    match rule.did:
        case Doing.SENT:
            return (mail.created_at if mail.state in _WENT_OUT else None,)
        case Doing.DELIVERED:
            return (mail.ended_at if mail.state is DeliveryState.DELIVERED else None,)
        case Doing.BOUNCED:
            return (mail.ended_at if mail.state is DeliveryState.BOUNCED else None,)
        case Doing.OPENED:
            return (mail.opened_at, mail.machine_opened_at if rule.machines else None)
        case Doing.CLICKED:
            return (mail.clicked_at, mail.machine_clicked_at if rule.machines else None)
        case Doing.COMPLAINED:
            return (mail.complained_at,)
        case Doing.UNSUBSCRIBED:
            return (mail.unsubscribed_at,)


def _happened(when: When | None, at: datetime, now: datetime) -> bool:
    return when is None or day_fits(when.op, when.values, at.astimezone(now.tzinfo).date(), now.date())


def day_fits(op: FieldOp, values: tuple[Value, ...], day: date, today: date) -> bool:
    """Whether ``day`` stands to ``today`` as ``op`` asks."""
    first, last = day_range(op, values, today)
    return (first is None or day >= first) and (last is None or day <= last)
