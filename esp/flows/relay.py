"""What an app hands over, by SMTP or HTTP: judged, completed, kept; then the ordinary engine signs and sends it."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from esp.app import App
from esp.flows.intake import Intake
from esp.flows.providers import providers_of
from esp.model.ids import new_public_id
from esp.model.quantities import Rate
from esp.model.relay import (
    DEFAULT_STREAM,
    MAXIMUM_RECIPIENTS,
    Accepted,
    Addressee,
    Credential,
    MessageState,
    RefusalCode,
    Refused,
    RelayStream,
    Submission,
    SuppressedPolicy,
    barred,
)
from esp.ports.relay import NewRelayMessage
from esp.wire.addresses import AddressError, parse_address
from esp.wire.headers import encode_date
from esp.wire.submitted import CONTROL, Head, SubmittedError, message_id_in, one_mailbox, read_head, words_of

_FRESH: Final = 5.0  # seconds for which a workspace's domains and streams are remembered
_PROVIDER_FRESH: Final = 600.0
_PROVIDERS_KNOWN: Final = 50_000
_MOST_HOPS: Final = 100  # RFC 5321 section 6.3
_FURTHEST: Final = timedelta(days=90)
_SENDERS: Final = (b"sender", b"resent-from", b"resent-sender")  # whoever else a header says it is from
_MOST_TAGS, _LONGEST_TAG = 10, 100
_MOST_METADATA, _LONGEST_NAME, _LONGEST_VALUE = 20, 64, 1000


class Refusal(Exception):  # noqa: N818 - carries a value out of nested checks, and is no error
    """Carries what ``accept`` answers."""

    def __init__(self, code: RefusalCode, message: str, where: str = "") -> None:
        super().__init__(message)
        self.refused = Refused(code, message, where)


@dataclass(frozen=True, slots=True)
class House:
    """What must be known of a workspace: its verified domains' ids by name, and its streams by handle."""

    domains: Mapping[str, int]
    streams: Mapping[str, RelayStream]
    until: float


class Relay:
    """The core that every door for apps shares. One a process; ``close`` it when done."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._intake = Intake(app)
        self._houses: dict[int, House] = {}
        self._asking: dict[int, asyncio.Task[House]] = {}
        self._providers: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def accept(
        self, workspace_id: int, submissions: Sequence[Submission], credential: Credential | None = None
    ) -> list[Accepted | Refused]:
        """Each submission committed and synced, or refused with the reason; one's refusal is nothing to the others.

        ``credential`` narrows what may be sent and says whether it is a sandbox; None is the house itself. Raises
        DependencyError (StorageFullError) where the database does not take them: then none of these was promised.
        """
        house = await self.house(workspace_id)
        judged: list[NewRelayMessage | Refused] = []
        for submission in submissions:
            try:
                judged.append(judge(submission, workspace_id, house, credential, self._app.clock.now()))
            except Refusal as refusal:
                judged.append(refusal.refused)
        await self._charge(credential, judged)
        providers = await self._providers_of(
            it.rpartition("@")[2] for one in judged if isinstance(one, NewRelayMessage)
            for it in (to.address for to in one.addressees))

        async def keep(one: NewRelayMessage | Refused) -> Accepted | Refused:
            if isinstance(one, Refused):
                return one
            mine = {domain: providers[domain] for domain in {to.address.rpartition("@")[2] for to in one.addressees}}
            return await self._intake.keep(replace(one, providers=mine))
        if len(judged) == 1:
            return [await keep(judged[0])]
        return list(await asyncio.gather(*map(keep, judged)))

    async def house(self, workspace_id: int) -> House:
        """The workspace's verified domains and streams, at most a few seconds old."""
        known = self._houses.get(workspace_id)
        if known is not None and known.until >= self._app.clock.monotonic():
            return known
        asking = self._asking.get(workspace_id)
        if asking is None:
            asking = self._asking[workspace_id] = asyncio.create_task(self._look_up(workspace_id))
            asking.add_done_callback(lambda _: self._asking.pop(workspace_id, None))
        # A thousand sessions ask once; one that goes away meanwhile takes nobody's answer with it.
        return await asyncio.shield(asking)

    async def _look_up(self, workspace_id: int) -> House:
        domains = await self._app.store.domains.all(workspace_id)
        streams = await self._app.store.relay.streams(workspace_id)
        if len(self._houses) > 1000:
            self._houses.clear()
        house = self._houses[workspace_id] = House(
            {it.name: it.id for it in domains if it.verified_at is not None},
            {it.handle: it for it in streams}, self._app.clock.monotonic() + _FRESH)
        return house

    async def suppressed(self, workspace_id: int, stream: RelayStream, address: str) -> str:
        """Why ``address`` may not be written to over ``stream`` (an ExclusionReason), or ''."""
        found = await self._app.store.relay.suppressed(workspace_id, [address], self._app.clock.now())
        return barred(found.get(address, ""), stream.kind)

    async def close(self) -> None:
        """Wait for what is being written."""
        await self._intake.close()

    async def _charge(self, credential: Credential | None, judged: list[NewRelayMessage | Refused]) -> None:
        """Refuse what is beyond the credential's rate."""
        if credential is None or not credential.rate:
            return
        rate, wanted = Rate.parse(credential.rate), [n for n, it in enumerate(judged) if not isinstance(it, Refused)]
        if not wanted:
            return
        grant = await self._app.coordination.take(f"credential:{credential.id}", rate, len(wanted))
        for number in wanted[grant.tokens:]:
            judged[number] = Refused(RefusalCode.RATE, f"This credential may send {rate}; try again later.")

    async def _providers_of(self, domains: Iterable[str]) -> dict[str, str]:
        now = self._app.clock.monotonic()
        wanted = set(domains)
        found = {name: known[0] for name in wanted if (known := self._providers.get(name)) and known[1] > now}
        missing = wanted - found.keys()
        if missing:
            for name, provider in (await providers_of(self._app, missing)).items():
                self._providers[name] = (provider, now + _PROVIDER_FRESH)
                found[name] = provider
            while len(self._providers) > _PROVIDERS_KNOWN:
                self._providers.popitem(last=False)
        return found


def judge(
    it: Submission, workspace_id: int, house: House, credential: Credential | None, now: datetime
) -> NewRelayMessage:
    """The submission as it will be kept, or Refusal. Pure: what can be said without the database."""
    stream = stream_for(it.stream, house, credential)
    if not it.recipients:
        raise Refusal(RefusalCode.RECIPIENT_INVALID, "There is no recipient.")
    if len(it.recipients) > MAXIMUM_RECIPIENTS:
        raise Refusal(RefusalCode.TOO_MANY_RECIPIENTS, f"A message has at most {MAXIMUM_RECIPIENTS:,} recipients.")
    _check_controls(it, now)
    addressees = _addressees(it.recipients)
    try:
        head = read_head(it.raw)
    except SubmittedError as error:
        raise Refusal(RefusalCode.NOT_A_MESSAGE, str(error)) from None
    from_address = _check_senders(head, it.sender, house, credential)
    domain = from_address.rpartition("@")[2]
    if head.count(b"received") > _MOST_HOPS:
        raise Refusal(RefusalCode.TOO_MANY_HOPS, "This message has gone round in circles.")
    head, before, header_id = _completed(head, domain, now)
    sandbox = credential is not None and credential.sandbox
    subject = words_of(head.first(b"subject") or b"")
    state = (MessageState.SANDBOX if sandbox else MessageState.HELD if it.held else
             MessageState.SCHEDULED if it.send_at and it.send_at > now else MessageState.ACCEPTED)
    return NewRelayMessage(
        workspace_id=workspace_id, domain_id=house.domains[domain], stream=stream,
        credential_id=credential.id if credential else None, raw=head.octets(before), sender=it.sender,
        from_address=from_address, subject=subject, header_id=header_id, addressees=addressees, providers={},
        state=state, tags=it.tags, metadata=it.metadata,
        track_opens=stream.track_opens if it.track_opens is None else it.track_opens,
        track_clicks=stream.track_clicks if it.track_clicks is None else it.track_clicks,
        send_at=it.send_at if state is MessageState.SCHEDULED else None, idempotency_key=it.idempotency_key,
        fingerprint=it.fingerprint or _fingerprint(it, from_address, subject),
        refuse=stream.suppressed is SuppressedPolicy.REFUSE, ret=it.ret, envid=it.envid,
    )


def stream_for(handle: str, house: House, credential: Credential | None) -> RelayStream:
    """The stream that is meant; Refusal where there is none, or where the credential is for another."""
    bound = credential.stream if credential else ""
    name = handle or bound or DEFAULT_STREAM
    stream = house.streams.get(name)
    if stream is None or (bound and name != bound):
        raise Refusal(RefusalCode.UNKNOWN_STREAM, f"There is no stream {name[:60]!r} for this credential.", "stream")
    return stream


def may_send_from(address: str, house: House, credential: Credential | None) -> Refused | None:
    """Why nothing may be sent from ``address`` (as ``parse_address`` spells it), or None."""
    domain = address.rpartition("@")[2]
    if domain not in house.domains:
        return Refused(RefusalCode.SENDER_UNVERIFIED,
                       f"{domain} is not a verified sending domain of this workspace.", address)
    if credential and credential.domains and domain not in credential.domains:
        return Refused(RefusalCode.SENDER_NOT_ALLOWED, f"This credential may not send from {domain}.", address)
    return None


def _addressees(recipients: Sequence[Addressee]) -> tuple[Addressee, ...]:
    found: dict[str, Addressee] = {}
    for one in recipients:
        try:
            address = parse_address(one.address).text
        except AddressError as error:
            raise Refusal(RefusalCode.RECIPIENT_INVALID, str(error), one.address) from None
        found.setdefault(address, one if one.address == address else replace(one, address=address))
    return tuple(found.values())


def _check_senders(head: Head, sender: str, house: House, credential: Credential | None) -> str:
    """The From address, in its domain of ours (RFC 6409 section 6.1); all others that it names must be ours too."""
    value = head.first(b"from")
    if value is None:
        raise Refusal(RefusalCode.NOT_A_MESSAGE, "There is no From header.", "From")
    asked = [("From", value)] + [(name.decode().title(), other) for name in _SENDERS
                                 for known, _, other in head.fields if known == name]
    found = []
    for name, octets in asked:
        try:
            found.append(one_mailbox(octets).text)
        except SubmittedError as error:
            raise Refusal(RefusalCode.NOT_A_MESSAGE, f"{name}: {error}", name) from None
    if sender:
        found.append(sender)
    for address in found:
        if (refused := may_send_from(address, house, credential)) is not None:
            raise Refusal(refused.code, refused.message, refused.where)
    return found[0]


def _completed(head: Head, domain: str, now: datetime) -> tuple[Head, bytes, str]:
    """Without Bcc and control headers; what to put before it; and its Message-ID."""
    before = b""
    header_id = f"{new_public_id()}@{domain}"
    given = head.first(b"message-id")
    if given is not None:
        try:
            header_id = message_id_in(given)
        except SubmittedError as error:
            raise Refusal(RefusalCode.NOT_A_MESSAGE, str(error), "Message-ID") from None
    else:
        before += b"Message-ID: <" + header_id.encode("ascii") + b">\r\n"
    if head.first(b"date") is None:
        before += b"Date: " + encode_date(now) + b"\r\n"
    kept = tuple(it for it in head.fields if it[0] != b"bcc" and not it[0].startswith(CONTROL))
    # A trace stays on top (RFC 5321 section 4.4), so what is added goes below the Received lines of our doors.
    top = 0
    while top < len(kept) and kept[top][0] == b"received":
        top += 1
    trace = b"".join(whole for _, whole, _ in kept[:top])
    return Head(kept[top:], head.body), trace + before, header_id


def _check_controls(it: Submission, now: datetime) -> None:
    def bad(where: str, message: str) -> Refusal:
        return Refusal(RefusalCode.BAD_CONTROL, message, where)

    if len(it.tags) > _MOST_TAGS or any(not 0 < len(tag) <= _LONGEST_TAG or not tag.isprintable() for tag in it.tags):
        raise bad("tag", f"At most {_MOST_TAGS} tags, each of 1 to {_LONGEST_TAG} printable characters.")
    if len(it.metadata) > _MOST_METADATA or any(
            not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or len(value) > _LONGEST_VALUE
            or "\x00" in value for name, value in it.metadata.items()):
        raise bad("metadata", f"At most {_MOST_METADATA} metadata, names of 1 to {_LONGEST_NAME} printable characters, "
                  f"values of at most {_LONGEST_VALUE:,} characters.")
    if it.track_opens or it.track_clicks:  # what is not done is never silently dropped
        raise bad("track", "Opens and clicks of relayed mail are not counted by this version; ask for none.")
    if len(it.idempotency_key) > 256:
        raise bad("idempotency_key", "An idempotency key has at most 256 characters.")
    if it.send_at is not None and it.send_at - now > _FURTHEST:
        raise bad("send_at", f"A message can be scheduled at most {_FURTHEST.days} days ahead.")


def _fingerprint(it: Submission, from_address: str, subject: str) -> str:
    """What a repetition shares with the first: an app that tries again makes a new Date, Message-ID and boundary."""
    who = sorted(one.address for one in it.recipients)
    return hashlib.sha256("\x00".join((it.sender, from_address, subject, *who)).encode()).hexdigest()
