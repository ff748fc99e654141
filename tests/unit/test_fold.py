"""The fold walks every pair of state and event: what TRANSITIONS does not have changes nothing."""

import itertools
from datetime import UTC, datetime

import pytest

from esp.events.fold import Standing, TallyKey, fold
from esp.model.delivery import TRANSITIONS, DeliveryState, EventType, NewEvent

AT = datetime(2026, 11, 2, 9, 30, 12, tzinfo=UTC)
MOVING = sorted({event for _, event in TRANSITIONS})


def standing(state: DeliveryState = DeliveryState.QUEUED, marks: frozenset[str] = frozenset()) -> Standing:
    return Standing(1, 7, 70, 700, "gmail", state, marks)


def event(kind: EventType, delivery_id: int = 5, workspace_id: int = 1, **more: object) -> NewEvent:
    return NewEvent(kind, AT, workspace_id, delivery_id=delivery_id, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(DeliveryState, MOVING)))
def test_every_pair_of_state_and_event_moves_as_the_table_says_or_not_at_all(
    state: DeliveryState, kind: EventType
) -> None:
    folded = fold({5: standing(state)}, [event(kind)])
    allowed = (state, kind) in TRANSITIONS
    assert [kept.type for kept in folded.events] == ([kind] if allowed else [])
    assert set(folded.moves) == ({5} if allowed else set())
    assert bool(folded.tallies) == allowed


def test_events_of_one_call_are_folded_in_their_order() -> None:
    folded = fold({5: standing()}, [event(EventType.DEFERRED), event(EventType.DELIVERED), event(EventType.DEFERRED)])
    assert [kept.type for kept in folded.events] == [EventType.DEFERRED, EventType.DELIVERED]
    assert folded.moves[5].type is EventType.DELIVERED


def test_a_late_bounce_takes_the_delivery_out_of_the_delivered_ones() -> None:
    folded = fold({5: standing(DeliveryState.DELIVERED)}, [event(EventType.BOUNCED, detail={"reason": "unknown_user"})])
    assert folded.tallies[TallyKey(1, 7, "total", "", "bounced")] == 1
    assert folded.tallies[TallyKey(1, 7, "total", "", "delivered")] == -1
    assert folded.tallies[TallyKey(1, 7, "provider", "gmail", "delivered")] == -1
    assert folded.tallies[TallyKey(1, 7, "reason", "unknown_user", "bounced")] == 1
    assert TallyKey(1, 7, "minute", "2026-11-02T09:30Z", "delivered") not in folded.tallies


def test_what_the_delivery_knows_completes_the_event() -> None:
    (kept,) = fold({5: standing()}, [event(EventType.DELIVERED)]).events
    assert (kept.campaign_id, kept.contact_id, kept.variant_id, kept.provider) == (7, 70, 700, "gmail")


def test_another_workspaces_event_changes_nothing() -> None:
    folded = fold({5: standing()}, [event(EventType.DELIVERED, workspace_id=2), event(EventType.DELIVERED, 6)])
    assert folded.events == []
    assert not folded.tallies


def test_opens_count_raw_and_unique_and_machines_apart() -> None:
    folded = fold({5: standing(DeliveryState.DELIVERED)}, [
        event(EventType.OPENED, agent="human"), event(EventType.OPENED, agent="human"),
        event(EventType.OPENED, agent="scanner"), event(EventType.CLICKED, agent="human", link_index=3),
    ])
    total = {key.metric: n for key, n in folded.tallies.items() if key.dimension == "total"}
    assert total == {"opened": 1, "opens": 3, "machine_opened": 1, "clicked": 1, "clicks": 1}
    assert folded.tallies[TallyKey(1, 7, "link", "3", "clicks")] == 1
    assert set(folded.marks) == {"opened_at", "machine_opened_at", "clicked_at"}


def test_somebody_unsubscribes_and_complains_once() -> None:
    marked = standing(DeliveryState.DELIVERED, frozenset({"complained_at"}))
    kinds = (EventType.UNSUBSCRIBED, EventType.UNSUBSCRIBED, EventType.COMPLAINED)
    folded = fold({5: marked}, [event(kind) for kind in kinds])
    assert [kept.type for kept in folded.events] == [EventType.UNSUBSCRIBED]


def test_a_fact_about_a_contact_alone_is_kept() -> None:
    folded = fold({}, [NewEvent(EventType.UNSUBSCRIBED, AT, 1, contact_id=70)])
    assert len(folded.events) == 1
    assert not folded.tallies
