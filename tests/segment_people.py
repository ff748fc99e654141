"""Random rules and random people, as Hypothesis makes them, and a way to write such people into a database."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import (
    campaigns,
    contact_engagement,
    contact_tags,
    contact_topics,
    contacts,
    deliveries,
    engagement_odds,
    events,
    links,
    lists,
    segment_members,
    segment_snapshots,
    subscriptions,
    suppressions,
    tags,
    topics,
    variants,
    workspaces,
)
from esp.audience.segment_match import Click, Engaged, Mail, Person
from esp.events.score import Score
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.delivery import DeliveryState
from esp.model.fields import FieldType
from esp.model.listening import HALF_LIFE, Level
from esp.model.segment import (
    ENGAGEMENT_TYPES,
    IN_DAYS,
    LEVEL_OPS,
    MOMENT_OPS,
    OPS,
    STANDARD_TYPES,
    VALUELESS,
    Count,
    Doing,
    FieldOp,
    FieldRule,
    Group,
    ListRule,
    MailRule,
    Match,
    Rule,
    SnapshotRule,
    SuppressedRule,
    TagRule,
    TopicRule,
    When,
)

NOW = datetime(2028, 2, 27, 20, 30, tzinfo=UTC)  # the 28th already in Jakarta, and a leap year's eve
ZONES = (ZoneInfo("UTC"), ZoneInfo("Asia/Jakarta"), ZoneInfo("America/New_York"))
TWO = (1, 2)  # there are two of everything: lists, tags, topics, campaigns, snapshots, links of each campaign
URLS = ("https://toko.example/Harga", "https://toko.example/tentang?a=1%20")

# ---- values that meet each other often, with what is awkward in one language or the other

TEXTS = st.sampled_from(["", "Bandung", "bandung", "BANDUNG", "Bandung Barat", "Ñandú", "ñandú", "100%", "_", "a'b\"c",
                         "10", "2028-02-28", "2000-02-29", "2027-xx-10", "😀", "İ", "ß", " "])
NUMBERS = st.sampled_from([0, 1, -1, 10, 10.0, 9.5, 0.1, 1e15, 2**53 + 1, -0.0])
DATES = st.one_of(st.sampled_from([date(2000, 2, 29), date(2028, 2, 28), date(1990, 3, 1), date(2028, 2, 27)]),
                  st.dates(date(2027, 12, 1), date(2028, 5, 1)))
DATE_TEXTS = st.one_of(DATES.map(date.isoformat), TEXTS)
CHOICE = st.sampled_from(["a", "b", "A", 'x"y'])
DAYS = st.sampled_from([1, 2, 7, 30, 365])
MOMENTS = st.integers(-60 * 24 * 4, 24).map(lambda quarters: NOW + timedelta(minutes=15 * quarters))
ANY_VALUE = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none(), DATE_TEXTS, st.lists(CHOICE, max_size=3),
                      st.just([1, None]), st.just({"a": 1}))
CUSTOM_KEYS = {"kota": FieldType.TEXT, "plan": FieldType.CHOICE, "points": FieldType.NUMBER, "due": FieldType.DATE,
               "vip": FieldType.BOOLEAN, "likes": FieldType.CHOICES}
FIELDS = {**STANDARD_TYPES, **{f"fields.{key}": kind for key, kind in CUSTOM_KEYS.items()}}
_SAID = TEXTS.filter(bool)
_VALUE_OF = {FieldType.TEXT: _SAID, FieldType.CHOICE: _SAID, FieldType.NUMBER: NUMBERS.map(float),
             FieldType.DATE: DATES, FieldType.BOOLEAN: st.booleans(), FieldType.CHOICES: CHOICE}


#: What the model says, by opportunities and responses; of three mails it has not been asked yet.
ODDS = {(0, 0): (1.0, 2.0), (1, 0): (0.5, 1.0), (1, 1): (1.0, 3.0), (2, 0): (0.2, 0.5), (2, 1): (0.5, 2.0),
        (2, 2): (0.003, 0.0)}

# ---- rules


@st.composite
def field_rules(draw: st.DrawFn) -> FieldRule:
    name = draw(st.sampled_from(sorted(FIELDS)))
    kind = FIELDS[name]
    ops = OPS[kind]
    if name == "created_at":
        ops = tuple(op for op in ops if op not in VALUELESS and op is not FieldOp.ANNIVERSARY)
    op = draw(st.sampled_from(ops))
    return FieldRule(name, kind, op, draw(_values(kind, op)))


def _values(kind: FieldType, op: FieldOp) -> st.SearchStrategy[tuple[Any, ...]]:
    if op in VALUELESS:
        return st.just(())
    if op in IN_DAYS:
        return st.tuples(DAYS)
    value: st.SearchStrategy[Any] = _VALUE_OF[kind]
    if op is FieldOp.BETWEEN:
        return st.tuples(value, value)
    return st.lists(value, min_size=1, max_size=3).map(tuple) if op is FieldOp.IN else st.tuples(value)


@st.composite
def engagement_rules(draw: st.DrawFn) -> FieldRule:
    name = draw(st.sampled_from(sorted(ENGAGEMENT_TYPES)))
    if name == "engagement.level":
        op = draw(st.sampled_from(LEVEL_OPS))
        level = st.sampled_from(Level).map(str)
        return FieldRule(name, FieldType.CHOICE, op, tuple(draw(st.lists(
            level, min_size=1, max_size=3 if op is FieldOp.IN else 1))))
    op = draw(st.sampled_from(OPS[FieldType.NUMBER]))
    number = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 20.0, 50.0, 100.0])
    how_many = 0 if op in VALUELESS else 2 if op is FieldOp.BETWEEN else 1
    return FieldRule(name, FieldType.NUMBER, op, tuple(draw(number) for _ in range(how_many)))


@st.composite
def engaged(draw: st.DrawFn) -> Engaged:
    opportunities = draw(st.integers(0, 3))
    responses = draw(st.integers(0, opportunities))
    odds = ODDS.get((opportunities, responses))
    score = draw(st.sampled_from([None, 0.5, 1.0, 2.0, 3.0]))
    age = draw(st.sampled_from([0, 45, 90, 180])) * 86_400
    at = NOW.timestamp() - age
    return Engaged(draw(st.sampled_from(Level)).value, Score(score, at).rank(HALF_LIFE) if score else None,
                   odds[0] if odds else None, odds[1] if odds else None, opportunities, responses)


@st.composite
def whens(draw: st.DrawFn) -> When:
    op = draw(st.sampled_from(MOMENT_OPS))
    return When(op, draw(_values(FieldType.DATE, op)))


@st.composite
def mail_rules(draw: st.DrawFn) -> MailRule:
    did = draw(st.sampled_from(Doing))
    count = draw(st.sampled_from(Count))
    told_apart = did in (Doing.OPENED, Doing.CLICKED)
    return MailRule(
        did, count, draw(st.integers(1 if count is Count.AT_LEAST else 0, 3)),
        tuple(draw(st.lists(st.sampled_from(TWO), max_size=2, unique=True))),
        draw(st.sampled_from(["", "", "harga", "TOKO", "%20", "_"])) if did is Doing.CLICKED else "",
        draw(st.none() | whens()), draw(st.booleans()) if told_apart else False)


NUMBER = st.sampled_from(TWO)
LEAVES: st.SearchStrategy[Rule] = st.one_of(
    field_rules(), field_rules(), engagement_rules(), mail_rules(), mail_rules(),
    st.builds(ListRule, NUMBER, st.none() | st.sampled_from(SubscriptionState), st.none() | whens(), st.booleans()),
    st.builds(TagRule, NUMBER, st.booleans()), st.builds(TopicRule, NUMBER, st.booleans()),
    st.builds(SuppressedRule, st.sampled_from(["", *SuppressionReason]).map(str), st.booleans()),
    st.builds(SnapshotRule, NUMBER, st.booleans()),
)
RULES = st.recursive(LEAVES, lambda inner: st.builds(
    Group, st.sampled_from(Match), st.lists(inner, min_size=1, max_size=3).map(tuple)), max_leaves=6)
WHOLE_RULES = st.builds(Group, st.sampled_from(Match), st.lists(RULES, min_size=1, max_size=3).map(tuple))

# ---- people


@st.composite
def mails(draw: st.DrawFn, campaign_id: int) -> Mail:
    clicks = tuple(draw(st.lists(st.builds(Click, st.sampled_from(URLS), MOMENTS, st.booleans()), max_size=2)))
    moment = st.none() | MOMENTS
    return Mail(campaign_id, draw(st.sampled_from(DeliveryState)), draw(MOMENTS), draw(moment), draw(moment),
                draw(moment), draw(moment), draw(moment), draw(moment), draw(moment), clicks)


@st.composite
def persons(draw: st.DrawFn) -> Person:
    standard = {name: draw(DATE_TEXTS if kind is FieldType.DATE else TEXTS)
                for name, kind in STANDARD_TYPES.items() if name not in ("created_at", "email", "domain")}
    fields = {key: draw(_field_value(kind)) for key, kind in CUSTOM_KEYS.items() if draw(st.booleans())}
    standing = st.tuples(st.sampled_from(SubscriptionState), MOMENTS)
    return Person(
        {**standard, "email": draw(st.sampled_from(["Ayu@toko.example", "budi@lain.example"])),
         "domain": draw(st.sampled_from(["toko.example", "lain.example"]))},
        draw(MOMENTS), fields, draw(st.dictionaries(NUMBER, standing, max_size=2)), draw(st.frozensets(NUMBER)),
        draw(st.frozensets(NUMBER)), tuple(draw(mails(one)) for one in TWO if draw(st.booleans())),
        draw(st.frozensets(st.sampled_from(SuppressionReason).map(str), max_size=2)), draw(st.frozensets(NUMBER)),
        draw(st.none() | engaged()))


def _field_value(kind: FieldType) -> st.SearchStrategy[Any]:
    fits: dict[FieldType, st.SearchStrategy[Any]] = {
        FieldType.TEXT: TEXTS, FieldType.CHOICE: TEXTS, FieldType.NUMBER: NUMBERS, FieldType.DATE: DATE_TEXTS,
        FieldType.BOOLEAN: st.booleans(), FieldType.CHOICES: st.lists(CHOICE, max_size=3)}
    return st.one_of(fits[kind], fits[kind], ANY_VALUE)


# ---- into a database


async def make_world(connection: AsyncConnection) -> None:
    """Workspace 1 with two of everything, and workspace 2 with nothing."""
    for number in TWO:
        await connection.execute(insert(workspaces), {
            "id": number, "public_id": f"w{number}", "name": f"W{number}", "created_at": NOW})
    await connection.execute(insert(engagement_odds), [
        {"workspace_id": 1, "opportunities": key[0], "responses": key[1], "recency": key[1], "alive": alive,
         "expected": expected, "next": 0.1, "level": "active"} for key, (alive, expected) in ODDS.items()])
    common = {"workspace_id": 1, "created_at": NOW}
    for number in TWO:
        await connection.execute(insert(lists), {
            **common, "id": number, "public_id": f"l{number}", "name": f"L{number}", "handle": f"l{number}"})
        await connection.execute(insert(tags), {
            "workspace_id": 1, "id": number, "name": f"T{number}", "name_key": f"t{number}"})
        await connection.execute(insert(topics), {
            **common, "id": number, "public_id": f"t{number}", "name": f"T{number}"})
        await connection.execute(insert(segment_snapshots), {
            **common, "id": number, "name": f"S{number}", "rule": {}})
        await connection.execute(insert(campaigns), {
            **common, "id": number, "public_id": f"c{number}", "name": f"C{number}", "updated_at": NOW, "sample": {}})
        await connection.execute(insert(variants), {
            "workspace_id": 1, "id": number, "campaign_id": number, "label": "A", "kind": "text"})
        for index, url in enumerate(URLS):
            await connection.execute(insert(links), {
                "workspace_id": 1, "campaign_id": number, "variant_id": number, "link_index": index, "url": url})


async def write_people(connection: AsyncConnection, people: Sequence[Person]) -> None:
    """These people, with ids from 1, instead of whoever was there."""
    for table in (events, deliveries, suppressions, segment_members, contact_topics, contact_tags, subscriptions,
                  contacts):
        await connection.execute(delete(table))
    rows: dict[Any, list[dict[str, Any]]] = {}
    for number, person in enumerate(people, 1):
        _gather(rows, number, person)
    for table in (contacts, contact_engagement, subscriptions, contact_tags, contact_topics, segment_members,
                  suppressions, deliveries, events):
        if found := rows.get(table):
            await connection.execute(insert(table), found)


def _gather(rows: dict[Any, list[dict[str, Any]]], number: int, person: Person) -> None:
    def add(table: Any, **values: Any) -> None:
        rows.setdefault(table, []).append({"workspace_id": 1, **values})

    key = f"{number}@key.example"
    add(contacts, id=number, public_id=f"p{number}", email_key=key, fields=dict(person.fields), updated_at=NOW,
        created_at=person.created_at, **person.standard)
    if it := person.engagement:
        add(contact_engagement, contact_id=number, opportunities=it.opportunities, responses=it.responses,
            recency=it.responses, level=it.level, score_rank=it.score_rank)
    for list_id, (state, at) in person.subscriptions.items():
        add(subscriptions, list_id=list_id, contact_id=number, state=state.value, changed_at=at)
    for tag in person.tags:
        add(contact_tags, tag_id=tag, contact_id=number)
    for topic in (1, 2):
        add(contact_topics, topic_id=topic, contact_id=number,
            frequency="none" if topic in person.topics_off else "daily")
    for snapshot in person.snapshots:
        add(segment_members, snapshot_id=snapshot, contact_id=number)
    for reason in person.suppressions:
        add(suppressions, email_key=key, reason=reason, created_at=NOW, list_id=None, expires_at=None)
    # Neither one list's nor one that has ended is for the whole workspace.
    add(suppressions, email_key=key, reason="manual", created_at=NOW, list_id=1, expires_at=None)
    add(suppressions, email_key=key, reason="complaint", created_at=NOW, list_id=None,
        expires_at=NOW - timedelta(days=1))
    for mail in person.mails:
        delivery = number * 10 + mail.campaign_id
        add(deliveries, id=delivery, campaign_id=mail.campaign_id, contact_id=number, variant_id=mail.campaign_id,
            state=mail.state.value, created_at=mail.created_at, ended_at=mail.ended_at, opened_at=mail.opened_at,
            machine_opened_at=mail.machine_opened_at, clicked_at=mail.clicked_at,
            machine_clicked_at=mail.machine_clicked_at, complained_at=mail.complained_at,
            unsubscribed_at=mail.unsubscribed_at)
        for click in mail.clicks:
            add(events, type="clicked", at=click.at, campaign_id=mail.campaign_id, delivery_id=delivery,
                contact_id=number, link_index=URLS.index(click.url), agent="human" if click.human else "scanner")
