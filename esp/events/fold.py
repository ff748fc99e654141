"""What a run of events does to deliveries and rollups: a fold over TRANSITIONS, without a database.

Everything that must be read (where each delivery stands) comes in, everything that must be written (moves, marks,
tallies, the events that count) goes out as values; ``esp.adapters.sql.ledger`` does the reading and writing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from esp.model.delivery import OPEN_STATES, TRANSITIONS, DeliveryState, EventType, NewEvent

MOVING: Final = frozenset(event for _, event in TRANSITIONS)

# The column that remembers the first time; the metric that counts deliveries where it has one; the raw count or None.
# A machine's opens and clicks are kept apart from people's, so that the rule that tells them apart may change.
_MARKS: Final[dict[tuple[EventType, bool], tuple[str, str, str | None]]] = {
    (EventType.OPENED, True): ("opened_at", "opened", "opens"),
    (EventType.OPENED, False): ("machine_opened_at", "machine_opened", "opens"),
    (EventType.CLICKED, True): ("clicked_at", "clicked", "clicks"),
    (EventType.CLICKED, False): ("machine_clicked_at", "machine_clicked", "clicks"),
    (EventType.UNSUBSCRIBED, True): ("unsubscribed_at", "unsubscribed", None),
    (EventType.UNSUBSCRIBED, False): ("unsubscribed_at", "unsubscribed", None),
    (EventType.COMPLAINED, True): ("complained_at", "complained", None),
    (EventType.COMPLAINED, False): ("complained_at", "complained", None),
}
MARK_COLUMNS: Final = tuple(dict.fromkeys(column for column, _, _ in _MARKS.values()))
_ONCE: Final = frozenset({EventType.UNSUBSCRIBED, EventType.COMPLAINED})


class TallyKey(NamedTuple):
    """One counter; the order of its fields is the order in which counters are written, the same in every process."""

    workspace_id: int
    campaign_id: int
    dimension: str
    member: str
    metric: str


# What one event counts for: workspace, campaign, metric, provider, variant, minute since 1970, link, reason.
_Facts = tuple[int, int, str, str, int | None, int | None, int | None, Any]
_Counts = dict[_Facts, int]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a delivery stands before the events; ``marks`` are the MARK_COLUMNS that are set already."""

    workspace_id: int
    campaign_id: int
    contact_id: int
    variant_id: int
    provider: str
    state: DeliveryState
    marks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Folded:
    """What to write: ``events`` that apply, completed with what the delivery knows; ``moves`` the event that moved each
    delivery last; ``marks`` the first times; ``tallies`` what to add to each counter."""

    events: list[NewEvent] = field(default_factory=list)
    moves: dict[int, NewEvent] = field(default_factory=dict)
    marks: dict[str, dict[int, datetime]] = field(default_factory=dict)
    tallies: Counter[TallyKey] = field(default_factory=Counter)


def minute_of(at: datetime) -> str:
    """The member of dimension ``minute``: ISO 8601 in UTC, to the minute."""
    return at.strftime("%Y-%m-%dT%H:%MZ")


def fold(standings: Mapping[int, Standing], events: Iterable[NewEvent]) -> Folded:
    """Apply ``events`` in order to ``standings`` (by delivery id).

    Dropped without a trace: a move that TRANSITIONS does not have, a second unsubscription or complaint, and anything
    about a delivery that is not there or is another workspace's.
    """
    folded = Folded()
    counts: _Counts = {}
    states: dict[int, DeliveryState] = {}
    for event in events:
        if event.delivery_id is None:
            _keep(folded, event)
            continue
        standing = standings.get(event.delivery_id)
        if standing is None or standing.workspace_id != event.workspace_id:
            continue
        complete = event
        if event.variant_id != standing.variant_id or event.campaign_id != standing.campaign_id or not event.provider:
            complete = replace(event, campaign_id=standing.campaign_id, contact_id=standing.contact_id,
                               variant_id=standing.variant_id, provider=standing.provider)
        if event.type in MOVING:
            before = states.get(event.delivery_id, standing.state)
            after = TRANSITIONS.get((before, event.type))
            if after is None:
                continue
            states[event.delivery_id] = after
            folded.moves[event.delivery_id] = complete
            _keep(folded, complete)
            _count(counts, complete, event.type.value)
            if before not in OPEN_STATES:
                # A late bounce takes the delivery out of ``delivered``: per campaign the ends add up (I4).
                _count(counts, complete, before.value, -1)
        elif (event.type, event.agent == "human") in _MARKS:
            _mark(folded, counts, standing, complete)
        else:
            _keep(folded, complete)
            _count(counts, complete, event.type.value)
    for facts, n in counts.items():
        _spread(folded.tallies, facts, n)
    return folded


def _mark(folded: Folded, counts: _Counts, standing: Standing, event: NewEvent) -> None:
    column, metric, raw = _MARKS[event.type, event.agent == "human"]
    assert event.delivery_id is not None
    first = column not in standing.marks and event.delivery_id not in folded.marks.setdefault(column, {})
    if not first and event.type in _ONCE:
        return
    _keep(folded, event)
    if first:
        folded.marks[column][event.delivery_id] = event.at
        _count(counts, event, metric)
    if raw is not None:
        _count(counts, event, raw)


def _keep(folded: Folded, event: NewEvent) -> None:
    folded.events.append(event)


def _count(counts: _Counts, event: NewEvent, metric: str, n: int = 1) -> None:
    if event.campaign_id is None:
        return
    # Most events of a run differ in nothing that is counted; what they count for is worked out once for all of them.
    reason = event.detail.get("reason") if event.detail and n > 0 else None
    facts = (event.workspace_id, event.campaign_id, metric, event.provider, event.variant_id,
             int(event.at.timestamp()) // 60 if n > 0 else None, event.link_index if n > 0 else None, reason)
    counts[facts] = counts.get(facts, 0) + n


def _spread(tallies: Counter[TallyKey], facts: _Facts, n: int) -> None:
    """Add ``n`` to every counter that ``facts`` count for."""
    workspace_id, campaign_id, metric, provider, variant_id, minute, link_index, reason = facts
    members = [("total", ""), ("provider", provider), ("variant", str(variant_id or ""))]
    if minute is not None:  # else taken back: when and why it was counted once is not known any more, and stays
        members.append(("minute", minute_of(datetime.fromtimestamp(minute * 60, UTC))))
    if link_index is not None:
        members.append(("link", str(link_index)))
    if reason:
        members.append(("reason", str(reason)))
    for dimension, member in members:
        tallies[TallyKey(workspace_id, campaign_id, dimension, member, metric)] += n
