"""A segment's rule as one SQL condition over ``contacts``, everything from outside bound, on both databases alike.

``esp.audience.segment_match`` says the same in Python, and a property test holds the two equal. Conditions may be
null where something is unknown, which counts as not fulfilled; only a negation has to make it plain.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    union,
)

from esp.adapters.sql.listening_levels import SAME
from esp.adapters.sql.schema import (
    contact_engagement,
    contact_tags,
    contact_topics,
    contacts,
    deliveries,
    engagement_odds,
    events,
    links,
    segment_members,
    subscriptions,
    suppressions,
)
from esp.adapters.sql.segment_values import (
    STANDARD_COLUMNS,
    InSet,
    PlainLower,
    Position,
    json_boolean,
    json_has,
    json_number,
    json_size,
    json_text,
)
from esp.events.score import NO_RANK, rank_of
from esp.model.delivery import DeliveryState, EventType
from esp.model.fields import FieldType
from esp.model.listening import HALF_LIFE, Level
from esp.model.preference import Frequency
from esp.model.segment import (
    CUSTOM,
    ENGAGEMENT,
    Count,
    Doing,
    FieldOp,
    FieldRule,
    Group,
    Leaf,
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

_LAST: Final = "\U0010ffff"
_DATE: Final = "____-__-__"
_WENT_OUT: Final = tuple(state.value for state in (
    DeliveryState.DELIVERED, DeliveryState.DEFERRED, DeliveryState.BOUNCED, DeliveryState.EXPIRED))
_SELECTIVE: Final = frozenset((
    FieldOp.IS, FieldOp.IN, FieldOp.STARTS_WITH, FieldOp.GREATER, FieldOp.LESS, FieldOp.AT_LEAST, FieldOp.AT_MOST,
    FieldOp.BETWEEN))
_INDEXED: Final = (FieldType.TEXT, FieldType.CHOICE, FieldType.NUMBER)
_OPPOSITE: Final = {
    FieldOp.IS_NOT: FieldOp.IS, FieldOp.NOT_CONTAINS: FieldOp.CONTAINS, FieldOp.EMPTY: FieldOp.NOT_EMPTY,
    FieldOp.HAS_NOT: FieldOp.HAS,
}
Clause = ColumnElement[bool]


def matching(rule: Rule, workspace_id: int, now: datetime, each: bool = False) -> Clause:
    """The condition that ``rule`` puts on a row of ``contacts`` of this workspace.

    ``rule`` has other segments inlined (``esp.model.segment.inlined``; ValueError otherwise). ``now`` is aware and in
    the workspace's time zone, for days begin there. ``each`` is for statements that look at some chosen contacts only
    (a chunk of a walk): every one is looked up by itself; without it sets are made for going over everybody.
    """
    return _Clauses(workspace_id, now, each).of(rule, True)


@dataclass(frozen=True, slots=True)
class _Clauses:
    workspace_id: int
    now: datetime
    each: bool
    few: bool = False

    def of(self, rule: Rule, wanted: bool) -> Clause:
        """The condition that ``rule`` holds, or that it does not. Negations are carried down to the leaves."""
        if not isinstance(rule, Group):
            return self._leaf(rule, wanted)
        together = (rule.match is Match.ANY) != wanted
        meant = wanted != (rule.match is Match.NONE)
        # Where an index narrows them down first, the few who are left are looked up one by one.
        few = replace(self, few=True) if together and meant and any(map(_selective, rule.rules)) else self
        inner = [few.of(one, meant) for one in rule.rules]
        if (not together and meant and not self.each and all(map(_narrows, rule.rules))
                and any(isinstance(one, Group) for one in rule.rules)):
            return self._each_by_its_index(inner)
        if not inner:
            return true() if together else false()
        return and_(*inner) if together else or_(*inner)

    def _leaf(self, rule: Leaf, wanted: bool) -> Clause:
        match rule:
            case FieldRule():
                opposite = _OPPOSITE.get(rule.op)
                if opposite is not None:
                    rule, wanted = FieldRule(rule.field, rule.type, opposite, rule.values), not wanted
                clause = self._field(rule)
                return clause if wanted else not_(func.coalesce(clause, false()))
            case MailRule():
                clause = self._mail(rule)
            case SegmentRule():
                raise ValueError("another segment's rule must be inlined first")
            case _:
                clause, wanted = self._belonging(rule), wanted != rule.negated
        return clause if wanted else not_(clause)

    # ---- sets of contacts

    def _each_by_its_index(self, inner: list[Clause]) -> Clause:
        """Any of these, each with an index: SQLite goes over everybody for an OR of more than fields."""
        found = [select(contacts.c.id).where(contacts.c.workspace_id == self.workspace_id, one).correlate(None)
                 for one in inner]
        return InSet(or_(*inner), contacts.c.id.in_(union(*found)))

    def _in(self, found: Select[Any], key: Any = contacts.c.id, least: int = 0) -> Clause:
        """Whether ``key`` of the contact is in the only column of ``found``; or there at least so many times."""
        (column,) = found.selected_columns
        everybody = found
        if self.each:
            found = found.where(column == key)
        if least:
            found = found.group_by(column).having(func.count() >= least)
        if self.each:
            return exists(found)
        together = found.subquery()
        lookup = exists(everybody.where(column == key)) if self.few and not least else key.in_(found)
        return InSet(exists(select(literal(1)).select_from(together).where(together.c[0] == key)), lookup)

    def _belonging(self, rule: ListRule | TagRule | TopicRule | SuppressedRule | SnapshotRule) -> Clause:
        match rule:
            case ListRule():
                s = subscriptions.c
                found = select(s.contact_id).where(s.list_id == rule.list_id, s.workspace_id == self.workspace_id)
                if rule.state is not None:
                    found = found.where(s.state == rule.state.value)
                if rule.when is not None:
                    found = found.where(self._fits(s.changed_at, rule.when))
                return self._in(found)
            case TagRule():
                t = contact_tags.c
                return self._in(select(t.contact_id).where(t.tag_id == rule.tag, t.workspace_id == self.workspace_id))
            case SnapshotRule():
                m = segment_members.c
                return self._in(select(m.contact_id).where(
                    m.snapshot_id == rule.snapshot_id, m.workspace_id == self.workspace_id))
            case SuppressedRule():
                u = suppressions.c
                found = select(u.email_key).where(
                    u.workspace_id == self.workspace_id, u.list_id.is_(None),
                    or_(u.expires_at.is_(None), u.expires_at > self.now))
                if rule.reason:
                    found = found.where(u.reason == rule.reason)
                key = contacts.c.email_key
                # A whole domain stands as ``@domain``.
                domain = func.substr(key, Position(key, literal("@")))
                return or_(self._in(found, key), self._in(found, domain))
            case TopicRule():
                c = contact_topics.c
                return not_(self._in(select(c.contact_id).where(
                    c.topic_id == rule.topic, c.workspace_id == self.workspace_id,
                    c.frequency == Frequency.NONE.value)))

    # ---- mails

    def _mail(self, rule: MailRule) -> Clause:
        match rule.count:
            case Count.AT_LEAST:
                return self._at_least(rule, rule.times)
            case Count.AT_MOST:
                return not_(self._at_least(rule, rule.times + 1))
            case Count.EXACTLY:
                more = not_(self._at_least(rule, rule.times + 1))
                return and_(self._at_least(rule, rule.times), more) if rule.times else more

    def _at_least(self, rule: MailRule, times: int) -> Clause:
        return self._in(self._clicked_link(rule) if rule.link else self._mails(rule), least=times if times > 1 else 0)

    def _mails(self, rule: MailRule) -> Select[Any]:
        d = deliveries.c
        found = select(d.contact_id).where(d.workspace_id == self.workspace_id)
        if rule.campaigns:
            found = found.where(d.campaign_id.in_(rule.campaigns))
        match rule.did:
            case Doing.SENT:
                return found.where(d.state.in_(_WENT_OUT), self._happened(d.created_at, rule.when))
            case Doing.DELIVERED | Doing.BOUNCED:
                return found.where(d.state == rule.did.value, self._happened(d.ended_at, rule.when))
            case Doing.OPENED | Doing.CLICKED if rule.machines:
                return found.where(or_(self._happened(d[f"{rule.did}_at"], rule.when),
                                       self._happened(d[f"machine_{rule.did}_at"], rule.when)))
            case _:
                return found.where(self._happened(d[f"{rule.did}_at"], rule.when))

    def _clicked_link(self, rule: MailRule) -> Select[Any]:
        """A row for each mail of which such a link was clicked."""
        e = events.c
        found = (
            select(e.contact_id)
            .join(links, and_(links.c.campaign_id == e.campaign_id, links.c.link_index == e.link_index))
            .where(e.workspace_id == self.workspace_id, e.type == EventType.CLICKED.value, e.contact_id.is_not(None),
                   Position(PlainLower(links.c.url), PlainLower(literal(rule.link))) > 0)
            .group_by(e.contact_id, e.delivery_id)
        )
        if rule.campaigns:
            found = found.where(e.campaign_id.in_(rule.campaigns))
        if not rule.machines:
            found = found.where(e.agent == "human")
        if rule.when is not None:
            found = found.where(self._fits(e.at, rule.when))
        return select(found.subquery().c.contact_id)

    # ---- moments

    def _happened(self, column: Any, when: When | None) -> Clause:
        return column.is_not(None) if when is None else and_(column.is_not(None), self._fits(column, when))

    def _fits(self, column: Any, when: When) -> Clause:
        return self._in_days(column, *day_range(when.op, when.values, self.now.date()))

    def _in_days(self, column: Any, first: date | None, last: date | None) -> Clause:
        """The moment lies in these days, which begin at midnight where the workspace is."""
        found: list[Clause] = [true()]
        if first is not None and first.year > 1:
            found.append(column >= self._midnight(first))
        if last is not None and last.year < 9999:
            found.append(column < self._midnight(last + timedelta(days=1)))
        return and_(*found)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.now.tzinfo)

    # ---- fields

    def _field(self, rule: FieldRule) -> Clause:
        """The condition of a positive operator; null where nothing is known."""
        if rule.field == "created_at":
            return self._in_days(contacts.c.created_at, *day_range(rule.op, rule.values, self.now.date()))
        if rule.field.startswith(ENGAGEMENT):
            return self._engagement(rule)
        custom = rule.field.startswith(CUSTOM)
        key = rule.field[len(CUSTOM):]
        match rule.type:
            case FieldType.TEXT | FieldType.CHOICE:
                return _text(rule.op, rule.values, text_of(rule.field))
            case FieldType.DATE:
                return self._date(rule.op, rule.values, text_of(rule.field))
            case FieldType.NUMBER:
                assert custom
                return _number(rule.op, rule.values, json_number(key))
            case FieldType.BOOLEAN:
                value = json_boolean(key)
                if rule.op is FieldOp.NOT_EMPTY:
                    return value.in_(("true", "false"))
                return value == ("true" if rule.values[0] else "false")
            case FieldType.CHOICES:
                return json_size(key) > 0 if rule.op is FieldOp.NOT_EMPTY else json_has(key, str(rule.values[0]))

    def _engagement(self, rule: FieldRule) -> Clause:
        """Of the row in ``contact_engagement``, or of what is true of those who have none: new, and nothing counted."""
        g, o = contact_engagement.c, engagement_odds.c
        rows = select(g.contact_id).where(g.workspace_id == self.workspace_id)
        numbers = tuple(float(one) for one in rule.values if isinstance(one, int | float))
        holds: Clause
        match rule.field:
            case "engagement.level":
                chosen = [_lower(str(one)) for one in rule.values]
                holds, without = g.level.in_(chosen), Level.NEW.value in chosen
            case "engagement.alive" | "engagement.expected":
                column, scale = (o.alive, 100) if rule.field == "engagement.alive" else (o.expected, 1)
                if rule.op is FieldOp.NOT_EMPTY:
                    return self._in(rows.join(engagement_odds, SAME))
                values = tuple(one / scale for one in numbers)
                return self._in(rows.join(engagement_odds, SAME).where(_number(rule.op, values, column)))
            case "engagement.score":
                values = tuple(rank_of(one, self.now.timestamp(), HALF_LIFE) for one in numbers)
                # Without a score a row has no rank: null, which below comes out as for those without a row.
                holds, without = self._counted(rule.op, values, g.score_rank), _holds(rule.op, values, NO_RANK)
            case _:
                counted = g[rule.field[len(ENGAGEMENT):]]
                holds, without = self._counted(rule.op, numbers, counted), _holds(rule.op, numbers, 0)
        return not_(self._in(rows.where(not_(holds)))) if without else self._in(rows.where(holds))

    @staticmethod
    def _counted(op: FieldOp, values: tuple[Value, ...], number: ColumnElement[Any]) -> Clause:
        return true() if op is FieldOp.NOT_EMPTY else _number(op, values, number)

    def _date(self, op: FieldOp, values: tuple[Value, ...], text: ColumnElement[str]) -> Clause:
        dated = text.like(_DATE)
        if op is FieldOp.NOT_EMPTY:
            return dated
        today = self.now.date()
        if op is FieldOp.ANNIVERSARY:
            return and_(dated, func.substr(text, 6, 5).in_(sorted(anniversaries(today, days_of(values)))))
        first, last = day_range(op, values, today)
        found: list[Clause] = [dated]
        if first is not None:
            found.append(text >= first.isoformat())
        if last is not None:
            found.append(text <= last.isoformat())
        return and_(*found)


def _selective(rule: Rule) -> bool:
    """Whether this is asked of an index on a field (``segment_index``) and as a rule leaves few."""
    return (isinstance(rule, FieldRule) and rule.type in _INDEXED and rule.op in _SELECTIVE
            and not rule.field.startswith(ENGAGEMENT))


def _narrows(rule: Rule) -> bool:
    """Whether an index answers it, at least in part."""
    return _selective(rule) or (
        isinstance(rule, Group) and rule.match is Match.ALL and any(map(_selective, rule.rules)))


def text_of(field: str) -> ColumnElement[str]:
    """A field's text as conditions compare it, and as an index on it holds it."""
    if field.startswith(CUSTOM):
        return PlainLower(json_text(field[len(CUSTOM):]))
    return PlainLower(STANDARD_COLUMNS[field])


def _text(op: FieldOp, values: tuple[Value, ...], text: ColumnElement[str]) -> Clause:
    wanted = [_lower(str(one)) for one in values]
    match op:
        case FieldOp.IS:
            return text == wanted[0]
        case FieldOp.IN:
            return text.in_(wanted)
        case FieldOp.CONTAINS:
            return Position(text, literal(wanted[0])) > 0
        case FieldOp.STARTS_WITH:
            # A range and not LIKE, which knows wildcards and finds no index.
            return and_(text >= wanted[0], text < wanted[0] + _LAST)
        case FieldOp.NOT_EMPTY:
            return text > ""  # a range, which an index knows, where "not equal" is none
    raise ValueError(f"{op} is nothing to ask of text")


_A_Z: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def _lower(text: str) -> str:
    return text.translate(_A_Z)


def _holds(op: FieldOp, values: tuple[Value, ...], number: float) -> bool:
    """``_number`` of a number that is known here."""
    wanted = [float(one) for one in values if isinstance(one, int | float)]
    match op:
        case FieldOp.IS:
            return number == wanted[0]
        case FieldOp.GREATER:
            return number > wanted[0]
        case FieldOp.LESS:
            return number < wanted[0]
        case FieldOp.AT_LEAST:
            return number >= wanted[0]
        case FieldOp.AT_MOST:
            return number <= wanted[0]
        case FieldOp.BETWEEN:
            return wanted[0] <= number <= wanted[1]
    return True


def _number(op: FieldOp, values: tuple[Value, ...], number: ColumnElement[float]) -> Clause:
    wanted = [float(one) for one in values if isinstance(one, int | float)]
    match op:
        case FieldOp.IS:
            return number == wanted[0]
        case FieldOp.GREATER:
            return number > wanted[0]
        case FieldOp.LESS:
            return number < wanted[0]
        case FieldOp.AT_LEAST:
            return number >= wanted[0]
        case FieldOp.AT_MOST:
            return number <= wanted[0]
        case FieldOp.BETWEEN:
            return and_(number >= wanted[0], number <= wanted[1])
        case FieldOp.NOT_EMPTY:
            return number.is_not(None)
    raise ValueError(f"{op} is nothing to ask of a number")
