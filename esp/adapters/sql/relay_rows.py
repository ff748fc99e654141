"""Rows that accepted messages become: the part of keeping them that needs no database."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from esp.events.fold import TallyKey
from esp.model.delivery import DeliveryState, EventType, NewEvent
from esp.model.ids import new_public_id
from esp.model.relay import Accepted, Addressee, MessageState, Placed, RefusalCode, Refused, barred
from esp.ports.relay import NewRelayMessage

#: What the delivery of a sandbox's message says for a reason: it was never meant to be sent.
SANDBOX: Final = "sandbox"
_BATCH: Final = 200  # deliveries of one batch at most, as the engine's own
MESSAGE_COLUMNS: Final = (
    "id", "public_id", "workspace_id", "delivery_id", "contact_id", "kind", "subject", "raw", "created_at", "size",
    "sender", "from_address", "from_key", "subject_key", "header_id", "tag", "tags", "metadata", "state", "recipients",
    "stream_id", "credential_id", "send_at", "track_opens", "track_clicks", "dsn",
)
BODY_COLUMNS: Final = ("message_id", "workspace_id", "raw")
BATCH_COLUMNS: Final = ("id", "workspace_id", "campaign_id", "provider", "stream", "state", "due_at", "size")
DELIVERY_COLUMNS: Final = (
    "id", "workspace_id", "campaign_id", "contact_id", "variant_id", "batch_id", "address", "domain", "provider",
    "state", "created_at", "due_at", "message_id", "recipient_key", "report",
)
_LONGEST_SUBJECT_KEY: Final = 200  # characters that are searched by

Carrier = tuple[int, int, int]  # workspace, domain, stream


@dataclass(slots=True)
class Rows:
    """What one transaction writes."""

    messages: list[tuple[Any, ...]] = field(default_factory=list)
    bodies: list[tuple[Any, ...]] = field(default_factory=list)
    deliveries: list[list[Any]] = field(default_factory=list)
    accepted: list[NewEvent] = field(default_factory=list)
    dropped: list[NewEvent] = field(default_factory=list)
    targeted: Counter[TallyKey] = field(default_factory=Counter)
    batch_rows: list[tuple[Any, ...]] = field(default_factory=list)
    #: Deliveries that share a batch: campaign, provider, stream kind, state, due, and whose batch it is alone.
    batches: dict[tuple[int, int, str, str, str, datetime, int], list[list[Any]]] = field(
        default_factory=lambda: defaultdict(list))


def reason_for(known: Mapping[tuple[int, str], str], it: NewRelayMessage, address: str) -> str:
    """Why this recipient of ``it`` is dropped, or ''."""
    return barred(known.get((it.workspace_id, address), ""), it.stream.kind)


def refusal(it: NewRelayMessage, known: Mapping[tuple[int, str], str]) -> Refused | None:
    if it.refuse and it.state is not MessageState.SANDBOX:
        for one in it.addressees:
            if reason := reason_for(known, it, one.address):
                return Refused(RefusalCode.SUPPRESSED, f"This address is suppressed ({reason}).", one.address)
    return None


def add(
    rows: Rows, it: NewRelayMessage, message_id: int, campaign: int, numbers: Iterator[int],
    known: Mapping[tuple[int, str], str], people: Mapping[tuple[int, str], int], now: datetime,
) -> Accepted:
    public_id, placed = new_public_id(), []
    sandbox = it.state is MessageState.SANDBOX
    due = it.send_at if it.state is MessageState.SCHEDULED and it.send_at else now
    waiting = it.state in (MessageState.SCHEDULED, MessageState.HELD)
    person = people.get((it.workspace_id, it.addressees[0].address.casefold())) if len(it.addressees) == 1 else None
    for one in it.addressees:
        delivery_id = next(numbers)
        domain = one.address.rpartition("@")[2]
        provider = it.providers.get(domain, domain)
        # Under minus its own number, as everybody whom no contact is known for: one person may get many of these.
        row = [delivery_id, it.workspace_id, campaign, -delivery_id, 0, None, one.address, domain, provider,
               DeliveryState.QUEUED.value, now, due, message_id, one.address.casefold(), _report(it, one)]
        rows.deliveries.append(row)
        reason = SANDBOX if sandbox else reason_for(known, it, one.address)
        placed.append(Placed(one.address, delivery_id, reason))
        rows.accepted.append(NewEvent(EventType.ACCEPTED, now, it.workspace_id, campaign, delivery_id, person, 0,
                                      provider=provider))
        if reason:
            rows.dropped.append(NewEvent(EventType.SUPPRESSED, now, it.workspace_id, campaign, delivery_id,
                                         detail={"reason": reason}))
        else:
            state = "held" if it.state is MessageState.HELD else "ready"
            rows.batches[it.workspace_id, campaign, provider, it.stream.kind.value, state, due,
                         message_id if waiting else 0].append(row)
    rows.targeted[TallyKey(it.workspace_id, campaign, "total", "", "targeted")] += len(placed)
    rows.bodies.append((message_id, it.workspace_id, it.raw))
    rows.messages.append((
        message_id, public_id, it.workspace_id, placed[0].delivery_id if len(placed) == 1 else None, person, it.kind,
        it.subject, b"", now, len(it.raw), it.sender, it.from_address, it.from_address.casefold(),
        it.subject.casefold()[:_LONGEST_SUBJECT_KEY], it.header_id, it.tags[0] if it.tags else "",
        orjson.dumps(it.tags).decode(), orjson.dumps(dict(it.metadata)).decode(), it.state.value, len(placed),
        it.stream.id, it.credential_id, it.send_at, it.track_opens, it.track_clicks, _notices(it),
    ))
    return Accepted(message_id, public_id, it.state, tuple(placed), header_id=it.header_id)


def _report(it: NewRelayMessage, one: Addressee) -> str:
    """What the sender hears of this recipient. The null sender hears nothing (RFC 5321 section 4.5.5)."""
    if not it.sender or (one.notify and not one.notify & {"FAILURE", "SUCCESS"}):
        return "never"
    return "success" if "SUCCESS" in one.notify else "failure"


def _notices(it: NewRelayMessage) -> str | None:
    """What the sender asked to hear (RFC 3461), by recipient, where they asked for anything."""
    asked = {one.address: {"notify": sorted(one.notify), "orcpt": one.original}
             for one in it.addressees if one.notify or one.original}
    if not (asked or it.ret or it.envid):
        return None
    return orjson.dumps({"ret": it.ret, "envid": it.envid, "to": asked}).decode()


def batched(rows: Rows) -> list[tuple[tuple[Any, ...], list[list[Any]]]]:
    """The batches to be made: their columns but for the id, and the deliveries of each."""
    return [((*key[:6], len(some)), some) for key, whole in rows.batches.items()
            for some in (whole[at:at + _BATCH] for at in range(0, len(whole), _BATCH))]


def number_batches(rows: Rows, groups: list[tuple[tuple[Any, ...], list[list[Any]]]], ids: list[int]) -> None:
    """Give each batch its id, and its deliveries the batch's."""
    for batch_id, (columns, some) in zip(ids, groups, strict=True):
        rows.batch_rows.append((batch_id, *columns))
        for row in some:
            row[5] = batch_id
