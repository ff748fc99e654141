"""A segment's rule: nested groups of conditions about a person, as frozen values without a database.

Every condition holds or does not hold of a person; what is unknown does not hold. So a negation is the exact opposite,
and people about whom nothing is known are in it: "city is not Bandung" finds those without a city, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Final

from esp.errors import InputError
from esp.model.contact import SubscriptionState
from esp.model.fields import FieldType

MAX_DEPTH: Final = 6  # groups within groups
MAX_CONDITIONS: Final = 100
MAX_TEXT: Final = 500  # characters of one value
MAX_DAYS: Final = 36_500
MAX_SEGMENT_DEPTH: Final = 5  # segments within segments

# The fields that everybody has, with their types; ``created_at`` is a moment and compared by its day.
STANDARD_TYPES: Final = {
    "email": FieldType.TEXT, "domain": FieldType.TEXT, "first_name": FieldType.TEXT, "last_name": FieldType.TEXT,
    "city": FieldType.TEXT, "country": FieldType.TEXT, "language": FieldType.TEXT, "time_zone": FieldType.TEXT,
    "source": FieldType.TEXT, "birth_date": FieldType.DATE, "created_at": FieldType.DATE,
}
# What is known of a contact as a listener, as far as the fold has come. Who has had no mail yet that could tell of a
# response is new, with a score and counts of 0; the model says nothing of them. ``alive`` is in percent.
ENGAGEMENT: Final = "engagement."
ENGAGEMENT_TYPES: Final = {
    "engagement.level": FieldType.CHOICE, "engagement.score": FieldType.NUMBER, "engagement.alive": FieldType.NUMBER,
    "engagement.expected": FieldType.NUMBER, "engagement.opportunities": FieldType.NUMBER,
    "engagement.responses": FieldType.NUMBER,
}
CUSTOM: Final = "fields."  # before a workspace's own field, so that it never hides a standard one


class Match(StrEnum):
    """How many of a group's conditions must hold."""

    ALL = "all"
    ANY = "any"
    NONE = "none"


class FieldOp(StrEnum):
    """What is asked of a value. Text is compared without regard to A-Z and a-z, other letters as they stand."""

    IS = "is"
    IS_NOT = "is_not"
    IN = "in"  # one of several
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    STARTS_WITH = "starts_with"
    EMPTY = "empty"
    NOT_EMPTY = "not_empty"
    GREATER = "greater"
    LESS = "less"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    BETWEEN = "between"  # both ends belong to it
    BEFORE = "before"
    AFTER = "after"
    IN_LAST = "in_last"  # days, today among them
    IN_NEXT = "in_next"
    OLDER = "older"  # more than so many days ago
    ANNIVERSARY = "anniversary"  # its day of the year is today, or within the next so many days
    HAS = "has"  # of many choices
    HAS_NOT = "has_not"


_F = FieldOp
_TEXT_OPS: Final = (_F.IS, _F.IS_NOT, _F.IN, _F.CONTAINS, _F.NOT_CONTAINS, _F.STARTS_WITH, _F.EMPTY, _F.NOT_EMPTY)
DAY_OPS: Final = (_F.IS, _F.BEFORE, _F.AFTER, _F.BETWEEN, _F.IN_LAST, _F.IN_NEXT, _F.OLDER)
OPS: Final[dict[FieldType, tuple[FieldOp, ...]]] = {
    FieldType.TEXT: _TEXT_OPS,
    FieldType.CHOICE: _TEXT_OPS,
    FieldType.NUMBER: (_F.IS, _F.IS_NOT, _F.GREATER, _F.LESS, _F.AT_LEAST, _F.AT_MOST, _F.BETWEEN, _F.EMPTY,
                       _F.NOT_EMPTY),
    FieldType.DATE: (*DAY_OPS, _F.ANNIVERSARY, _F.EMPTY, _F.NOT_EMPTY),
    FieldType.BOOLEAN: (_F.IS, _F.EMPTY, _F.NOT_EMPTY),
    FieldType.CHOICES: (_F.HAS, _F.HAS_NOT, _F.EMPTY, _F.NOT_EMPTY),
}
LEVEL_OPS: Final = (_F.IS, _F.IS_NOT, _F.IN)
VALUELESS: Final = frozenset({FieldOp.EMPTY, FieldOp.NOT_EMPTY})
IN_DAYS: Final = frozenset({FieldOp.IN_LAST, FieldOp.IN_NEXT, FieldOp.OLDER, FieldOp.ANNIVERSARY})
MOMENT_OPS: Final = (_F.IN_LAST, _F.OLDER, _F.AFTER, _F.BEFORE, _F.IS, _F.BETWEEN)  # for what has happened

Value = str | float | bool | date | int


@dataclass(frozen=True, slots=True)
class FieldRule:
    """A condition about a field. ``values``: none, one, or several, each of the field's type, or a number of days."""

    field: str
    type: FieldType
    op: FieldOp
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class When:
    """A condition about a moment, in whole days of the workspace's time zone; ``op`` is one of MOMENT_OPS."""

    op: FieldOp
    values: tuple[date | int, ...]


@dataclass(frozen=True, slots=True)
class ListRule:
    """On a list in this state (None: in any), since a moment that fits ``when``; negated: not so."""

    list_id: int
    state: SubscriptionState | None = SubscriptionState.SUBSCRIBED
    when: When | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class TagRule:
    tag: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class TopicRule:
    """Wants mail of this topic, as said in the preference centre; who said nothing wants it."""

    topic: int
    negated: bool = False


class Doing(StrEnum):
    """What a person did with a mail, or what became of it. Each mail counts once."""

    SENT = "sent"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"


class Count(StrEnum):
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    EXACTLY = "exactly"


@dataclass(frozen=True, slots=True)
class MailRule:
    """How many mails of ``campaigns`` (none: of all) a person opened, clicked, ..., ``when``; ``link`` is a part of a
    clicked link's address. Only what people did, unless ``machines`` says that privacy proxies and scanners count too.
    """

    did: Doing
    count: Count = Count.AT_LEAST
    times: int = 1
    campaigns: tuple[int, ...] = ()
    link: str = ""
    when: When | None = None
    machines: bool = False


@dataclass(frozen=True, slots=True)
class SuppressedRule:
    """The address may not be written to at all, for this reason (a SuppressionReason's value; empty: for any)."""

    reason: str = ""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """In another segment, as it is then."""

    segment_id: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotRule:
    """Was in a segment when a snapshot of it was taken."""

    snapshot_id: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    match: Match
    rules: tuple["Rule", ...]


Leaf = FieldRule | ListRule | TagRule | TopicRule | MailRule | SuppressedRule | SegmentRule | SnapshotRule
Rule = Group | Leaf

EVERYBODY: Final = Group(Match.ALL, ())
NOBODY: Final = Group(Match.ANY, ())


def leaves(rule: Rule, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Every condition with its path (``rules[0].rules[2]``)."""
    if not isinstance(rule, Group):
        yield path, rule
        return
    for number, one in enumerate(rule.rules):
        yield from leaves(one, f"{path}.rules[{number}]" if path else f"rules[{number}]")


def opposite(rule: Rule) -> Group:
    """The opposite of a rule."""
    return Group(Match.NONE, (rule,))


def inlined(rule: Rule, segments: Mapping[int, Rule], within: tuple[int, ...] = ()) -> Rule:
    """The rule with other segments' rules in the place of their numbers; ``within``: the segments it stands in.

    Raises InputError where a segment is not in ``segments``, contains itself, or is too deep within others.
    """
    if isinstance(rule, SegmentRule):
        if rule.segment_id in within:
            raise InputError("A segment cannot contain itself, not even by way of others.")
        if rule.segment_id not in segments:
            raise InputError("A segment that this one is made of has been deleted.")
        if len(within) >= MAX_SEGMENT_DEPTH:
            raise InputError(f"Segments can stand at most {MAX_SEGMENT_DEPTH} deep within each other.")
        inner = inlined(segments[rule.segment_id], segments, (*within, rule.segment_id))
        return opposite(inner) if rule.negated else inner
    if isinstance(rule, Group):
        return replace(rule, rules=tuple(inlined(one, segments, within) for one in rule.rules))
    return rule
