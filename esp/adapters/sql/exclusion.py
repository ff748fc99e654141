"""Who of a campaign's audience will not get it, and why: one SQL expression, for the forecast, the walk and the worker.

The audience is everybody who has, or had, a subscription to an included list; where segments are included, too, only
those in one of them. Each person counts once, under the first reason that holds: a complaint, a bounce, a manual
suppression, having left, not having confirmed, an excluded list, an excluded segment; then what they chose themselves:
a pause, not about this topic, in a digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, func, literal, null, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from esp.adapters.sql.schema import Id, contact_preferences, contact_topics, contacts, subscriptions, suppressions
from esp.adapters.sql.segment_sql import matching
from esp.model.contact import ExclusionReason, SubscriptionState, SuppressionReason
from esp.model.preference import Frequency
from esp.model.segment import Group
from esp.ports.campaigns import Campaign, SegmentRules

SUPPRESSION_RANK = {
    SuppressionReason.COMPLAINT.value: 4, SuppressionReason.HARD_BOUNCE.value: 3, SuppressionReason.MANUAL.value: 2,
    SuppressionReason.UNSUBSCRIBED.value: 1,
}
EXCLUDED_BY_RANK = {
    4: ExclusionReason.SUPPRESSED_COMPLAINT, 3: ExclusionReason.SUPPRESSED_BOUNCE,
    2: ExclusionReason.SUPPRESSED_MANUAL, 1: ExclusionReason.UNSUBSCRIBED,
}


class domain_key(FunctionElement[str]):  # noqa: N801 - stands in expressions like a function of SQL
    """``@domain`` of an address's key, by which a whole domain is suppressed; no key of ours has a second @."""

    type = Text()
    inherit_cache = True


@compiles(domain_key, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    key = compiler.process(element.clauses, **options)
    return f"substr({key}, strpos({key}, '@'))"


@compiles(domain_key, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    key = compiler.process(element.clauses, **options)
    return f"substr({key}, instr({key}, '@'))"


class in_step(FunctionElement[bool]):  # noqa: N801 - stands in expressions like a function of SQL
    """Whether an id lies above the second argument and not above the third: said again where a join says it already.

    PostgreSQL does not see that those who are joined lie in the range, and would go past everybody for each step.
    SQLite looks each of them up by id; told of the range, it might go past all who are in it for a small list.
    """

    inherit_cache = True


@compiles(in_step, "postgresql")
def _range_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    key, after, until = (compiler.process(one, **options) for one in element.clauses)
    return f"({key} > {after} AND {key} <= {until})"


@compiles(in_step, "sqlite")
def _range_on_sqlite(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "1"


def suppression_rank(workspace_id: Any, list_ids: Any, now: Any, key: Any = contacts.c.email_key) -> Any:
    """A scalar: the weightiest suppression of the row's ``key``, null where there is none; see EXCLUDED_BY_RANK.

    A suppression for one list holds for every campaign that goes to this list, whoever else it goes to; one of a whole
    domain has the key ``@domain``. All may be values or bound parameters.
    """
    it = suppressions.c
    return (
        select(func.max(case(SUPPRESSION_RANK, value=it.reason, else_=2)))
        .where(
            it.workspace_id == workspace_id, it.email_key.in_((key, domain_key(key))),
            or_(it.list_id.is_(None), it.list_id.in_(list_ids)),
            or_(it.expires_at.is_(None), it.expires_at > now),
        )
        .scalar_subquery()
    )


def chosen_frequency() -> ColumnElement[str]:
    """How the person wants mails of the topic joined by ``join_choice``: their word about it, else the general one."""
    return func.coalesce(contact_topics.c.frequency, contact_preferences.c.frequency, Frequency.EACH.value)


def choice(now: Any, digest: bool = False) -> ColumnElement[str]:
    """What the person's own wishes say against a mail: an ExclusionReason, or ''. Needs ``join_choice``.

    A digest goes to whoever is not pausing: that they want it was looked up when it was gathered.
    """
    pausing = (contact_preferences.c.paused_until > now, literal(ExclusionReason.PAUSED.value))
    if digest:
        return case(pausing, else_=literal(""))
    often = chosen_frequency()
    return case(
        pausing,
        (often == Frequency.NONE.value, literal(ExclusionReason.TOPIC_DECLINED.value)),
        (often.in_((Frequency.DAILY.value, Frequency.WEEKLY.value)), literal(ExclusionReason.DIGEST.value)),
        else_=literal(""),
    )


def join_choice(of: Any, contact_id: Any, topic_id: Any) -> Any:
    """``of`` (a table or join) with what the person ``contact_id`` chose, in general and for the topic."""
    joined = of.outerjoin(contact_preferences, contact_preferences.c.contact_id == contact_id)
    return joined.outerjoin(contact_topics, and_(
        contact_topics.c.contact_id == contact_id, contact_topics.c.topic_id == (0 if topic_id is None else topic_id),
    ))


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A campaign's segments: their rules, the moment ``at`` which they are asked, in the workspace's time zone, and
    whether it is about ``each`` of some people or about everybody (see ``matching``)."""

    rules: SegmentRules
    at: datetime
    each: bool

    def any_of(self, rules: Sequence[Group], workspace_id: int) -> ColumnElement[bool]:
        return or_(*(matching(rule, workspace_id, self.at, self.each) for rule in rules))


def audience(
    campaign: Campaign, now: datetime, after: int, until: int, narrowed: Narrowed | None = None,
) -> Select[Any]:
    """Rows ``id, email, domain, reason`` for those with an id in (after, until]; reason '' where they will get it.
    """
    it = subscriptions.c
    rank = case({SubscriptionState.SUBSCRIBED.value: 3, SubscriptionState.PENDING.value: 2}, value=it.state, else_=1)
    member = (
        select(it.contact_id, func.max(rank).label("standing"))
        .where(it.workspace_id == campaign.workspace_id, it.list_id.in_(campaign.include_lists),
               it.contact_id > after, it.contact_id <= until)
        .group_by(it.contact_id)
        .subquery()
    )
    barred = null().label("barred")
    if campaign.exclude_lists:
        there = subscriptions.alias("there")
        barred = (
            select(literal(1))
            .where(there.c.list_id.in_(campaign.exclude_lists), there.c.contact_id == contacts.c.id,
                   there.c.state != SubscriptionState.UNSUBSCRIBED.value)
            .limit(1).scalar_subquery().label("barred")
        )
    workspace_id = campaign.workspace_id
    left_out = null().label("left_out")
    if narrowed and narrowed.rules.exclude:
        left_out = case((narrowed.any_of(narrowed.rules.exclude, workspace_id), 1)).label("left_out")
    people = (
        select(contacts.c.id, contacts.c.email, contacts.c.domain, member.c.standing, barred, left_out,
               suppression_rank(campaign.workspace_id, campaign.include_lists, now).label("suppressed"),
               choice(now).label("choice"))
        .select_from(join_choice(
            contacts.join(member, member.c.contact_id == contacts.c.id), contacts.c.id, campaign.topic_id
        ))
        .where(contacts.c.workspace_id == campaign.workspace_id,
               in_step(contacts.c.id, literal(after, Id), literal(until, Id)))
    )
    if narrowed and narrowed.rules.include:
        people = people.where(narrowed.any_of(narrowed.rules.include, workspace_id))
    inner = people.subquery()
    otherwise = case(
        (inner.c.standing == 1, literal(ExclusionReason.UNSUBSCRIBED.value)),
        (inner.c.standing == 2, literal(ExclusionReason.UNCONFIRMED.value)),
        (inner.c.barred.is_not(None), literal(ExclusionReason.EXCLUDED_LIST.value)),
        (inner.c.left_out.is_not(None), literal(ExclusionReason.EXCLUDED_SEGMENT.value)),
        else_=inner.c.choice,
    )
    return select(inner.c.id, inner.c.email, inner.c.domain,
                  barred_or(inner.c.suppressed, otherwise).label("reason"))


def barred_or(rank: Any, otherwise: ColumnElement[str]) -> ColumnElement[str]:
    """The reason of the ``suppression_rank``, else the other one. The rank is named once: SQLite looks a scalar
    subquery up anew wherever it is named."""
    return case({one: literal(reason.value) for one, reason in EXCLUDED_BY_RANK.items()}, value=rank, else_=otherwise)
