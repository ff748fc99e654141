"""What senders hear of messages that failed for good, or that they asked to hear of (RFC 3461, RFC 3464)."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from esp.app import App
from esp.flows.providers import providers_of
from esp.model.delivery import DeliveryState
from esp.model.ids import new_public_id
from esp.model.relay import DEFAULT_STREAM, Addressee, MessageState, RelayStream
from esp.ports.relay import Ended, NewRelayMessage
from esp.wire.dsn import RecipientStatus, one_line, write_dsn

_AT_ONCE: Final = 200
_ENHANCED: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_FULL: Final = 50_000  # octets up to which a message is returned whole where its sender asked for that


async def report_ends(app: App) -> bool:
    """Tell senders what ended since the last time; True where more waits. A crash in between tells nobody twice."""
    ended = await app.store.relay.unreported(_AT_ONCE)
    by_message: dict[int, list[Ended]] = defaultdict(list)
    for one in ended:
        if one.sender and one.report != "never":  # never to the null sender: reports would beget reports
            by_message[one.message_id].append(one)
    if ended:
        providers = await providers_of(app, {some[0].sender.rpartition("@")[2] for some in by_message.values()})
        streams: dict[int, RelayStream] = {}
        for some in by_message.values():
            workspace_id = some[0].workspace_id
            if workspace_id not in streams:
                streams[workspace_id] = next(
                    it for it in await app.store.relay.streams(workspace_id) if it.handle == DEFAULT_STREAM)
        reports = [_report(app, some, streams[some[0].workspace_id], providers) for some in by_message.values()]
        await app.store.relay.report(reports, [one.delivery_id for one in ended], app.clock.now())
        if reports:
            await app.coordination.wake("outbox")
    return len(ended) == _AT_ONCE


def _report(
    app: App, some: Sequence[Ended], stream: RelayStream, providers: dict[str, str]
) -> NewRelayMessage:
    first, now = some[0], app.clock.now()
    domain = first.from_address.rpartition("@")[2]
    from_address, header_id = f"mailer-daemon@{domain}", f"{new_public_id()}@{domain}"
    dsn = first.dsn or {}
    head, _, _ = first.raw.partition(b"\r\n\r\n")
    full = dsn.get("ret") == "FULL" and len(first.raw) < _FULL
    raw = write_dsn(
        reporting=app.settings.submission.hostname or app.settings.delivery.hello_name or domain,
        from_address=from_address, to=first.sender, message_id=header_id, boundary=f"report-{new_public_id()}",
        now=now, subject=first.subject, accepted_at=first.accepted_at, recipients=[_status(one) for one in some],
        returned=first.raw if full else head + b"\r\n", envid=str(dsn.get("envid", "")), full=full)
    return NewRelayMessage(
        workspace_id=first.workspace_id, domain_id=first.domain_id, stream=stream, credential_id=None, raw=raw,
        sender="", from_address=from_address, subject=f"Report: {first.subject}"[:500], header_id=header_id,
        addressees=(Addressee(first.sender),), providers=providers, state=MessageState.ACCEPTED, kind="report")


def _status(one: Ended) -> RecipientStatus:
    delivered = one.state == DeliveryState.DELIVERED.value
    found = _ENHANCED.match(one.reply)
    default = "2.0.0" if delivered else "4.4.7" if one.state == DeliveryState.EXPIRED.value else "5.0.0"
    status = found[1] if found and (delivered or found[1][0] != "2") else default
    said = f"{one.reply_code} {one.reply}".strip() if one.reply_code else one.reply or one.reason
    asked = (one.dsn or {}).get("to", {}).get(one.address, {})
    return RecipientStatus(one.address, "relayed" if delivered else "failed", status, one_line(said), one.ended_at,
                           one_line(str(asked.get("orcpt", ""))))
